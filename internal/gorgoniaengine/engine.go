// Package gorgoniaengine computes second-order MAML by gorgonia's symbolic
// differentiation: another implementation of the same gradient, for checks.
// Agreement is to rounding; there is no promise of bits.
//
// gorgonia 0.9.18 differentiates a gradient wrongly without saying so: the inner
// backward pass is therefore written by hand, as nodes of the graph, and Grad is
// called once, on the outer loss. Relu is a product with a comparison, a bias a
// product with a column of ones, because the ready-made forms are broken or have
// no second derivative.
package gorgoniaengine

import (
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Float is the element type of a graph.
type Float interface{ float32 | float64 }

// building guards the construction of graphs, which races within gorgonia.
var building sync.Mutex

// Engine is one graph: MAML in a fixed number of steps on tasks of one size. It
// belongs to one goroutine.
type Engine[T Float] struct {
	model   *nn.Model
	vm      gorgonia.VM
	support placeholders
	query   placeholders
	params  gorgonia.Nodes
	shapes  []nn.Param
	values  []gorgonia.Value // gradients, then the loss
}

// placeholders are the inputs of a batch of n samples.
type placeholders struct {
	n                int
	x, y, w, columns *gorgonia.Node
}

// New builds the graph of MAML on the network of c, a relu or tanh MLP without a
// skip, from in inputs to out outputs: steps inner steps at the given rate,
// squared error inside and outside, support and query of the given sizes.
func New[T Float](c nn.Config, in, out, steps int, rate T, support, query int) (e *Engine[T], err error) {
	defer caught("build gorgonia graph", &err)
	if c.Skip {
		return nil, fmt.Errorf("build gorgonia graph: skip: not supported by this engine; use a model without")
	}
	if a := c.Activation; a != "" && a != "relu" && a != "tanh" {
		return nil, fmt.Errorf("build gorgonia graph: activation: %q, not supported by this engine; expected relu or tanh", a)
	}
	if steps < 1 || support < 1 || query < 1 {
		return nil, fmt.Errorf("build gorgonia graph: %d steps on %d support and %d query samples, expected at least 1 of each", steps, support, query)
	}
	m, err := nn.Build(c, nn.Flat(in, out))
	if err != nil {
		return nil, fmt.Errorf("build gorgonia graph: %w", err)
	}
	building.Lock()
	defer building.Unlock()
	b := &builder[T]{g: gorgonia.NewGraph(), tanh: c.Activation == "tanh"}
	e = &Engine[T]{model: m, shapes: m.Params()}
	e.support, e.query = b.batch("support", support, in, out), b.batch("query", query, in, out)
	for _, p := range e.shapes {
		rows, cols := matrix(p)
		e.params = append(e.params, b.matrix(p.Name, rows, cols))
	}
	adapted := e.params
	for range steps {
		adapted = b.descend(adapted, e.support, rate)
	}
	loss := b.loss(adapted, e.query)
	grads, err := gorgonia.Grad(loss, e.params...)
	if err != nil {
		return nil, fmt.Errorf("build gorgonia graph: differentiate: %w", err)
	}
	nodes := append(grads, loss)
	e.values = make([]gorgonia.Value, len(nodes))
	for i, n := range nodes {
		gorgonia.Read(n, &e.values[i])
	}
	e.vm = gorgonia.NewTapeMachine(b.g)
	return e, nil
}

// caught turns a panic of gorgonia into an error.
func caught(doing string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: panic: %v", doing, p)
	}
}

// Gradient returns the outer loss of task at theta and overwrites grad; both
// vectors are laid out as nn.Model.Params says. The task must have the sizes the
// graph was built for.
func (e *Engine[T]) Gradient(theta []T, task *learner.Task[T], grad []T) (loss T, err error) {
	defer caught("run gorgonia graph", &err)
	if len(theta) != e.model.NumParams() || len(grad) != len(theta) {
		return 0, fmt.Errorf("run gorgonia graph: %d parameters and room for %d, expected %d of each", len(theta), len(grad), e.model.NumParams())
	}
	if err := e.feed("support", e.support, &task.Support); err != nil {
		return 0, err
	}
	if err := e.feed("query", e.query, &task.Query); err != nil {
		return 0, err
	}
	for i, p := range e.shapes {
		rows, cols := matrix(p)
		if err := let(e.params[i], rows, cols, theta[p.Offset:][:p.Size()]); err != nil {
			return 0, fmt.Errorf("run gorgonia graph: %w", err)
		}
	}
	defer e.vm.Reset()
	if err := e.vm.RunAll(); err != nil {
		return 0, fmt.Errorf("run gorgonia graph: %w", err)
	}
	for i, p := range e.shapes {
		// A 1 x 1 tensor comes back as a scalar.
		switch v := e.values[i].Data().(type) {
		case []T:
			copy(grad[p.Offset:][:p.Size()], v)
		case T:
			grad[p.Offset] = v
		default:
			return 0, fmt.Errorf("run gorgonia graph: gradient of %s is a %T", p.Name, v)
		}
	}
	return e.values[len(e.shapes)].Data().(T), nil
}

// Close frees the machine of the graph.
func (e *Engine[T]) Close() error { return e.vm.Close() }

// feed sets the inputs of a batch. Weights are repeated for each output.
func (e *Engine[T]) feed(name string, p placeholders, b *learner.Batch[T]) error {
	in, out := e.model.In(), e.model.Out()
	if b.N != p.n || len(b.X) < b.N*in || len(b.Y) < b.N*out || len(b.W) < b.N {
		return fmt.Errorf("run gorgonia graph: %s of %d samples, expected %d, as the graph was built", name, b.N, p.n)
	}
	w, ones := make([]T, p.n*out), make([]T, p.n)
	for i := range w {
		w[i], ones[i/out] = b.W[i/out], 1
	}
	for _, f := range []struct {
		node *gorgonia.Node
		cols int
		data []T
	}{{p.x, in, b.X}, {p.y, out, b.Y}, {p.w, out, w}, {p.columns, 1, ones}} {
		if err := let(f.node, p.n, f.cols, f.data[:p.n*f.cols]); err != nil {
			return fmt.Errorf("run gorgonia graph: %s: %w", name, err)
		}
	}
	return nil
}

// let gives a node a copy of data, as a matrix.
func let[T Float](n *gorgonia.Node, rows, cols int, data []T) error {
	return gorgonia.Let(n, tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(append([]T(nil), data...))))
}

// matrix returns the shape of p as a matrix: a bias is one row.
func matrix(p nn.Param) (rows, cols int) {
	if len(p.Shape) == 1 {
		return 1, p.Shape[0]
	}
	return p.Shape[0], p.Shape[1]
}
