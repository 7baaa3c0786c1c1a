package learner

import (
	"testing"

	"github.com/warmstart-ml/warmstart/internal/mutants"
)

// TestMutantsAreCaught breaks gradients of learners, one line each: each break still trains, and a named test notices.
func TestMutantsAreCaught(t *testing.T) {
	const maml, family = "TestMAMLMatchesFiniteDifferences", "TestMAMLFamilyMatchesFiniteDifferences"
	const imaml = "TestIMAMLMatchesFiniteDifferencesOfTheMinimiser"
	mutants.Run(t, []mutants.Mutant{
		{Name: "the Hessian dropped", File: "maml.go", Old: `m.second = m.config.Name != "fomaml" && step >= m.config.FirstOrderSteps`, New: "m.second = false", Test: maml},
		{Name: "sign of the Hessian's term", File: "mamluse.go", Old: "kernel.Axpy(to, to, -1, g)", New: "kernel.Axpy(to, to, 1, g)", Test: maml},
		{Name: "rates of the step before", File: "mamluse.go", Old: "u.learned, u.k-1, lo)", New: "u.learned, max(u.k-2, 0), lo)", Test: maml},
		{Name: "sign of the gradient for rates per layer", File: "rates.go", Old: "grad[i] = -kernel.Dot", New: "grad[i] = kernel.Dot", Test: maml},
		{Name: "sign of the gradient for rates per parameter", File: "rates.go", Old: "kernel.Sub(grad, grad, product)", New: "kernel.AddInto(grad, product)", Test: family},
		{Name: "early losses count whole", File: "mamluse.go", Old: "kernel.Axpy(to, to, m.weights[u.k], g)", New: "kernel.Axpy(to, to, 1, g)", Test: maml},
		{Name: "ANIL's Hessian dropped", File: "anil.go", Old: "kernel.Axpy(lambda, lambda, -1, a.hv)", New: "_ = a.hv", Test: family},
		{Name: "iMAML's proximal term dropped", File: "imaml.go", Old: "kernel.Axpy(m.hp, m.p, 1/T(m.config.Lambda), m.hp)", New: "copy(m.hp, m.p)", Test: imaml},
		{Name: "iMAML descends without being held near", File: "imaml.go", Old: "kernel.Axpy(m.hp, m.hp, lambda, m.p)", New: "_ = lambda", Test: imaml},
	})
}
