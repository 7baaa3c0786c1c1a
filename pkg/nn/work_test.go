package nn

import "testing"

// Multiply-adds of a forward pass, counted by hand, and those with the model's own input.
func TestWorkByHand(t *testing.T) {
	series := Shape{In: []int{4, 2}, Out: 1}
	for name, c := range map[string]struct {
		net        Config
		shape      Shape
		all, first float64
	}{
		"mlp 2-3-1":                        {Config{Name: "mlp", Hidden: []int{3}}, Flat(2, 1), 2*3 + 3, 2 * 3},
		"mlp with a skip":                  {Config{Name: "mlp", Hidden: []int{3}, Skip: true}, Flat(2, 1), 2*3 + 3 + 2, 2 * 3},
		"a norm before":                    {Config{Name: "layers", Layers: []LayerSpec{{Kind: "layernorm"}, {Kind: "dense", Units: 3}}}, Flat(2, 1), 2*3 + 3, 0},
		"causal convolution, a tap padded": {Config{Name: "layers", Layers: []LayerSpec{{Kind: "conv1d", Filters: 3, Kernel: Dims{2}, Causal: true}, {Kind: "last"}}}, series, 7*2*3 + 3, 7 * 2 * 3},
		"residual with a projection":       {Config{Name: "layers", Layers: []LayerSpec{{Kind: "residual", Layers: []LayerSpec{{Kind: "conv1d", Filters: 3, Kernel: Dims{1}}}}, {Kind: "last"}}}, series, 4*2*3 + 4*2*3 + 3, 2 * 4 * 2 * 3},
		"residual behind a layer": {Config{Name: "layers", Layers: []LayerSpec{{Kind: "dense", Units: 3}, {Kind: "residual", Layers: []LayerSpec{{Kind: "dense", Units: 3}}}}}, Flat(2, 1),
			2*3 + 3*3 + 3, 2 * 3},
		"gru: three gates, no state at first": {Config{Name: "gru", Units: 3}, series, 4*2*9 + 3*3*9 + 3, 4 * 2 * 9},
	} {
		m, err := Build(c.net, c.shape)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if all, first := m.Work(); all != c.all || first != c.first {
			t.Errorf("%s: found %v, of the first layer %v, expected %v and %v", name, all, first, c.all, c.first)
		}
	}
}
