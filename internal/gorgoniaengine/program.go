package gorgoniaengine

import (
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/warmstart-ml/warmstart/pkg/learner"
)

// Float is the element type of a graph.
type Float interface{ float32 | float64 }

// building guards the construction of graphs, which races within gorgonia.
var building sync.Mutex

// program is a graph and the machine that runs it. It belongs to one goroutine.
type program[T Float] struct {
	net            Net
	g              *Graph
	vm             gorgonia.VM
	params         []*Value
	support, query placeholders
	values         []gorgonia.Value // what the graph was compiled to give
}

// placeholders are the inputs of a batch of n samples.
type placeholders struct {
	n       int
	x, y, w *Value
}

// compile builds a graph whose nodes build returns, in that order. Panics of
// gorgonia, or of the net's Forward, come back as errors.
func compile[T Float](net Net, build func(*program[T]) (gorgonia.Nodes, error)) (p *program[T], err error) {
	defer caught("build gorgonia graph", &err)
	if err := net.check(); err != nil {
		return nil, fmt.Errorf("build gorgonia graph: %w", err)
	}
	building.Lock()
	defer building.Unlock()
	p = &program[T]{net: net, g: newGraph(dtype[T]())}
	for _, t := range net.Tensors {
		p.params = append(p.params, p.g.input(t.Name, t.Rows, t.Cols))
	}
	nodes, err := build(p)
	if err != nil {
		return nil, fmt.Errorf("build gorgonia graph: %w", err)
	}
	p.values = make([]gorgonia.Value, len(nodes))
	for i, n := range nodes {
		gorgonia.Read(n, &p.values[i])
	}
	p.vm = gorgonia.NewTapeMachine(p.g.g)
	return p, nil
}

func dtype[T Float]() tensor.Dtype {
	if _, ok := any(T(0)).(float32); ok {
		return tensor.Float32
	}
	return tensor.Float64
}

// batch makes the inputs of n samples. Weights are one column.
func (p *program[T]) batch(name string, n int) placeholders {
	return placeholders{n, p.g.input(name+".x", n, p.net.In), p.g.input(name+".y", n, p.net.Out), p.g.input(name+".w", n, 1)}
}

// outputs is Forward, its shape checked.
func (p *program[T]) outputs(params []*Value, b placeholders) *Value {
	y := p.net.Forward(p.g, params, b.x)
	if y == nil {
		panic(fmt.Errorf("the net's Forward made nothing, expected [%d][%d]", b.n, p.net.Out))
	}
	if y.Rows != b.n || y.Cols != p.net.Out {
		panic(fmt.Errorf("the net's Forward made [%d][%d], expected [%d][%d]", y.Rows, y.Cols, b.n, p.net.Out))
	}
	return y
}

// descend returns the parameters after one step down the loss of the support, the
// gradient being written out. The next step starts from them as from leaves.
func (p *program[T]) descend(loss loss, params []*Value, rate float64) []*Value {
	g := p.g
	grads := g.gradients(loss(g, p.outputs(params, p.support), p.support), params)
	next := make([]*Value, len(params))
	for i, v := range params {
		next[i] = v
		if d := grads[i]; d != nil {
			next[i] = g.value(minus(v.node, g.scale(d, rate)), v.Rows, v.Cols)
		}
	}
	return next
}

// caught turns a panic into an error.
func caught(doing string, err *error) {
	switch p := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("%s: %w", doing, p)
	default:
		*err = fmt.Errorf("%s: panic: %v", doing, p)
	}
}

// run sets every input and runs the graph.
func (p *program[T]) run(theta []T, support, query *learner.Batch[T]) (err error) {
	defer caught("run gorgonia graph", &err)
	if n := p.net.NumParams(); len(theta) != n {
		return fmt.Errorf("run gorgonia graph: %d parameters, expected %d", len(theta), n)
	}
	for _, b := range []struct {
		name string
		to   placeholders
		from *learner.Batch[T]
	}{{"support", p.support, support}, {"query", p.query, query}} {
		if b.to.x == nil {
			continue
		}
		if err := feed(p.net, b.to, b.from); err != nil {
			return fmt.Errorf("run gorgonia graph: %s: %w", b.name, err)
		}
	}
	for i, t := range p.net.Params() {
		if err := let(p.params[i], theta[t.Offset:][:t.Size()]); err != nil {
			return fmt.Errorf("run gorgonia graph: %s: %w", t.Name, err)
		}
	}
	p.vm.Reset()
	if err := p.vm.RunAll(); err != nil {
		return fmt.Errorf("run gorgonia graph: %w", err)
	}
	return nil
}

// feed sets the inputs of a batch.
func feed[T Float](net Net, p placeholders, b *learner.Batch[T]) error {
	if b.N != p.n || len(b.X) < b.N*net.In || len(b.Y) < b.N*net.Out || len(b.W) < b.N {
		return fmt.Errorf("%d samples, expected %d, as the graph was built", b.N, p.n)
	}
	for _, f := range []struct {
		v    *Value
		data []T
	}{{p.x, b.X}, {p.y, b.Y}, {p.w, b.W}} {
		if err := let(f.v, f.data[:f.v.Rows*f.v.Cols]); err != nil {
			return err
		}
	}
	return nil
}

// let gives an input a copy of data.
func let[T Float](v *Value, data []T) error {
	return gorgonia.Let(v.node, tensor.New(tensor.WithShape(v.Rows, v.Cols), tensor.WithBacking(append([]T(nil), data...))))
}

// copyOut copies a value's numbers; one of 1 x 1 comes back as a scalar.
func copyOut[T Float](to []T, v gorgonia.Value) error {
	switch v := v.Data().(type) {
	case []T:
		if len(v) != len(to) {
			return fmt.Errorf("read gorgonia graph: found %d numbers, expected %d", len(v), len(to))
		}
		copy(to, v)
	case T:
		to[0] = v
	default:
		return fmt.Errorf("read gorgonia graph: found a %T, expected numbers", v)
	}
	return nil
}

// Close frees the machine of the graph.
func (p *program[T]) Close() error { return p.vm.Close() }
