package learner

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// bitModels are small models of every kind but mlp, which together have every kind
// of layer.
var bitModels = []struct {
	name string
	net  nn.Config
	in   []int
	more int // extra features
}{
	{"conv4", nn.Config{Name: "conv4", Filters: 5}, []int{9, 8, 2}, 1},
	{"conv4 max stored", nn.Config{Name: "conv4", Filters: 3, Pool: "max", Activation: "gelu", Statistics: "stored", PerStep: true}, []int{16, 17, 1}, 0},
	{"tcn", nn.Config{Name: "tcn", Channels: 5, Levels: 2, Norm: "layer"}, []int{7, 2}, 2},
	{"gru", nn.Config{Name: "gru", Units: 5, Skip: true}, []int{6, 2}, 1},
	{"image", nn.Config{Name: "layers", Layers: []nn.LayerSpec{
		{Kind: "conv2d", Filters: 6, Kernel: nn.Dims{3}, Padding: nn.Dims{1}}, {Kind: "maxpool", Kernel: nn.Dims{2}}, {Kind: "layernorm"}, {Kind: "gelu"},
		{Kind: "residual", Layers: []nn.LayerSpec{{Kind: "conv2d", Filters: 6, Kernel: nn.Dims{3, 2}, Padding: nn.Dims{1, 1}, Dilation: nn.Dims{1, 2}}, {Kind: "tanh"}}},
		{Kind: "avgpool", Global: true}, {Kind: "dense", Units: 7}, {Kind: "sigmoid"},
	}}, []int{6, 7, 2}, 0},
	{"series", nn.Config{Name: "layers", Layers: []nn.LayerSpec{
		{Kind: "conv1d", Filters: 4, Kernel: nn.Dims{3}, Stride: nn.Dims{2}, Causal: true}, {Kind: "avgpool", Kernel: nn.Dims{3}, Stride: nn.Dims{1}, Padding: nn.Dims{1}},
		{Kind: "batchnorm", PerStep: true}, {Kind: "tanh"}, {Kind: "maxpool", Kernel: nn.Dims{2}, Stride: nn.Dims{1}}, {Kind: "gru", Units: 3}, {Kind: "last"},
	}}, []int{11, 2}, 1},
	{"plain", nn.Config{Name: "layers", Skip: true, Layers: []nn.LayerSpec{
		{Kind: "dense", Units: 9}, {Kind: "layernorm"}, {Kind: "residual", Layers: []nn.LayerSpec{{Kind: "dense", Units: 19}, {Kind: "sigmoid"}, {Kind: "dense", Units: 11}}},
		{Kind: "batchnorm"}, {Kind: "relu"}, {Kind: "dense", Units: 5}, {Kind: "batchnorm", Statistics: "stored"}, {Kind: "gelu"},
	}}, []int{6}, 0},
	{"wide", nn.Config{Name: "layers", Init: "he", Layers: []nn.LayerSpec{ // sums over taps of more than one block
		{Kind: "conv2d", Filters: 33, Kernel: nn.Dims{2}}, {Kind: "relu"}, {Kind: "conv2d", Filters: 5, Kernel: nn.Dims{3}, Padding: nn.Dims{1}}, {Kind: "relu"}, {Kind: "flatten"},
	}}, []int{5, 4, 2}, 0},
}

// bitLearners are every learner there is, of second order and of first.
var bitLearners = []struct {
	name    string
	c       Config
	classes bool
}{
	{"maml", Config{Name: "maml"}, false},
	{"maml K=3 huber", Config{Name: "maml", Steps: 3, LearnRates: true, ZeroWeight: 0.5, InnerLoss: "huber"}, false},
	{"maml K=2 softmax", Config{Name: "maml", Steps: 2, InnerLoss: "softmax", OuterLoss: "softmax"}, true},
	{"maml K=3 first order", Config{Name: "maml", Steps: 3, FirstOrderSteps: 9}, false},
	{"fomaml K=2", Config{Name: "fomaml", Steps: 2}, false},
	{"anil", Config{Name: "anil"}, false},
	{"anil K=3 bce", Config{Name: "anil", Steps: 3, LearnRates: true, InnerLoss: "bce", OuterLoss: "bce"}, true},
	{"metasgd K=2", Config{Name: "metasgd", Steps: 2, RateMax: 0.05}, false},
	{"mamlpp K=3", Config{Name: "mamlpp", Steps: 3, MSLSteps: 4, FirstOrderSteps: 1}, false},
	{"reptile K=3", Config{Name: "reptile", Steps: 3}, false},
	{"reptile K=2 sgd", Config{Name: "reptile", Steps: 2, InnerOptimizer: "sgd"}, false},
	{"imaml K=3", Config{Name: "imaml", Steps: 3, CGSteps: 3}, false},
	{"ridge", Config{Name: "ridge", OuterLoss: "abs", Clip: 4, ZeroWeight: 0.25, Outlier: 0.5}, false},
	{"ridge softmax", Config{Name: "ridge", OuterLoss: "softmax", ZeroWeight: 0.5}, true},
	{"ridge bce", Config{Name: "ridge", OuterLoss: "bce", Precision: 1}, true},
	{"protonet", Config{Name: "protonet"}, true},
	{"pooled", Config{Name: "pooled", OuterLoss: "huber"}, false},
}

// TestG1_LearnersOnModelsBits is TestG1_GradientBits for every learner on models of
// every kind.
func TestG1_LearnersOnModelsBits(t *testing.T) {
	var lines []string
	for _, m := range bitModels {
		for _, l := range bitLearners {
			w := &randomWork{config: l.c, net: m.net, shape: nn.Shape{In: m.in, Extra: m.more, Out: 3}}
			w.net.InnerSteps = l.c.InnerSteps()
			r := rand.New(rand.NewPCG(99, 3))
			var err error
			if w.model, err = nn.Build(w.net, w.shape); err != nil {
				t.Fatalf("%s: %v", m.name, err)
			}
			for step, shots := range []int{2, 12, 1} {
				task := Task[float32]{Support: uniform(r, shots, w.model.In(), 3), Query: uniform(r, 7, w.model.In(), 3), Step: int64(step)}
				if l.classes {
					task.Support, task.Query = uniformClasses(r, w.model.In(), 3, (shots+2)/3), uniformClasses(r, w.model.In(), 3, 2)
				}
				w.tasks = append(w.tasks, &task)
			}
			learner := w.learner(t)
			w.theta = make([]float32, learner.NumParams())
			learner.Init(7, w.theta)
			sum, diverged := w.digest(t, learner, 3)
			if diverged > 0 {
				t.Errorf("%s on %s: %d of its tasks diverged", l.name, m.name, diverged)
			}
			lines = append(lines, fmt.Sprintf("%s: %s %s", m.name, l.name, sum[:24]))
		}
	}
	compareLines(t, "testdata/bits_models.txt", lines)
}

// digest is that of what the learner makes of the first tasks, a small step after
// each: loss, gradient, and predictions of the adapted model. A task that diverges
// does so in every build, and leaves but a mark.
func (w *randomWork) digest(t *testing.T, l Learner[float32], tasks int) (sum string, diverged int) {
	t.Helper()
	h, theta, grad := sha256.New(), append([]float32(nil), w.theta...), make([]float32, len(w.theta))
	for _, task := range w.tasks[:min(tasks, len(w.tasks))] {
		loss, err := l.Gradient(theta, task, grad)
		if err != nil {
			diverged++
			note(h, []float32{-1})
			continue
		}
		note(h, append(grad, loss))
		p, err := l.Adapt(theta, &task.Support, -1)
		if err != nil {
			t.Fatalf("%v: has a gradient but does not adapt: %v", w, err)
		}
		y := make([]float32, task.Query.N*w.model.Out())
		p.Predict(task.Query.X, task.Query.N, y)
		if kernel.IsFinite(y) { // a NaN's payload is any
			note(h, y)
		}
		for i, g := range grad {
			step := float32(0.001 * g)
			theta[i] -= step
		}
	}
	return hex.EncodeToString(h.Sum(nil)), diverged
}

// note writes the bits of x.
func note(h hash.Hash, x []float32) {
	var b [4]byte
	for _, v := range x {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
		h.Write(b[:])
	}
}
