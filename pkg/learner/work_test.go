package learner

import (
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// The operations of a task, counted by hand: an MLP 2-3-4 has 6 multiply-adds before
// its head and 12 in it, so that F = 18, G = 12, H = 12; 5 samples of support, 7 of
// query.
func TestWorkByHand(t *testing.T) {
	const gradient, product, body = 18 + 18 + 12, 18 + 12 + 18 + 3*12, 6
	m, err := nn.Build(nn.Config{Name: "mlp", Hidden: []int{3}}, nn.Flat(2, 4))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(61, 1))
	for _, c := range []struct {
		name   string
		config Config
		want   float64 // multiply-adds
		cold   float64 // without support
	}{
		{"maml", Config{Name: "maml", Steps: 3}, 3*5*(gradient+product) + 7*gradient, 7 * gradient},
		{"maml with a loss before any step", Config{Name: "maml", Steps: 3, ZeroWeight: 1}, 3*5*(gradient+product) + 2*7*gradient, 7 * gradient},
		{"first order", Config{Name: "fomaml", Steps: 3}, 3*5*gradient + 7*gradient, 7 * gradient},
		{"pooled", Config{Name: "pooled"}, 7 * gradient, 7 * gradient},
		{"reptile", Config{Name: "reptile", Steps: 3}, 3*5*gradient + 7*gradient, 7 * gradient},
		{"reptile by parts", Config{Name: "reptile", Steps: 4, InnerBatch: 2}, (2+2+1+2)*gradient + 7*gradient, 7 * gradient},
		{"imaml", Config{Name: "imaml", Steps: 3, CGSteps: 2}, 4*5*gradient + 2*5*product + 7*gradient, 7 * gradient},
		{"imaml with a loss before any step", Config{Name: "imaml", Steps: 3, CGSteps: 2, ZeroWeight: 1}, 4*5*gradient + 2*5*product + 2*7*gradient, 2 * 7 * gradient},
		// Forward, and for the body backward; outputs and head at each step; outputs,
		// head, and twice back to the features for its curvature.
		{"anil", Config{Name: "anil", Steps: 3}, 5*(18+body+3*(2+4)*12) + 7*(18+body+3*12), 7 * gradient},
		{"anil with a loss before any step", Config{Name: "anil", Steps: 3, ZeroWeight: 1}, 5*(18+body+3*(2+4)*12) + 7*(18+body+2*3*12), 7 * gradient},
		{"anil of first order", Config{Name: "anil", Steps: 3, FirstOrderSteps: 9}, 5*(18+3*2*12) + 7*(18+body+3*12), 7 * gradient},
		{"protonet", Config{Name: "protonet", InnerLoss: "softmax", OuterLoss: "softmax"}, 5*(18+2*12+body) + 7*gradient, -1},
	} {
		l := must(t, c.config, m)
		task := Task[float32]{Support: samples[float32](r, 5, 2, 4), Query: samples[float32](r, 7, 2, 4)}
		if found, ok := Work(l, &task); !ok || found != 2*c.want {
			t.Errorf("%s: found %v (counted: %v), expected %v", c.name, found, ok, 2*c.want)
		}
		task.Support.N = 0
		if found, _ := Work(l, &task); c.cold >= 0 && found != 2*c.cold {
			t.Errorf("%s without support: found %v, expected %v", c.name, found, 2*c.cold)
		}
	}
	if _, ok := Work(must(t, Config{Name: "ridge"}, m), new(Task[float32])); ok {
		t.Error("ridge is counted")
	}
}
