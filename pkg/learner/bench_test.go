package learner

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

func benchmark(b *testing.B, c Config, net nn.Config, in, shots, query int) {
	r := rand.New(rand.NewPCG(1, 1))
	l, task := setup[float32](b, r, c, net, in, 1, shots)
	task.Query = samples[float32](r, query, in, 1)
	theta := make([]float32, l.NumParams())
	l.Init(1, theta)
	grad := make([]float32, len(theta))
	for b.Loop() {
		if _, err := l.Gradient(theta, &task, grad); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// The MAML paper's sinusoid: 1-40-40-1, 10 support and 10 query samples.
func BenchmarkGradientSinusoid(b *testing.B) {
	net := nn.Config{Name: "mlp", Hidden: []int{40, 40}}
	b.Run("K1", func(b *testing.B) { benchmark(b, Config{Name: "maml", Steps: 1}, net, 1, 10, 10) })
	b.Run("K5", func(b *testing.B) { benchmark(b, Config{Name: "maml", Steps: 5}, net, 1, 10, 10) })
	b.Run("FirstOrder", func(b *testing.B) { benchmark(b, Config{Name: "fomaml"}, net, 1, 10, 10) })
}

// A load forecaster: 32 inputs, 64 hidden units, a skip.
func BenchmarkGradientRidge(b *testing.B) {
	net := nn.Config{Name: "mlp", Hidden: []int{64}, Skip: true}
	c := Config{Name: "ridge", OuterLoss: "abs", Clip: 4}
	b.Run("10shots", func(b *testing.B) { benchmark(b, c, net, 32, 10, 100) })
	b.Run("50shots", func(b *testing.B) { benchmark(b, c, net, 32, 50, 100) })
	b.Run("1000shots", func(b *testing.B) { benchmark(b, c, net, 32, 1000, 100) })
}

func benchmarkGroup(b *testing.B, c Config, net nn.Config, in, shots, query int) {
	r := rand.New(rand.NewPCG(1, 1))
	l, _ := setup[float32](b, r, c, net, in, 1, shots)
	var tasks []*Task[float32]
	for range nn.Lanes {
		tasks = append(tasks, &Task[float32]{Support: samples[float32](r, shots, in, 1), Query: samples[float32](r, query, in, 1)})
	}
	theta := make([]float32, l.NumParams())
	l.Init(1, theta)
	sum, losses, g := make([]float32, len(theta)), make([]float32, nn.Lanes), NewGroup(l)
	for b.Loop() {
		if !g.GradientSum(theta, tasks, losses, sum) {
			b.Fatal("not computed")
		}
	}
	b.ReportMetric(nn.Lanes*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// The same, sixteen tasks at once.
func BenchmarkGroupSinusoid(b *testing.B) {
	for _, h := range []int{40, 128} {
		net := nn.Config{Name: "mlp", Hidden: []int{h, h}}
		for _, k := range []int{1, 5} {
			b.Run(fmt.Sprintf("group/%d/K%d", h, k), func(b *testing.B) { benchmarkGroup(b, Config{Name: "maml", Steps: k}, net, 1, 10, 10) })
			b.Run(fmt.Sprintf("single/%d/K%d", h, k), func(b *testing.B) { benchmark(b, Config{Name: "maml", Steps: k}, net, 1, 10, 10) })
		}
	}
}

// Rates per parameter read and write vectors of the parameters beside products.
func BenchmarkGradientFamily(b *testing.B) {
	for _, net := range []nn.Config{{Name: "mlp", Hidden: []int{40, 40}}, {Name: "mlp", Hidden: []int{500, 500}}} {
		for _, c := range []Config{{Name: "maml", Steps: 3}, {Name: "metasgd", Steps: 3}, {Name: "mamlpp", Steps: 3}, {Name: "anil", Steps: 3}} {
			c.Rate = 1e-4
			b.Run(fmt.Sprintf("%v/%s", net.Hidden, c.Name), func(b *testing.B) { benchmark(b, c, net, 1, 10, 10) })
		}
	}
}
