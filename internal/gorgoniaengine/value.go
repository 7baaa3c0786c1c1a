package gorgoniaengine

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Value is a matrix [rows][cols] of a graph under construction. Operations on
// values make nodes and remember how their gradient is written, as nodes too, so
// that an inner gradient is an ordinary part of the graph and gorgonia's own Grad
// is called on it once: the only way in which second derivatives come out right.
type Value struct {
	Rows, Cols int
	node       *gorgonia.Node
	back       func(d *gorgonia.Node, add func(*Value, *gorgonia.Node))
	from       []*Value
}

// Graph makes values. Its methods panic where shapes do not fit, with both shapes
// named; whoever builds a graph through this package gets that as an error.
type Graph struct {
	g         *gorgonia.ExprGraph
	dtype     tensor.Dtype
	constants int                    // gorgonia tells constants apart by name
	ones      map[int]*gorgonia.Node // columns of ones, by length
}

func newGraph(dtype tensor.Dtype) *Graph {
	return &Graph{g: gorgonia.NewGraph(), dtype: dtype, ones: map[int]*gorgonia.Node{}}
}

// must unwraps a node; the edge of the package catches the panic.
func must(n *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		panic(err)
	}
	return n
}

func mul(x, y *gorgonia.Node) *gorgonia.Node   { return must(gorgonia.Mul(x, y)) }
func times(x, y *gorgonia.Node) *gorgonia.Node { return must(gorgonia.HadamardProd(x, y)) }
func plus(x, y *gorgonia.Node) *gorgonia.Node  { return must(gorgonia.Add(x, y)) }
func minus(x, y *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Sub(x, y)) }
func flip(x *gorgonia.Node) *gorgonia.Node     { return must(gorgonia.Transpose(x, 1, 0)) }

func (*Graph) value(node *gorgonia.Node, rows, cols int, from ...*Value) *Value {
	return &Value{Rows: rows, Cols: cols, node: node, from: from}
}

// input is a matrix that is set before each run.
func (g *Graph) input(name string, rows, cols int) *Value {
	n := gorgonia.NewMatrix(g.g, g.dtype, gorgonia.WithName(name), gorgonia.WithShape(rows, cols))
	return g.value(n, rows, cols)
}

// constant is a scalar of the graph's type.
func (g *Graph) constant(v float64) *gorgonia.Node {
	g.constants++
	name := gorgonia.WithName(fmt.Sprintf("constant%d", g.constants))
	if g.dtype == tensor.Float32 {
		return gorgonia.NewConstant(float32(v), name)
	}
	return gorgonia.NewConstant(v, name)
}

// column is a column of n ones, which biases and sums over rows are products with.
func (g *Graph) column(n int) *gorgonia.Node {
	if g.ones[n] == nil {
		g.ones[n] = g.fixed(fmt.Sprintf("ones%d", n), n, 1, func(int) bool { return true })
	}
	return g.ones[n]
}

// fit panics unless the shapes of an operation agree.
func fit(op string, ok bool, x, y *Value) {
	if !ok {
		panic(fmt.Errorf("%s: shapes [%d][%d] and [%d][%d] do not fit", op, x.Rows, x.Cols, y.Rows, y.Cols))
	}
}

// gradients returns the gradient of loss for each of params as values without a
// gradient of their own rule: what is made of them is differentiated by gorgonia.
// A parameter that the loss does not depend on has a nil gradient.
func (g *Graph) gradients(loss *Value, params []*Value) []*gorgonia.Node {
	d := map[*Value]*gorgonia.Node{loss: g.column(1)}
	add := func(v *Value, n *gorgonia.Node) {
		if d[v] == nil {
			d[v] = n
			return
		}
		d[v] = plus(d[v], n)
	}
	for _, v := range descending(loss) {
		if v.back != nil && d[v] != nil {
			v.back(d[v], add)
		}
	}
	grads := make([]*gorgonia.Node, len(params))
	for i, p := range params {
		grads[i] = d[p]
	}
	return grads
}

// descending lists what v was made of, v included, latest first.
func descending(v *Value) []*Value {
	seen := map[*Value]bool{}
	var list []*Value
	var visit func(*Value)
	visit = func(v *Value) {
		if seen[v] {
			return
		}
		seen[v] = true
		for _, f := range v.from {
			visit(f)
		}
		list = append(list, v) // after what it was made of
	}
	visit(v)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// picker is the constant [cols][n] with ones that pick columns lo to lo+n-1.
func (g *Graph) picker(cols, lo, n int) *gorgonia.Node {
	g.constants++
	return g.fixed(fmt.Sprintf("pick%d", g.constants), cols, n, func(i int) bool { return i/n == lo+i%n })
}

// fixed is a constant matrix of ones and zeros.
func (g *Graph) fixed(name string, rows, cols int, one func(i int) bool) *gorgonia.Node {
	wide := make([]float64, rows*cols)
	for i := range wide {
		if one(i) {
			wide[i] = 1
		}
	}
	var data any = wide
	if g.dtype == tensor.Float32 {
		narrow := make([]float32, len(wide))
		for i, v := range wide {
			narrow[i] = float32(v)
		}
		data = narrow
	}
	t := tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
	return gorgonia.NewMatrix(g.g, g.dtype, gorgonia.WithName(name), gorgonia.WithShape(rows, cols), gorgonia.WithValue(t))
}
