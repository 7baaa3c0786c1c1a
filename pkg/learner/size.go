package learner

import "github.com/warmstart-ml/warmstart/pkg/nn"

// ownCopies is how many vectors of the model's parameters the MAML family holds
// beside the gradient, whose caller has it.
func (c Config) ownCopies() int {
	k := c.InnerSteps()
	if k == 0 {
		return 0 // pooled
	}
	switch c.rateKind() {
	case LayerRates:
		return 2*k + 1
	case ParameterRates:
		return 2*k + 2
	}
	return k + 1
}

// Bytes is about how much memory a learner of c on m takes for tasks of so many
// samples, in float32: its copies of the parameters and its activations; the
// gradient is its caller's. A Group of it is not counted: see GroupSize.
func Bytes(c Config, m *nn.Model, support, query int) int {
	c = c.withDefaults()
	p, head, f := m.NumParams(), m.Head().Hi-m.Head().Lo, m.Features()+1
	samples := 0
	if c.parts(support) > 1 {
		support = c.InnerBatch
		samples = support * (m.In() + m.Out() + 1)
	}
	curved := c.Descends() && c.Name != "fomaml" && c.Name != "reptile" && c.Name != "anil"
	atQuery, shared := m.TapeSize(query, false)
	atSupport, sharedToo := m.TapeSize(support, curved)
	both := atQuery + atSupport + shared + sharedToo
	var n int
	switch c.Name {
	case "anil":
		n = both + p + (2*c.Steps+3)*head
	case "reptile":
		n = both + samples + 2*p
		if c.InnerOptimizer != "sgd" {
			n += p
		}
		if c.Beta1 > 0 {
			n += p
		}
	case "imaml":
		n = both + 4*p
	case "ridge": // the design, its transpose, and gradients for features, with room; and a matrix of the smaller order
		order := min(support, f)
		n = both + 2*p + 6*support*f + 3*order*order/2
	case "protonet":
		n = both + 2*p + 3*support*f/2
	default:
		n = atQuery + c.InnerSteps()*atSupport + max(shared, sharedToo) + c.ownCopies()*p
	}
	return 4 * n
}

// GroupSize is about how much memory a Group of c on m takes for such tasks, the
// activations included; 0 where there is none.
func GroupSize(c Config, m *nn.Model, support, query int) (parameters, all int) {
	c = c.withDefaults()
	if !m.Lanes() || !takesSteps(c.Name) && c.Name != "pooled" {
		return 0, 0
	}
	tapes := c.InnerSteps()
	if c.Name == "anil" {
		tapes = 1
	}
	samples := (support + query) * (m.In() + m.Out() + 1) * nn.Lanes * 3 / 2
	parameters = groupBytes(c, m)
	return parameters, parameters + 4*(m.LaneTapeSize(query)+tapes*m.LaneTapeSize(support)+samples)
}

// VectorSize is about how many parameters a learner of c on m has, the learned
// rates of metasgd among them: others' own are few.
func VectorSize(c Config, m *nn.Model) int {
	if c.rateKind() == ParameterRates {
		return 2 * m.NumParams()
	}
	return m.NumParams()
}
