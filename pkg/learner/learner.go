package learner

import (
	"errors"
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Batch is N samples: X [N][in], Y [N][targets], weights W [N]. There is a target
// for each output, under pinball for each of its sets of quantiles.
type Batch[T kernel.Float] struct {
	N       int
	X, Y, W []T
}

// Task is one few-shot problem: adapt on Support, score on Query. A Support of no
// samples is legal: nothing is adapted.
// Step is the outer step it is drawn for, which learners that anneal look at.
type Task[T kernel.Float] struct {
	Support, Query Batch[T]
	Step           int64
}

// Learner adapts a model, and gives the gradient of the adapted one's error. It
// is the work space of one goroutine.
type Learner[T kernel.Float] interface {
	// NumParams is the length of theta and of gradients.
	NumParams() int
	// Params names the tensors of theta: the model's, then the learner's own.
	Params() []nn.Param
	// Init fills theta (NumParams elements) from seed.
	Init(seed uint64, theta []float32)
	// Gradient returns the task's outer loss at theta and overwrites grad with its
	// gradient. A result that is not finite is an error. It allocates nothing once
	// it has seen its largest task.
	Gradient(theta []T, task *Task[T], grad []T) (T, error)
	// Adapt returns the model adapted to support in the given number of steps;
	// below 0 it is the learner's own number, which is 0 for pooled. Steps beyond
	// the learned rates use the last ones. ridge and protonet take no steps and
	// ignore it.
	Adapt(theta []T, support *Batch[T], steps int) (*Predictor[T], error)
}

// ErrDiverged is wrapped where a result is not finite: the steps were too large
// for this task.
var ErrDiverged = errors.New("diverged")

// New returns the learner of c for m, or an error that names the field of c that
// is wrong.
func New[T kernel.Float](c Config, m *nn.Model) (Learner[T], error) {
	if err := c.checkUse(); err != nil {
		return nil, fmt.Errorf("make learner: %w", err)
	}
	c = c.withDefaults()
	inner, outer, err := c.losses()
	if err != nil {
		return nil, fmt.Errorf("make learner: %w", err)
	}
	if err := inner.CheckOutputs(m.Out()); err != nil {
		return nil, fmt.Errorf("make learner: inner_loss: %w", err)
	}
	if err := outer.CheckOutputs(m.Out()); err != nil {
		return nil, fmt.Errorf("make learner: outer_loss: %w", err)
	}
	b := base[T]{config: c, model: m, inner: inner, outer: outer, size: m.NumParams(), query: nn.NewTape[T](m, 16)}
	switch c.Name {
	case "ridge":
		return newRidge(b), nil
	case "anil":
		return newANIL(b), nil
	case "reptile":
		return newReptile(b), nil
	case "imaml":
		return newIMAML(b), nil
	case "protonet":
		return newProtonet(b), nil
	}
	return newMAML(b), nil
}

// base is what all learners share: the model's part of theta is [0, size).
type base[T kernel.Float] struct {
	config       Config
	model        *nn.Model
	inner, outer nn.Loss
	size         int
	query        *nn.Tape[T]
	dyQuery      []T
}

// queryGradient returns the outer loss of q at theta and overwrites grad; both
// have the model's parameters only.
func (b *base[T]) queryGradient(theta []T, q *Batch[T], grad []T) T {
	out := b.model.Out()
	y := b.query.Forward(theta, q.X, q.N)
	b.dyQuery = room(b.dyQuery, q.N*out)
	loss := nn.Grad(b.outer, q.N, out, y, q.Y, q.W, b.dyQuery)
	b.query.Backward(theta, b.dyQuery, grad)
	return loss
}

// checkTask refuses what would panic or mean nothing.
func (b *base[T]) checkTask(task *Task[T], theta, grad []T, size int) error {
	if len(theta) != size || len(grad) != size {
		return fmt.Errorf("compute gradient: %d parameters and room for %d, expected %d of each", len(theta), len(grad), size)
	}
	if err := b.checkBatch("support", &task.Support); err != nil {
		return fmt.Errorf("compute gradient: %w", err)
	}
	if task.Query.N == 0 {
		return fmt.Errorf("compute gradient: query has no samples, expected at least one")
	}
	if err := b.checkBatch("query", &task.Query); err != nil {
		return fmt.Errorf("compute gradient: %w", err)
	}
	return nil
}

func (b *base[T]) checkBatch(name string, s *Batch[T]) error {
	in, out := b.model.In(), b.targets()
	if s.N < 0 || len(s.X) < s.N*in || len(s.Y) < s.N*out || len(s.W) < s.N {
		return fmt.Errorf("%s: %d samples with X of %d, Y of %d, W of %d numbers, expected %d, %d, %d",
			name, s.N, len(s.X), len(s.Y), len(s.W), s.N*in, s.N*out, s.N)
	}
	return nil
}

// targets is the number of targets of a sample.
func (b *base[T]) targets() int { return b.outer.Targets(b.model.Out()) }

// finite refuses a result that is not.
func finite[T kernel.Float](loss T, grad []T) error {
	if one := [1]T{loss}; !kernel.IsFinite(one[:]) {
		return fmt.Errorf("compute gradient: %w: the loss is %v, expected a finite number", ErrDiverged, loss)
	}
	if !kernel.IsFinite(grad) {
		return fmt.Errorf("compute gradient: %w: the loss is %v but its gradient is not finite", ErrDiverged, loss)
	}
	return nil
}

// Predictor is an adapted model. It holds parameters of its own and is used by
// one goroutine.
type Predictor[T kernel.Float] struct {
	theta   []T
	out     int
	forward func(theta, x []T, n int) []T
	tape    *nn.Tape[T] // whose Forward it is; nil where pkg/nn does not compute it
	outer   nn.Loss

	updater Updater[T] // nil where there is none
}

// An Updater adapts further to samples that came later, at a cost that does not
// grow with those before.
type Updater[T kernel.Float] interface {
	// Update adds samples to those adapted to: the Predictor is then what it would
	// be if it had seen them with the others. An error leaves it as it was.
	Update(more *Batch[T]) error
}

// Updater returns how p learns from later samples without starting anew; false
// where its learner can't (all but ridge).
func (p *Predictor[T]) Updater() (Updater[T], bool) { return p.updater, p.updater != nil }

// newPredictor takes over theta, the model's parameters.
func (b *base[T]) newPredictor(theta []T) (*Predictor[T], error) {
	tape := nn.NewTape[T](b.model, 1)
	p, err := NewPredictor(theta, b.model.Out(), b.outer, tape.Forward)
	if err == nil {
		p.tape = tape
	}
	return p, err
}

// NewPredictor makes a Predictor of parameters and of what computes out outputs a
// sample from them: for learners that do not compute by pkg/nn. It takes over theta.
func NewPredictor[T kernel.Float](theta []T, out int, outer nn.Loss, forward func(theta, x []T, n int) []T) (*Predictor[T], error) {
	if !kernel.IsFinite(theta) {
		return nil, fmt.Errorf("adapt: %w: the adapted parameters are not finite; a smaller rate or fewer steps may help", ErrDiverged)
	}
	return &Predictor[T]{theta: theta, out: out, forward: forward, outer: outer}, nil
}

// Predict fills y [n][out] for x [n][in], clipped where the learner clips.
func (p *Predictor[T]) Predict(x []T, n int, y []T) {
	y = y[:n*p.out]
	copy(y, p.forward(p.theta, x, n))
	nn.Clip(p.outer, y)
}

// Outputs is how many outputs Predict makes of a sample.
func (p *Predictor[T]) Outputs() int { return p.out }

// Loss returns the outer loss of b under the adapted model.
func (p *Predictor[T]) Loss(b *Batch[T]) T {
	y := p.forward(p.theta, b.X, b.N)
	return nn.Grad(p.outer, b.N, p.out, y, b.Y, b.W, make([]T, len(y)))
}

// Theta returns the adapted parameters of the model, which stay the Predictor's.
func (p *Predictor[T]) Theta() []T { return p.theta }

// room returns x with length n, made anew, and half as long again, where it is
// too short.
func room[T any](x []T, n int) []T {
	if cap(x) < n {
		x = make([]T, n+n/2)
	}
	return x[:n]
}

// extend appends a tensor of the learner's own to the model's.
func extend(m *nn.Model, name string, shape ...int) []nn.Param {
	return append(slices.Clip(m.Params()), nn.Param{Name: name, Offset: m.NumParams(), Shape: shape})
}
