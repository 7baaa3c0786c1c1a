package learner

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// conv4 on 28x28: after a gradient MAML holds at most K+4 copies of the parameters
// and, for each of its K+1 tapes, activations: for every channel of a position four
// signals for 16 rows and three of batch norm's own for the task's five; and four
// R-values once; a tenth is for tables of taps and what is small.
func TestMemoryOfConv4(t *testing.T) {
	m, err := nn.Build(nn.Config{Name: "conv4"}, nn.Shape{In: []int{28, 28, 1}, Out: 5})
	if err != nil {
		t.Fatal(err)
	}
	const signal = 4 * 16 * 64 * (14*14 + 7*7 + 4*4 + 2*2)
	r := rand.New(rand.NewPCG(54, 1))
	task := Task[float32]{Support: samples[float32](r, 5, 28*28, 5), Query: samples[float32](r, 5, 28*28, 5)}
	for _, steps := range []int{1, 3} {
		c := Config{Name: "maml", Steps: steps, Rate: 1e-3}
		var l Learner[float32]
		var grad []float32
		theta := start(r, must(t, c, m))
		used := allocated(func() {
			l = must(t, c, m)
			grad = make([]float32, len(theta))
			if _, err := l.Gradient(theta, &task, grad); err != nil {
				t.Fatal(err)
			}
		})
		parameters := uint64(4 * m.NumParams())
		bound := parameters*uint64(copies(c)) + signal*uint64((16*4+5*3)*(steps+1)+16*4)/16*11/10
		t.Logf("K=%d: %d bytes, %.1f copies of the parameters; allowed %d with activations", steps, used, float64(used)/float64(parameters), bound)
		if used > bound || used < parameters {
			t.Errorf("K=%d: %d bytes, expected %d to %d", steps, used, parameters, bound)
		}
		runtime.KeepAlive(theta)
		runtime.KeepAlive(l)
		runtime.KeepAlive(grad)
	}
}
