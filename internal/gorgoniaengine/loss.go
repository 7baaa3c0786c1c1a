package gorgoniaengine

import "fmt"

// loss is the error [1][1] of outputs y against a batch.
type loss func(g *Graph, y *Value, p placeholders) *Value

func lossOf(name string) (loss, error) {
	switch name {
	case "mse":
		return squared, nil
	case "softmax":
		return crossEntropy, nil
	}
	return nil, fmt.Errorf("found %q, expected mse or softmax: this engine has no other", name)
}

// squared is the weighted sum of squared errors.
func squared(g *Graph, y *Value, p placeholders) *Value {
	r := g.Sub(y, p.y)
	return g.Sum(g.Times(p.w, g.SumCols(g.Times(r, r))))
}

// crossEntropy is the weighted sum over samples of sum(t) log(sum exp y) - t.y. No
// maximum is taken off: gorgonia's own softmax and maximum have wrong gradients.
func crossEntropy(g *Graph, y *Value, p placeholders) *Value {
	whole := g.Times(g.SumCols(p.y), g.Log(g.SumCols(g.Exp(y))))
	return g.Sum(g.Times(p.w, g.Sub(whole, g.SumCols(g.Times(p.y, y)))))
}
