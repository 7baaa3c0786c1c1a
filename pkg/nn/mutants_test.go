package nn

import (
	"testing"

	"github.com/warmstart-ml/warmstart/internal/mutants"
)

// TestMutantsAreCaught breaks derivatives, one line each, and holds that finite differences notice: a wrong one still
// trains.
func TestMutantsAreCaught(t *testing.T) {
	const passes, dense = "TestLayerPassesMatchFiniteDifferences", "TestRBackwardMatchesFiniteDifferences"
	mutants.Run(t, []mutants.Mutant{
		{Name: "dense R-backward without the direction", File: "dense.go", Old: "l.back(kernel.FromC, dir, n, s.DY, s.RDX)", New: "_ = dir", Test: dense},
		{Name: "dense R-backward without the input's part", File: "dense.go", Old: "l.outer(kernel.FromC, rgrad, n, s.RX, s.DY)", New: "_ = n", Test: dense},
		{Name: "convolution R-backward without the direction", File: "conv.go", Old: "l.back(kernel.FromC, dir, s.DY, s.RDX)", New: "_ = dir", Test: passes},
		{Name: "convolution R-backward by the wrong weights", File: "conv.go", Old: "l.back(kernel.FromZero, theta, s.RDY, s.RDX)", New: "l.back(kernel.FromZero, dir, s.RDY, s.RDX)", Test: passes},
		{Name: "sign of tanh's second derivative", File: "activation.go", Old: "kernel.Scale(dst, -2, y)", New: "kernel.Scale(dst, 2, y)", Test: passes},
		{Name: "sign of sigmoid's second derivative", File: "activation.go", Old: "dst[i] = 1 - T(2*y)", New: "dst[i] = T(2*y) - 1", Test: passes},
		{Name: "R-backward of curves forgets the second derivative", File: "activation.go", Old: "kernel.MulAdd(s.RDX, l.kept, s.RDY, s.RDX)", New: "kernel.Mul(s.RDX, l.kept, s.RDY)", Test: passes},
		{Name: "batch norm's backward takes the variance for fixed", File: "batchnorm.go", Old: "l.a[j], l.b[j] = -l.beta(grad)[j]/n, -l.gamma(grad)[j]/n", New: "l.a[j], l.b[j] = -l.beta(grad)[j]/n, 0", Test: passes},
		{Name: "batch norm's backward takes the mean for fixed", File: "batchnorm.go", Old: "l.a[j], l.b[j] = -l.beta(grad)[j]/n, -l.gamma(grad)[j]/n", New: "l.a[j], l.b[j] = 0, -l.gamma(grad)[j]/n", Test: passes},
		{Name: "sign of batch norm's scale along the direction", File: "batchnorm.go", Old: "l.rscale[j] += T(l.scale[j] * turn)", New: "l.rscale[j] -= T(l.scale[j] * turn)", Test: passes},
		{Name: "batch norm's R-backward without the whitened input's R-value", File: "batchnorm.go", Old: "kernel.AddMulRow(rdx, rdx, l.rxh[lo:hi], l.b)", New: "_ = rdx", Test: passes},
		{Name: "sign of the projection off the variance", File: "norm.go", Old: "divide(b, -T(n))", New: "divide(b, T(n))", Test: passes},
		{Name: "gain's R-gradient without the whitened input's R-value", File: "norm.go", Old: "kernel.AddInto(l.gamma(rgrad), l.more)", New: "_ = rgrad", Test: passes},
		{Name: "layer norm's R-backward without its scale's R-value", File: "layernorm.go", Old: "kernel.AddMulRow(l.rxhT, l.rxhT, l.tT, l.rq)", New: "_ = l.rq", Test: passes},
		{Name: "GRU's R-backward through time without the direction", File: "gru_r.go", Old: "l.back(kernel.FromC, n, l.units, l.recurring(l.d, l.dm, t), l.vhT, l.rcarry)", New: "_ = t", Test: passes},
	})
}
