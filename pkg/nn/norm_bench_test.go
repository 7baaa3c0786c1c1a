package nn

import "testing"

// BenchmarkLayer times all four passes of one layer over 20 samples, as a support
// of 5 ways and a query have them: norms of conv4's second map and of its width
// alone, and units over 24 hours.
func BenchmarkLayer(b *testing.B) {
	for _, c := range []struct {
		name string
		spec LayerSpec
		in   []int
	}{
		{"batchnorm", LayerSpec{Kind: "batchnorm"}, []int{7, 7, 64}},
		{"batchnorm14", LayerSpec{Kind: "batchnorm"}, []int{14, 14, 64}},
		{"layernorm", LayerSpec{Kind: "layernorm"}, []int{7, 7, 64}},
		{"gelu", LayerSpec{Kind: "gelu"}, []int{7, 7, 64}},
		{"gru", LayerSpec{Kind: "gru", Units: 32}, []int{24, 8}},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 20
			build := &builder{m: &Model{}, at: c.in, named: map[string]int{}}
			if err := build.layer(c.spec); err != nil {
				b.Fatal(err)
			}
			drawn := func(size int) []float32 { // no subnormals, which would rule the time
				x := make([]float32, size)
				Uniform(1, "bench", x, -1, 1)
				return x
			}
			l, x, y := newLayer[float32](build.m.steps[0], nil), drawn(n*volume(c.in)), drawn(n*volume(build.at))
			s := Signals[float32]{X: x, RX: x, DX: make([]float32, len(x)), RDX: make([]float32, len(x)),
				Y: make([]float32, len(y)), RY: make([]float32, len(y)), DY: drawn(len(y)), RDY: drawn(len(y))}
			theta, grad := drawn(build.m.size), make([]float32, build.m.size)
			for b.Loop() {
				l.Forward(theta, n, &s)
				l.Backward(theta, grad, n, &s)
				l.RForward(theta, theta, n, &s)
				l.RBackward(theta, theta, grad, n, &s)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/float64(len(y)), "ns/output")
		})
	}
}
