package learner

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// part is samples lo to hi of b.
func part[T kernel.Float](b *Batch[T], lo, hi int) *Batch[T] {
	in, out := len(b.X)/b.N, len(b.Y)/b.N
	return &Batch[T]{hi - lo, b.X[lo*in : hi*in], b.Y[lo*out : hi*out], b.W[lo:hi]}
}

// later returns how far a head brought up to date piece by piece lies from one
// solved anew, relative to how far that lies from the base model's.
func later[T kernel.Float](t *testing.T, c Config, net nn.Config, cuts []int) float64 {
	t.Helper()
	r := rand.New(rand.NewPCG(41, uint64(len(cuts))))
	l, task := classTask[T](t, r, c, net, 2, 3, 10)
	theta := start(r, l)
	all := &task.Support
	p, err := l.Adapt(theta, part(all, 0, cuts[0]), -1)
	if err != nil {
		t.Fatal(err)
	}
	u, ok := p.Updater()
	if !ok {
		t.Fatal("ridge has no updater")
	}
	for i, hi := range append(cuts[1:], all.N) {
		if err := u.Update(part(all, cuts[i], hi)); err != nil {
			t.Fatal(err)
		}
	}
	anew, err := l.Adapt(theta, all, -1)
	if err != nil {
		t.Fatal(err)
	}
	none, err := l.Adapt(theta, part(all, 0, 0), -1)
	if err != nil {
		t.Fatal(err)
	}
	var d, w float64
	for i, x := range anew.Theta() {
		d += math.Pow(float64(p.Theta()[i]-x), 2)
		w += math.Pow(float64(none.Theta()[i]-x), 2)
	}
	return math.Sqrt(d / w)
}

// Update is solving anew, in fewer operations: with samples fewer than features
// and more, from none on, in one piece or many, weights unequal.
func TestRidgeUpdateIsSolvingAnew(t *testing.T) {
	for _, c := range []Config{{Name: "ridge"}, {Name: "ridge", Precision: 0.1, Outlier: 0.5}, {Name: "ridge", OuterLoss: "softmax"}, {Name: "ridge", OuterLoss: "bce"}} {
		for _, net := range []nn.Config{reluNet, skipNet, linear} {
			for _, cuts := range [][]int{{2}, {0}, {29}, {30}, {5, 5, 6, 20}} {
				if d := later[float64](t, c, net, slices.Clone(cuts)); d > 1e-9 {
					t.Errorf("%+v, %v: relative distance %.2g", c, cuts, d)
				}
				if d := later[float32](t, c, net, slices.Clone(cuts)); d > 1e-4 {
					t.Errorf("%+v, %v in float32: relative distance %.2g", c, cuts, d)
				}
			}
		}
	}
}

// What is wrong leaves the predictor as it was, and the samples after it count.
func TestG7_RidgeUpdateRefusesAndStays(t *testing.T) {
	r := rand.New(rand.NewPCG(42, 1))
	l, task := setup[float32](t, r, Config{Name: "ridge"}, skipNet, 2, 1, 9)
	theta := start(r, l)
	p, err := l.Adapt(theta, part(&task.Support, 0, 5), -1)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := p.Updater()
	before := slices.Clone(p.Theta())
	bad := samples[float32](r, 3, 2, 1)
	for want, spoil := range map[string]func(b *Batch[float32]){
		"update: samples: weight 1 is -1":    func(b *Batch[float32]) { b.W[1] = -1 },
		"update: samples: 3 samples with X ": func(b *Batch[float32]) { b.X = b.X[1:] },
		"update: ":                           func(b *Batch[float32]) { b.Y[0] = float32(math.Inf(1)) },
		"update: factor matrix":              func(b *Batch[float32]) { b.X[0] = float32(math.NaN()) },
	} {
		b := Batch[float32]{3, slices.Clone(bad.X), slices.Clone(bad.Y), slices.Clone(bad.W)}
		spoil(&b)
		if err := u.Update(&b); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if !slices.Equal(before, p.Theta()) {
			t.Errorf("%s changed the head", want)
		}
	}
	if err := u.Update(part(&task.Support, 5, 9)); err != nil {
		t.Fatal(err)
	}
	anew, err := l.Adapt(theta, &task.Support, -1)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range anew.Theta() {
		if math.Abs(float64(x-p.Theta()[i])) > 1e-5 {
			t.Errorf("element %d is %v, anew %v", i, p.Theta()[i], x)
		}
	}
}

// Only ridge has the cheap way; the others say so.
func TestOthersHaveNoUpdater(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 1))
	for _, name := range []string{"maml", "anil", "reptile", "imaml", "pooled"} {
		l, task := setup[float32](t, r, Config{Name: name}, skipNet, 2, 1, 4)
		p, err := l.Adapt(start(r, l), &task.Support, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Updater(); ok {
			t.Errorf("%s claims to update", name)
		}
	}
}
