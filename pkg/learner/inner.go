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
}

func (b *base[T]) newInner() inner[T] {
	return inner[T]{model: b.model, loss: b.inner, tape: nn.NewTape[T](b.model, 16)}
}

// gradient overwrites grad with the gradient at theta, which has k inner steps
// behind it, and at tracked statistics with what the pass shows of them.
func (p *inner[T]) gradient(theta []T, k int, s *Batch[T], grad []T) {
	p.tape.SetStep(k)
	y := p.tape.Forward(theta, s.X, s.N)
	p.dy = room(p.dy, len(y))
	nn.Grad(p.loss, s.N, p.model.Out(), y, s.Y, s.W, p.dy)
	p.tape.Backward(theta, p.dy, grad)
}

// product overwrites hv with the Hessian's product with v at the theta and batch
// of the last gradient. v is zero at tracked statistics.
func (p *inner[T]) product(theta []T, s *Batch[T], v, hv []T) {
	ry := p.tape.RForward(theta, v)
	p.rdy = room(p.rdy, len(ry))
	nn.RGrad(p.loss, s.N, p.model.Out(), p.tape.Outputs(), s.Y, s.W, ry, p.rdy)
	p.tape.RBackward(theta, v, p.rdy, hv)
}
