package learner

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// protonet (Snell, Swersky and Zemel, 2017) classifies by the nearest prototype:
// with phi the inputs of the head, class k's prototype is the weighted mean
//
//	c_k = sum over its support samples i of (W_i / sum of W) phi_i
//
// and the logits are -|phi - c_k|^2 = 2 c_k.phi - |c_k|^2 - |phi|^2. The last term
// is the same for all classes of a sample, so that no softmax sees it, and is left
// out: what remains is a dense head (section 2.4 there), weights 2 c_k and biases
// -|c_k|^2, which stands in place of the model's own. An adapted model is therefore
// a model like any other; its outputs are logits up to that term.
//
// Sums over support samples and over features are chains that ascend; samples of
// other classes enter with a coefficient of zero. The gradient is exact, through
// the query's features and the support's: for g the gradient of the query loss
// for the head,
//
//	for c_k = 2 g_k - 2 c_k g_bias_k;  for phi_i of class k = (W_i / sum of W) of it
//
// The model's own head has a gradient of zero. Tracked statistics are those of the
// query's pass. Memory: 3 copies of the parameters,
// the gradient included.
type protonet[T kernel.Float] struct {
	base[T]
	head    nn.Group
	f, out  int // features, classes
	support *nn.Tape[T]
	stats   tracked[T]
	adapted []T // parameters with the prototypes for a head
	more    []T // the support's gradient
	mean    []T // [n][out]: the coefficient of each sample in each prototype
	dc, dcT []T // gradient for the prototypes [f][out], transposed
	dphi    []T // for the support's features [n][f]
}

func newProtonet[T kernel.Float](b base[T]) *protonet[T] {
	p := &protonet[T]{base: b, head: b.model.Head(), f: b.model.Features(), out: b.model.Out(), support: nn.NewTape[T](b.model, 16), stats: newTracked[T](b.model)}
	p.adapted, p.more = make([]T, p.size), make([]T, p.size)
	p.dc, p.dcT = make([]T, p.f*p.out), make([]T, p.f*p.out)
	return p
}

func (p *protonet[T]) NumParams() int { return p.size }

func (p *protonet[T]) Params() []nn.Param { return p.model.Params() }

func (p *protonet[T]) Init(seed uint64, theta []float32) { p.model.Init(seed, theta) }

func (p *protonet[T]) Gradient(theta []T, task *Task[T], grad []T) (T, error) {
	if err := p.checkTask(task, theta, grad, p.size); err != nil {
		return 0, err
	}
	if err := p.solve(theta, &task.Support); err != nil {
		return 0, fmt.Errorf("compute gradient: %w", err)
	}
	loss := p.queryGradient(p.adapted, &task.Query, grad)
	p.adjoint(theta, task.Support.N, grad)
	return loss, finite(loss, grad)
}

// solve fills p.adapted, and leaves what the adjoint needs.
func (p *protonet[T]) solve(theta []T, s *Batch[T]) error {
	if err := p.coefficients(s); err != nil {
		return err
	}
	copy(p.adapted, theta)
	p.support.Forward(theta, s.X, s.N)
	w, bias := p.split(p.adapted)
	kernel.Gemm(kernel.FromZero, nil, p.f, p.out, s.N, p.support.Features(), 1, p.f, p.mean, p.out, w, p.out)
	for k := range bias {
		var square kernel.Chain[T]
		for j := k; j < len(w); j += p.out {
			square.Add(w[j], w[j])
		}
		bias[k] = -square.Sum()
	}
	kernel.Scale(w, 2, w)
	return nil
}

// split cuts the head out of a vector of parameters: weights [f][out], bias.
func (p *protonet[T]) split(x []T) (w, bias []T) {
	n := p.f * p.out
	return x[p.head.Lo:][:n], x[p.head.Lo+n : p.head.Hi]
}

// coefficients fills p.mean, or says which class or sample is wrong.
func (p *protonet[T]) coefficients(s *Batch[T]) error {
	p.mean = room(p.mean, s.N*p.out)
	copy(p.mean, s.Y[:s.N*p.out])
	for i := range s.N {
		if k, ok := hot(p.mean[i*p.out:][:p.out]); !ok {
			return fmt.Errorf("support: targets of sample %d are %v, expected a single 1 among zeros: a class", i, s.Y[i*p.out:][:p.out])
		} else if !(s.W[i] >= 0) {
			return fmt.Errorf("support: weight %d is %v, expected 0 or above", i, s.W[i])
		} else {
			p.mean[i*p.out+k] = s.W[i]
		}
	}
	for k := range p.out {
		var sum kernel.Chain[T]
		for j := k; j < len(p.mean); j += p.out {
			sum.Add(1, p.mean[j])
		}
		total := sum.Sum()
		if !(total > 0) {
			return fmt.Errorf("support: no sample of class %d of %d with a weight above 0 among %d samples; protonet needs one or more of every class", k, p.out, s.N)
		}
		for j := k; j < len(p.mean); j += p.out {
			p.mean[j] /= total
		}
	}
	return nil
}

// hot returns where the single 1 of a row of zeros is.
func hot[T kernel.Float](row []T) (at int, ok bool) {
	at = -1
	for k, v := range row {
		switch {
		case v == 1 && at < 0:
			at = k
		case v != 0:
			return 0, false
		}
	}
	return at, at >= 0
}

// adjoint turns grad, which holds the gradient at the adapted parameters, into
// that at theta.
func (p *protonet[T]) adjoint(theta []T, n int, grad []T) {
	w, _ := p.split(p.adapted)
	g, gbias := p.split(grad)
	for i, x := range g {
		p.dc[i] = T(2*x) - T(w[i]*gbias[i%p.out])
	}
	kernel.Transpose(p.dcT, p.dc, p.f, p.out)
	p.dphi = room(p.dphi, n*p.f)
	kernel.Gemm(kernel.FromZero, nil, n, p.f, p.out, p.mean, p.out, 1, p.dcT, p.f, p.dphi, p.f)
	p.support.BackwardFeatures(theta, p.dphi, p.more)
	p.stats.drop(p.more, 0)
	kernel.AddInto(grad, p.more)
	clear(grad[p.head.Lo:p.head.Hi])
}

func (p *protonet[T]) Adapt(theta []T, support *Batch[T], _ int) (*Predictor[T], error) {
	if len(theta) != p.size {
		return nil, fmt.Errorf("adapt: %d parameters, expected %d", len(theta), p.size)
	}
	if err := p.checkBatch("support", support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	if err := p.solve(theta, support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	return p.newPredictor(append([]T(nil), p.adapted...))
}
