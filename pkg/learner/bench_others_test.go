package learner

import (
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// paperMLP is the MAML paper's network without convolutions for Omniglot.
func paperMLP() nn.Config {
	var layers []nn.LayerSpec
	for _, units := range []int{256, 128, 64, 64} {
		layers = append(layers, nn.LayerSpec{Kind: "dense", Units: units}, nn.LayerSpec{Kind: "batchnorm"}, nn.LayerSpec{Kind: "relu"})
	}
	return nn.Config{Name: "layers", Layers: layers}
}

// One task of five classes, one sample each to adapt on and three to score.
func BenchmarkGradientOmniglotMLP(b *testing.B) {
	for name, c := range map[string]Config{
		"maml": {Name: "maml", OuterLoss: "softmax", InnerLoss: "softmax", Rate: 0.4}, "protonet": {Name: "protonet"}, "ridge": {Name: "ridge", OuterLoss: "softmax"},
		"reptile5": {Name: "reptile", Steps: 5, InnerLoss: "softmax", OuterLoss: "softmax"},
		"imaml5":   {Name: "imaml", Steps: 5, Rate: 0.1, InnerLoss: "softmax", OuterLoss: "softmax"},
	} {
		b.Run(name, func(b *testing.B) {
			l, task := classTask[float32](b, rand.New(rand.NewPCG(1, 1)), c, paperMLP(), 784, 5, 1)
			theta, grad := make([]float32, l.NumParams()), make([]float32, l.NumParams())
			l.Init(1, theta)
			for b.Loop() {
				if _, err := l.Gradient(theta, &task, grad); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// One more sample for a load forecaster's head (97 features) that has 1,000.
func BenchmarkRidgeOneMoreSample(b *testing.B) {
	l, task := setup[float32](b, rand.New(rand.NewPCG(1, 1)), Config{Name: "ridge"}, nn.Config{Name: "mlp", Hidden: []int{64}, Skip: true}, 32, 1, 1000)
	theta := make([]float32, l.NumParams())
	l.Init(1, theta)
	b.Run("update", func(b *testing.B) {
		p, err := l.Adapt(theta, &task.Support, -1)
		if err != nil {
			b.Fatal(err)
		}
		u, _ := p.Updater()
		for b.Loop() {
			if err := u.Update(part(&task.Query, 0, 1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Adapt(theta, &task.Support, -1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
