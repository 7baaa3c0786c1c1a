package learner

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

var update = flag.Bool("update", false, "write testdata/bits*.txt anew; a change of bits is a new numerical contract")

// TestG1_GradientBits holds the digests of gradients against recorded ones. They
// must be the same on every processor: run it as
//
//	go test ./pkg/learner
//	go test -tags noasm ./pkg/learner
//	GOAMD64=v3 go test ./pkg/learner
//
// (without assembly, and where the compiler fuses what it may).
func TestG1_GradientBits(t *testing.T) {
	compareLines(t, "testdata/bits.txt", bitLines(t))
}

// bitLines computes ten outer steps of each learner on each model, plain SGD, and
// the digest of all gradients.
func bitLines(t *testing.T) []string {
	var lines []string
	add := func(net nn.Config, c Config) {
		c.Rate = 0.002
		lines = append(lines, fmt.Sprintf("%v %s skip=%v %s %d %s", net.Hidden, net.Activation, net.Skip, c.Name, c.Steps, digest(t, c, net)))
	}
	wide := nn.Config{Name: "mlp", Hidden: []int{300}, Skip: true} // sums of more than one block
	nets := []nn.Config{
		{Name: "mlp", Hidden: []int{40, 40}}, {Name: "mlp", Hidden: []int{24, 7}, Activation: "tanh", Skip: true}, {Name: "mlp"}, wide,
	}
	for _, net := range nets {
		for _, c := range []Config{
			{Name: "maml", Steps: 1}, {Name: "maml", Steps: 3, LearnRates: true, ZeroWeight: 0.5, InnerLoss: "huber"},
			{Name: "fomaml", Steps: 2}, {Name: "pooled", OuterLoss: "huber"}, {Name: "ridge", OuterLoss: "abs", Clip: 4, ZeroWeight: 0.25, Outlier: 0.5},
		} {
			add(net, c)
		}
	}
	for _, net := range nets {
		for _, c := range []Config{
			{Name: "anil", Steps: 1}, {Name: "anil", Steps: 3, LearnRates: true, ZeroWeight: 0.5, InnerLoss: "huber", FirstOrderSteps: 2},
			{Name: "anil", Steps: 2, Rates: ParameterRates, RateMax: 0.004, MSLSteps: 4},
			{Name: "metasgd", Steps: 1}, {Name: "metasgd", Steps: 3, RateMax: 0.004, ZeroWeight: 0.5},
			{Name: "mamlpp", Steps: 3, MSLSteps: 6, FirstOrderSteps: 3},
		} {
			add(net, c)
		}
	}
	return lines
}

func digest(t *testing.T, c Config, net nn.Config) string {
	r := rand.New(rand.NewPCG(99, 1))
	l, _ := setup[float32](t, r, c, net, 6, 2, 0)
	theta, grad := make([]float32, l.NumParams()), make([]float32, l.NumParams())
	l.Init(7, theta)
	h := sha256.New()
	for i, shots := range []int{10, 0, 5, 20, 50, 1, 300, 7, 10, 10} {
		task := Task[float32]{Support: uniform(r, shots, 6, 2), Query: uniform(r, 33, 6, 2), Step: int64(i)}
		loss, err := l.Gradient(theta, &task, grad)
		if err != nil {
			t.Fatal(err)
		}
		if err := binary.Write(h, binary.LittleEndian, append(grad, loss)); err != nil {
			t.Fatal(err)
		}
		for i, g := range grad {
			step := float32(0.001 * g)
			theta[i] -= step
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// draw makes numbers in [-1, 1) by exact arithmetic alone: package math's logarithm,
// by which normal numbers are drawn, differs by processor.
func draw(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.Uint64()>>40)*0x1p-23 - 1
	}
	return x
}

// uniform draws n samples of in inputs and out targets.
func uniform(r *rand.Rand, n, in, out int) Batch[float32] {
	b := Batch[float32]{n, draw(r, n*in), draw(r, n*out), make([]float32, n)}
	for i := range b.W {
		b.W[i] = 1 / float32(n)
	}
	return b
}
