package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// adjust makes logits of what ridge solves for, as R2-D2 does (Bertinetto et al.,
// 2019, equation 6): squared error fits scores of 0 and 1, cross-entropy wants
// logits,
//
//	logits = scale * (phi.w) + bias
//
// with two learned numbers: rho = log(scale) / 10, for the same reason as ridge's
// precisions, and bias. softmax does not see a bias that is the same for all
// classes: there its gradient is zero, and not what rounding leaves of it.
//
// Both are folded into the head, so that an adapted model is one like any other.
type adjust[T kernel.Float] struct {
	on, bias bool
	start    float32 // scale
	head     nn.Group
	out      int
	scale    T
	w        []T // the head before it was folded
}

// classifies reports whether the outputs of c are logits.
func (c Config) classifies() bool { return c.OuterLoss == "softmax" || c.OuterLoss == "bce" }

func newAdjust[T kernel.Float](c Config, m *nn.Model) adjust[T] {
	a := adjust[T]{on: c.classifies(), bias: c.OuterLoss == "bce", start: c.Scale, head: m.Head(), out: m.Out()}
	if a.on {
		a.w = make([]T, a.head.Hi-a.head.Lo)
	}
	return a
}

// len is the number of its parameters: rho and bias.
func (a *adjust[T]) len() int {
	if a.on {
		return 2
	}
	return 0
}

// init fills its parameters. A score of one half is undecided: for bce the bias
// puts it at 0.
func (a *adjust[T]) init(own []float32) {
	if !a.on {
		return
	}
	own[0], own[1] = float32(kernel.Log(float64(a.start))/rhoUnit), 0
	if a.bias {
		own[1] = -a.start / 2
	}
}

// fold replaces the head in params by what makes logits.
func (a *adjust[T]) fold(own, params []T) {
	if !a.on {
		return
	}
	w := params[a.head.Lo:a.head.Hi]
	copy(a.w, w)
	a.scale = a.apply(own, w)
}

// apply folds into a head alone, and returns the scale.
func (a *adjust[T]) apply(own, w []T) T {
	if !a.on {
		return 1
	}
	scale := T(kernel.Exp(float64(own[0]) * rhoUnit))
	kernel.Scale(w, scale, w)
	for o := len(w) - a.out; o < len(w); o++ {
		w[o] += own[1]
	}
	return scale
}

// unfold turns the gradient for a folded head into that for the head, and fills
// that for its own parameters.
func (a *adjust[T]) unfold(own, grad []T) {
	if !a.on {
		return
	}
	g := grad[a.head.Lo:a.head.Hi]
	own[0] = T(rhoUnit*a.scale) * kernel.Dot(g, a.w)
	own[1] = 0
	if a.bias {
		var sum kernel.Chain[T]
		for _, x := range g[len(g)-a.out:] {
			sum.Add(1, x)
		}
		own[1] = sum.Sum()
	}
	kernel.Scale(g, a.scale, g)
}
