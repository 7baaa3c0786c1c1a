package gorgoniaengine

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// builder makes nodes. Errors of gorgonia panic here and are caught by New.
type builder[T Float] struct {
	g    *gorgonia.ExprGraph
	tanh bool
	n    int // constants so far: gorgonia tells them apart by name
}

func (b *builder[T]) dtype() tensor.Dtype {
	var z T
	if _, ok := any(z).(float32); ok {
		return tensor.Float32
	}
	return tensor.Float64
}

func (b *builder[T]) matrix(name string, rows, cols int) *gorgonia.Node {
	return gorgonia.NewMatrix(b.g, b.dtype(), gorgonia.WithName(name), gorgonia.WithShape(rows, cols))
}

func (b *builder[T]) batch(name string, n, in, out int) placeholders {
	return placeholders{n, b.matrix(name+".x", n, in), b.matrix(name+".y", n, out), b.matrix(name+".w", n, out), b.matrix(name+".ones", n, 1)}
}

func (b *builder[T]) constant(v T) *gorgonia.Node {
	b.n++
	return gorgonia.NewConstant(v, gorgonia.WithName(fmt.Sprintf("constant%d", b.n)))
}

// must unwraps a node; New catches the panic.
func must(n *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		panic(err)
	}
	return n
}

func mul(x, y *gorgonia.Node) *gorgonia.Node   { return must(gorgonia.Mul(x, y)) }
func times(x, y *gorgonia.Node) *gorgonia.Node { return must(gorgonia.HadamardProd(x, y)) }
func flip(x *gorgonia.Node) *gorgonia.Node     { return must(gorgonia.Transpose(x, 1, 0)) }

// forward returns the inputs of each dense layer, the slopes of the activations
// between them, and the outputs.
func (b *builder[T]) forward(params gorgonia.Nodes, x, ones *gorgonia.Node) (inputs, slopes gorgonia.Nodes, y *gorgonia.Node) {
	for l := 0; l < len(params); l += 2 {
		inputs = append(inputs, x)
		z := must(gorgonia.Add(mul(x, params[l]), mul(ones, params[l+1])))
		if l == len(params)-2 {
			return inputs, slopes, z
		}
		var slope *gorgonia.Node
		if b.tanh {
			x = must(gorgonia.Tanh(z))
			slope = must(gorgonia.Sub(b.constant(1), times(x, x)))
		} else {
			slope = must(gorgonia.Gt(z, b.constant(0), true))
			x = times(z, slope)
		}
		slopes = append(slopes, slope)
	}
	return inputs, slopes, x
}

// loss is the weighted sum of squared errors of a batch.
func (b *builder[T]) loss(params gorgonia.Nodes, p placeholders) *gorgonia.Node {
	_, _, y := b.forward(params, p.x, p.columns)
	r := must(gorgonia.Sub(y, p.y))
	return must(gorgonia.Sum(times(p.w, times(r, r))))
}

// descend returns the parameters after one step down the loss of p, the gradient
// being written out.
func (b *builder[T]) descend(params gorgonia.Nodes, p placeholders, rate T) gorgonia.Nodes {
	inputs, slopes, y := b.forward(params, p.x, p.columns)
	d := times(b.constant(2), times(p.w, must(gorgonia.Sub(y, p.y))))
	next := make(gorgonia.Nodes, len(params))
	for l := len(inputs) - 1; l >= 0; l-- {
		w, bias := params[2*l], params[2*l+1]
		next[2*l] = b.step(w, mul(flip(inputs[l]), d), rate)
		next[2*l+1] = b.step(bias, mul(flip(p.columns), d), rate)
		if l > 0 {
			d = times(mul(d, flip(w)), slopes[l-1])
		}
	}
	return next
}

// step returns x - rate*g.
func (b *builder[T]) step(x, g *gorgonia.Node, rate T) *gorgonia.Node {
	return must(gorgonia.Sub(x, times(b.constant(rate), g)))
}
