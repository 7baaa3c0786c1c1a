package nn

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// work counts the floating-point operations of one sample's forward pass, two to
// a multiply-add, padding left out, and those of the first linear layer apart: it
// has no gradient for its input.
func work(m *Model) (all, first float64) {
	for _, s := range m.steps {
		flops := 0.0
		switch s.kind {
		case "conv":
			w, _ := windowOf(s.spec, s.in)
			flops = 2 * float64(len(w.links())*s.in[len(s.in)-1]*s.spec.Filters)
		case "dense":
			flops = 2 * float64(s.in[0]*s.out[0])
		}
		if all += flops; first == 0 {
			first = flops
		}
	}
	return all, first
}

// BenchmarkConv4 computes the second-order meta-gradient of one task at K = 1, for
// the Omniglot model of the MAML paper.
func BenchmarkConv4(b *testing.B) {
	for _, query := range []int{5, 75} {
		b.Run(fmt.Sprintf("5+%d", query), func(b *testing.B) { benchmarkConv4(b, Config{Name: "conv4"}, 5, query) })
	}
}

func benchmarkConv4(b *testing.B, c Config, support, query int) {
	m, err := Build(c, Shape{In: []int{28, 28, 1}, Out: 5})
	if err != nil {
		b.Fatal(err)
	}
	loss, _ := NewLoss(LossConfig{Name: "mse"})
	r := rand.New(rand.NewPCG(1, 1))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	theta, g, v := make([]float32, m.NumParams()), make([]float32, m.NumParams()), make([]float32, m.NumParams())
	m.Init(1, theta)
	sx, qx, targets, weights := random(support*784), random(query*784), random(query*5), random(query)
	s, q := NewTape[float32](m, support), NewTape[float32](m, query)
	dy, rdy := make([]float32, query*5), make([]float32, query*5)
	for b.Loop() {
		y := s.Forward(theta, sx, support)
		Grad(loss, support, 5, y, targets, weights[:support], dy)
		s.Backward(theta, dy, g)
		y = q.Forward(theta, qx, query)
		Grad(loss, query, 5, y, targets, weights, rdy)
		q.Backward(theta, rdy, v)
		RGrad(loss, support, 5, s.Outputs(), targets, weights[:support], s.RForward(theta, v), rdy)
		s.RBackward(theta, v, rdy, g)
	}
	all, first := work(m)
	once := 3*all - first // forward and backward of one sample
	// R-forward and R-backward do each product twice, but the first layer's, whose
	// input does not move, once.
	total := float64(support)*(once+2*once-2*first) + float64(query)*once
	b.ReportMetric(total*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	b.ReportMetric(total/1e6, "MFLOP")
}
