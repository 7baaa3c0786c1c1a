package gorgoniaengine

import (
	"fmt"
	"slices"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/warmstart-ml/warmstart/pkg/learner"
)

// Float is the element type of a graph.
type Float interface{ float32 | float64 }

// building guards the construction of graphs, which races within gorgonia.
var building sync.Mutex

// MAML sets the inner loop of an engine.
type MAML struct {
	// Steps is the number K of inner steps, 0 and above; Rate is their length.
	Steps int
	Rate  float64
	// Inner and Outer name the losses: mse or softmax.
	Inner, Outer string
}

// Engine is one graph: MAML on tasks of one size. It belongs to one goroutine.
type Engine[T Float] struct {
	net     Net
	vm      gorgonia.VM
	support placeholders
	query   placeholders
	params  []*Value
	moved   []int            // tensors that the loss depends on
	values  []gorgonia.Value // their gradients, then the loss
}

// placeholders are the inputs of a batch of n samples.
type placeholders struct {
	n       int
	x, y, w *Value
}

// New builds the graph of MAML on net for support and query sets of the given
// sizes. Panics of gorgonia, or of the net's Forward, come back as errors.
func New[T Float](net Net, m MAML, support, query int) (e *Engine[T], err error) {
	defer caught("build gorgonia graph", &err)
	if err := net.check(); err != nil {
		return nil, fmt.Errorf("build gorgonia graph: %w", err)
	}
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
	building.Lock()
	defer building.Unlock()
	g := newGraph(dtype[T]())
	e = &Engine[T]{net: net}
	for _, t := range net.Tensors {
		e.params = append(e.params, g.input(t.Name, t.Rows, t.Cols))
	}
	adapted := e.params
	if m.Steps > 0 {
		e.support = g.batch("support", support, net)
	}
	for range m.Steps {
		adapted = g.descend(net, inner, adapted, e.support, m.Rate)
	}
	e.query = g.batch("query", query, net)
	y := g.outputs(net, adapted, e.query)
	if err := e.read(outer(g, y, e.query), adapted); err != nil {
		return nil, fmt.Errorf("build gorgonia graph: differentiate: %w", err)
	}
	e.vm = gorgonia.NewTapeMachine(g.g)
	return e, nil
}

// read differentiates the loss and says what is read after a run. A tensor that
// the outputs do not depend on, as a tap that only ever meets padding, would be an
// error of gorgonia's; its gradient is zero.
func (e *Engine[T]) read(loss *Value, adapted []*Value) error {
	made := descending(loss)
	var wrt gorgonia.Nodes
	for i, v := range e.params {
		if slices.Contains(made, adapted[i]) {
			wrt, e.moved = append(wrt, v.node), append(e.moved, i)
		}
	}
	total := must(gorgonia.Sum(loss.node))
	grads, err := gorgonia.Grad(total, wrt...)
	if err != nil {
		return err
	}
	e.values = make([]gorgonia.Value, len(grads)+1)
	for i, n := range append(grads, total) {
		gorgonia.Read(n, &e.values[i])
	}
	return nil
}

func dtype[T Float]() tensor.Dtype {
	if _, ok := any(T(0)).(float32); ok {
		return tensor.Float32
	}
	return tensor.Float64
}

// batch makes the inputs of n samples. Weights are one column.
func (g *Graph) batch(name string, n int, net Net) placeholders {
	return placeholders{n, g.input(name+".x", n, net.In), g.input(name+".y", n, net.Out), g.input(name+".w", n, 1)}
}

// outputs is Forward, its shape checked.
func (g *Graph) outputs(net Net, params []*Value, p placeholders) *Value {
	y := net.Forward(g, params, p.x)
	if y == nil {
		panic(fmt.Errorf("the net's Forward made nothing, expected [%d][%d]", p.n, net.Out))
	}
	if y.Rows != p.n || y.Cols != net.Out {
		panic(fmt.Errorf("the net's Forward made [%d][%d], expected [%d][%d]", y.Rows, y.Cols, p.n, net.Out))
	}
	return y
}

// descend returns the parameters after one step down the loss of p, the gradient
// being written out. The next step starts from them as from leaves.
func (g *Graph) descend(net Net, loss loss, params []*Value, p placeholders, rate float64) []*Value {
	grads := g.gradients(loss(g, g.outputs(net, params, p), p), params)
	next := make([]*Value, len(params))
	for i, v := range params {
		next[i] = v
		if d := grads[i]; d != nil {
			next[i] = g.value(minus(v.node, g.scale(d, rate)), v.Rows, v.Cols)
		}
	}
	return next
}

// caught turns a panic of gorgonia into an error.
func caught(doing string, err *error) {
	switch p := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("%s: %w", doing, p)
	default:
		*err = fmt.Errorf("%s: panic: %v", doing, p)
	}
}

// Gradient returns the outer loss of task at theta and overwrites grad; both
// vectors are laid out as the net's tensors are. The task must have the sizes
// the graph was built for.
func (e *Engine[T]) Gradient(theta []T, task *learner.Task[T], grad []T) (loss T, err error) {
	defer caught("run gorgonia graph", &err)
	if n := e.net.NumParams(); len(theta) != n || len(grad) != n {
		return 0, fmt.Errorf("run gorgonia graph: %d parameters and room for %d, expected %d of each", len(theta), len(grad), n)
	}
	if err := e.run(theta, task); err != nil {
		return 0, err
	}
	clear(grad)
	params := e.net.Params()
	for i, t := range e.moved {
		p := params[t]
		if err := copyOut(grad[p.Offset:][:p.Size()], e.values[i]); err != nil {
			return 0, fmt.Errorf("run gorgonia graph: gradient of %s: %w", p.Name, err)
		}
	}
	var out [1]T
	err = copyOut(out[:], e.values[len(e.values)-1])
	return out[0], err
}

// run sets every input and runs the graph.
func (e *Engine[T]) run(theta []T, task *learner.Task[T]) error {
	if e.support.x != nil {
		if err := feed(e.net, "support", e.support, &task.Support); err != nil {
			return err
		}
	}
	if err := feed(e.net, "query", e.query, &task.Query); err != nil {
		return err
	}
	for i, p := range e.net.Params() {
		if err := let(e.params[i], theta[p.Offset:][:p.Size()]); err != nil {
			return fmt.Errorf("run gorgonia graph: %w", err)
		}
	}
	e.vm.Reset()
	if err := e.vm.RunAll(); err != nil {
		return fmt.Errorf("run gorgonia graph: %w", err)
	}
	return nil
}

// copyOut copies a value's numbers; one of 1 x 1 comes back as a scalar.
func copyOut[T Float](to []T, v gorgonia.Value) error {
	switch v := v.Data().(type) {
	case []T:
		if len(v) != len(to) {
			return fmt.Errorf("found %d numbers, expected %d", len(v), len(to))
		}
		copy(to, v)
	case T:
		to[0] = v
	default:
		return fmt.Errorf("found a %T, expected numbers", v)
	}
	return nil
}

// Close frees the machine of the graph.
func (e *Engine[T]) Close() error { return e.vm.Close() }

// feed sets the inputs of a batch.
func feed[T Float](net Net, name string, p placeholders, b *learner.Batch[T]) error {
	if b.N != p.n || len(b.X) < b.N*net.In || len(b.Y) < b.N*net.Out || len(b.W) < b.N {
		return fmt.Errorf("run gorgonia graph: %s of %d samples, expected %d, as the graph was built", name, b.N, p.n)
	}
	for _, f := range []struct {
		v    *Value
		data []T
	}{{p.x, b.X}, {p.y, b.Y}, {p.w, b.W}} {
		if err := let(f.v, f.data[:f.v.Rows*f.v.Cols]); err != nil {
			return fmt.Errorf("run gorgonia graph: %s: %w", name, err)
		}
	}
	return nil
}

// let gives an input a copy of data.
func let[T Float](v *Value, data []T) error {
	return gorgonia.Let(v.node, tensor.New(tensor.WithShape(v.Rows, v.Cols), tensor.WithBacking(append([]T(nil), data...))))
}
