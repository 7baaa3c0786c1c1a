package gorgoniaengine

import "gorgonia.org/gorgonia"

type adder = func(*Value, *gorgonia.Node)

// MatMul is x y, [m][k] times [k][n].
func (g *Graph) MatMul(x, y *Value) *Value {
	fit("MatMul", x.Cols == y.Rows, x, y)
	v := g.value(mul(x.node, y.node), x.Rows, y.Cols, x, y)
	v.back = func(d *gorgonia.Node, add adder) {
		add(x, mul(d, flip(y.node)))
		add(y, mul(flip(x.node), d))
	}
	return v
}

// Add is x + y, elementwise.
func (g *Graph) Add(x, y *Value) *Value {
	fit("Add", x.Rows == y.Rows && x.Cols == y.Cols, x, y)
	v := g.value(plus(x.node, y.node), x.Rows, x.Cols, x, y)
	v.back = func(d *gorgonia.Node, add adder) { add(x, d); add(y, d) }
	return v
}

// Sub is x - y, elementwise.
func (g *Graph) Sub(x, y *Value) *Value {
	fit("Sub", x.Rows == y.Rows && x.Cols == y.Cols, x, y)
	v := g.value(minus(x.node, y.node), x.Rows, x.Cols, x, y)
	v.back = func(d *gorgonia.Node, add adder) { add(x, d); add(y, g.scale(d, -1)) }
	return v
}

// Times is x*y, elementwise.
func (g *Graph) Times(x, y *Value) *Value {
	fit("Times", x.Rows == y.Rows && x.Cols == y.Cols, x, y)
	v := g.value(times(x.node, y.node), x.Rows, x.Cols, x, y)
	v.back = func(d *gorgonia.Node, add adder) {
		add(x, times(d, y.node))
		add(y, times(d, x.node))
	}
	return v
}

// Scale is c*x.
func (g *Graph) Scale(x *Value, c float64) *Value {
	v := g.value(g.scale(x.node, c), x.Rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, g.scale(d, c)) }
	return v
}

func (g *Graph) scale(n *gorgonia.Node, c float64) *gorgonia.Node { return times(n, g.constant(c)) }

// Spread repeats the row x [1][n] into rows: a bias or a statistic.
func (g *Graph) Spread(x *Value, rows int) *Value {
	if x.Rows != 1 {
		fit("Spread", false, x, x)
	}
	ones := g.column(rows)
	v := g.value(mul(ones, x.node), rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, mul(flip(ones), d)) }
	return v
}

// SumRows is the sum over rows, [1][cols].
func (g *Graph) SumRows(x *Value) *Value {
	ones := g.column(x.Rows)
	v := g.value(mul(flip(ones), x.node), 1, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, mul(ones, d)) }
	return v
}

// SumCols is the sum over columns, [rows][1].
func (g *Graph) SumCols(x *Value) *Value {
	ones := flip(g.column(x.Cols))
	v := g.value(mul(x.node, g.column(x.Cols)), x.Rows, 1, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, mul(d, ones)) }
	return v
}

// Relu is x where x > 0, else 0.
func (g *Graph) Relu(x *Value) *Value {
	mask := must(gorgonia.Gt(x.node, g.constant(0), true))
	v := g.value(times(x.node, mask), x.Rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, times(d, mask)) }
	return v
}

// Tanh is the hyperbolic tangent.
func (g *Graph) Tanh(x *Value) *Value {
	y := must(gorgonia.Tanh(x.node))
	v := g.value(y, x.Rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) {
		add(x, times(d, minus(g.constant(1), times(y, y))))
	}
	return v
}

// Sigmoid is 1/(1+exp(-x)).
func (g *Graph) Sigmoid(x *Value) *Value {
	// By tanh, whose derivative gorgonia has right.
	half := g.scale(must(gorgonia.Tanh(g.scale(x.node, 0.5))), 0.5)
	y := plus(half, g.constant(0.5))
	v := g.value(y, x.Rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) {
		add(x, times(d, times(y, minus(g.constant(1), y))))
	}
	return v
}

// Exp is e**x.
func (g *Graph) Exp(x *Value) *Value {
	y := must(gorgonia.Exp(x.node))
	v := g.value(y, x.Rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, times(d, y)) }
	return v
}

// Log is the natural logarithm.
func (g *Graph) Log(x *Value) *Value {
	v := g.value(must(gorgonia.Log(x.node)), x.Rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, must(gorgonia.HadamardDiv(d, x.node))) }
	return v
}

// Power is x**p for x > 0, by exp and log.
func (g *Graph) Power(x *Value, p float64) *Value { return g.Exp(g.Scale(g.Log(x), p)) }

// Shift is x + c.
func (g *Graph) Shift(x *Value, c float64) *Value {
	v := g.value(plus(x.node, g.constant(c)), x.Rows, x.Cols, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, d) }
	return v
}

// Sum is the sum of everything, [1][1].
func (g *Graph) Sum(x *Value) *Value { return g.SumCols(g.SumRows(x)) }

// Columns are the columns of x from lo on, so many of them: a product with a
// constant matrix, since gorgonia's own slices differentiate wrongly.
func (g *Graph) Columns(x *Value, lo, n int) *Value {
	if lo == 0 && n == x.Cols {
		return x
	}
	pick := g.picker(x.Cols, lo, n)
	v := g.value(mul(x.node, pick), x.Rows, n, x)
	v.back = func(d *gorgonia.Node, add adder) { add(x, mul(d, flip(pick))) }
	return v
}
