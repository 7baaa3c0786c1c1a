package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// inner is the inner loss of one batch at a time: its gradient, and its
// Hessian's product with a direction.
type inner[T kernel.Float] struct {
	model   *nn.Model
	loss    nn.Loss
	tape    *nn.Tape[T]
	dy, rdy []T
	tracked []nn.Param // statistics, which are no parameters of the loss
	free    []nn.Group // all between them
}

func (b *base[T]) newInner() inner[T] {
	p := inner[T]{model: b.model, loss: b.inner, tape: nn.NewTape[T](b.model, 16)}
	at := 0
	for _, t := range b.model.Params() {
		if t.Track {
			p.tracked = append(p.tracked, t)
			p.free = append(p.free, nn.Group{Lo: at, Hi: t.Offset})
			at = t.Offset + t.Size()
		}
	}
	p.free = append(p.free, nn.Group{Lo: at, Hi: b.size})
	return p
}

// gradient overwrites grad with the gradient at theta, which has k inner steps
// behind it. At tracked statistics it is zero, so that steps leave them.
func (p *inner[T]) gradient(theta []T, k int, s *Batch[T], grad []T) {
	p.tape.SetStep(k)
	y := p.tape.Forward(theta, s.X, s.N)
	p.dy = room(p.dy, len(y))
	nn.Grad(p.loss, s.N, p.model.Out(), y, s.Y, s.W, p.dy)
	p.tape.Backward(theta, p.dy, grad)
	p.still(grad)
}

// product overwrites hv with the Hessian's product with v at the theta and batch
// of the last gradient. v is zero at tracked statistics.
func (p *inner[T]) product(theta []T, s *Batch[T], v, hv []T) {
	ry := p.tape.RForward(theta, v)
	p.rdy = room(p.rdy, len(ry))
	nn.RGrad(p.loss, s.N, p.model.Out(), p.tape.Outputs(), s.Y, s.W, ry, p.rdy)
	p.tape.RBackward(theta, v, p.rdy, hv)
}

// still clears x at tracked statistics.
func (p *inner[T]) still(x []T) {
	for _, t := range p.tracked {
		clear(x[t.Offset:][:t.Size()])
	}
}

// keep copies from to to at tracked statistics.
func (p *inner[T]) keep(to, from []T) {
	for _, t := range p.tracked {
		copy(to[t.Offset:][:t.Size()], from[t.Offset:])
	}
}

// scale multiplies x by a but for tracked statistics.
func (p *inner[T]) scale(x []T, a T) {
	for _, f := range p.free {
		kernel.Scale(x[f.Lo:f.Hi], a, x[f.Lo:f.Hi])
	}
}
