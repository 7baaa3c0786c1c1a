package gorgoniaengine

import (
	"fmt"
	"math"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Net is a model as a graph: tensors, and what is made of them and of a batch.
type Net struct {
	// Tensors are the parameters, in the order of the flat parameter vector.
	Tensors []Tensor
	// In and Out are the numbers of inputs and outputs of a sample.
	In, Out int
	// Forward makes the outputs [n][Out] of x [n][In] from one value per tensor,
	// by the operations of Graph. It is called once for each pass of each graph.
	Forward func(g *Graph, tensors []*Value, x *Value) *Value
}

// Tensor is a matrix of parameters; a bias is one row. Fan is the number of inputs
// that its numbers meet: they start as U(+-1/sqrt(Fan)); zero starts them at Start.
type Tensor struct {
	Name       string
	Rows, Cols int
	Fan        int
	Start      float32
}

// NumParams is the length of the flat parameter vector.
func (n *Net) NumParams() int {
	size := 0
	for _, t := range n.Tensors {
		size += t.Rows * t.Cols
	}
	return size
}

// check refuses what no graph could be built from.
func (n *Net) check() error {
	if n.In < 1 || n.Out < 1 || n.Forward == nil || len(n.Tensors) == 0 {
		return fmt.Errorf("net of %d inputs, %d outputs and %d tensors, expected at least one of each and a Forward", n.In, n.Out, len(n.Tensors))
	}
	for i, t := range n.Tensors {
		if t.Name == "" || t.Rows < 1 || t.Cols < 1 || t.Fan < 0 {
			return fmt.Errorf("tensor %d: name %q, shape [%d][%d], fan %d, expected a name, sizes of 1 and above and a fan of 0 and above", i, t.Name, t.Rows, t.Cols, t.Fan)
		}
	}
	return nil
}

// Params describes the parameter vector as pkg/nn does.
func (n *Net) Params() []nn.Param {
	var list []nn.Param
	at := 0
	for _, t := range n.Tensors {
		list = append(list, nn.Param{Name: t.Name, Offset: at, Shape: []int{t.Rows, t.Cols}})
		at += t.Rows * t.Cols
	}
	return list
}

// start fills theta as the tensors say: each from a stream of its own, keyed by
// the seed and its name.
func (n *Net) start(seed uint64, theta []float32) {
	for i, p := range n.Params() {
		t, x := n.Tensors[i], theta[p.Offset:][:p.Size()]
		if t.Fan == 0 {
			for j := range x {
				x[j] = t.Start
			}
			continue
		}
		limit := float32(math.Sqrt(1 / float64(t.Fan)))
		nn.Uniform(seed, t.Name, x, -limit, limit)
	}
}
