package gorgoniaengine

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/warmstart-ml/warmstart/pkg/learner"
)

// MAML sets the inner loop of an engine.
type MAML struct {
	// Steps is the number K of inner steps, 0 and above; Rate is their length.
	Steps int
	Rate  float64
	// Inner and Outer name the losses: mse or softmax.
	Inner, Outer string
}

// Engine is one graph: the exact meta-gradient of MAML on tasks of one size. It
// belongs to one goroutine.
type Engine[T Float] struct {
	*program[T]
	moved []int // tensors that the loss depends on: their gradients come first, then the loss
}

// New builds the graph of MAML on net for support and query sets of the given
// sizes. Panics of gorgonia, or of the net's Forward, come back as errors.
func New[T Float](net Net, m MAML, support, query int) (*Engine[T], error) {
	if m.Steps < 0 || query < 1 || support < 0 || support == 0 && m.Steps > 0 {
		return nil, fmt.Errorf("build gorgonia graph: %d steps on %d support and %d query samples, expected at least 1 sample of each", m.Steps, support, query)
	}
	inner, err := lossOf(m.Inner)
	if err != nil {
		return nil, fmt.Errorf("build gorgonia graph: inner loss: %w", err)
	}
	outer, err := lossOf(m.Outer)
	if err != nil {
		return nil, fmt.Errorf("build gorgonia graph: outer loss: %w", err)
	}
	e := &Engine[T]{}
	e.program, err = compile(net, func(p *program[T]) (gorgonia.Nodes, error) {
		adapted := p.params
		if m.Steps > 0 {
			p.support = p.batch("support", support)
		}
		for range m.Steps {
			adapted = p.descend(inner, adapted, m.Rate)
		}
		p.query = p.batch("query", query)
		return e.differentiate(p, outer(p.g, p.outputs(adapted, p.query), p.query), adapted)
	})
	return e, err
}

// differentiate returns the gradients of the loss and the loss. A tensor that the
// outputs do not depend on, as a tap that only ever meets padding, would be an
// error of gorgonia's; its gradient is zero.
func (e *Engine[T]) differentiate(p *program[T], loss *Value, adapted []*Value) (gorgonia.Nodes, error) {
	made := descending(loss)
	var wrt gorgonia.Nodes
	for i, v := range p.params {
		if slices.Contains(made, adapted[i]) {
			wrt, e.moved = append(wrt, v.node), append(e.moved, i)
		}
	}
	total := must(gorgonia.Sum(loss.node))
	grads, err := gorgonia.Grad(total, wrt...)
	if err != nil {
		return nil, fmt.Errorf("differentiate: %w", err)
	}
	return append(grads, total), nil
}

// Gradient returns the outer loss of task at theta and overwrites grad; both
// vectors are laid out as the net's tensors are. The task must have the sizes
// the graph was built for.
func (e *Engine[T]) Gradient(theta []T, task *learner.Task[T], grad []T) (loss T, err error) {
	if len(grad) != len(theta) {
		return 0, fmt.Errorf("run gorgonia graph: room for %d gradients, expected %d", len(grad), len(theta))
	}
	if err := e.run(theta, &task.Support, &task.Query); err != nil {
		return 0, err
	}
	clear(grad)
	params := e.net.Params()
	for i, t := range e.moved {
		p := params[t]
		if err := copyOut(grad[p.Offset:][:p.Size()], e.values[i]); err != nil {
			return 0, fmt.Errorf("gradient of %s: %w", p.Name, err)
		}
	}
	var out [1]T
	err = copyOut(out[:], e.values[len(e.moved)])
	return out[0], err
}

// newStep builds the graph of one inner step: its values are the next parameters.
func newStep[T Float](net Net, m MAML, support int) (*program[T], error) {
	inner, err := lossOf(m.Inner)
	if err != nil {
		return nil, err
	}
	return compile(net, func(p *program[T]) (gorgonia.Nodes, error) {
		p.support = p.batch("support", support)
		var nodes gorgonia.Nodes
		for i, v := range p.descend(inner, p.params, m.Rate) {
			if v == p.params[i] { // nothing depends on it
				v = p.g.Scale(v, 1)
			}
			nodes = append(nodes, v.node)
		}
		return nodes, nil
	})
}

// newForward builds the graph of the outputs for n samples.
func newForward[T Float](net Net, n int) (*program[T], error) {
	return compile(net, func(p *program[T]) (gorgonia.Nodes, error) {
		p.query = p.batch("query", n)
		y := p.outputs(p.params, p.query)
		return gorgonia.Nodes{y.node}, nil
	})
}
