package worker

import (
	"maps"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/strictyaml"
)

// MAMLOptions are the keys under `learner:` for MAML (Finn et al. 2017) and its first-order form.
type MAMLOptions struct {
	Steps      int     `json:"steps" default:"1" min:"1" max:"100" unit:"inner steps" why:"gradient steps on the support set"`
	Rate       float64 `json:"rate" default:"0.01" min:"0.000000001" max:"100" why:"inner learning rate, or where learned ones start"`
	LearnRates bool    `json:"learn_rates" default:"false" why:"learn a rate per layer and step along with the base model"`
	ZeroWeight float64 `json:"zero_weight" default:"0" min:"0" max:"1" unit:"weight" why:"weight of the loss before any inner step, for members with no sample yet"`

	Rates           string    `json:"rates,omitempty" enum:"scalar|layer|parameter" why:"what shares a rate: one fixed rate, a learned one per layer and step, or a learned one per parameter; left out = scalar, or layer with learn_rates"`
	RateMax         float64   `json:"rate_max,omitempty" min:"0" max:"1000" why:"learned rates start uniformly between rate and this; left out = at rate"`
	StepWeights     []float64 `json:"step_weights,omitempty" min:"0" max:"1000" unit:"weight" why:"weights of the loss after each inner step; left out = the last alone"`
	MSLSteps        int64     `json:"msl_steps,omitempty" min:"0" max:"1000000000" unit:"outer steps" why:"anneals those weights over so many steps, from equal ones to the last alone: steadier with many inner steps"`
	FirstOrderSteps int64     `json:"first_order_steps,omitempty" min:"0" max:"1000000000" unit:"outer steps" why:"leaves the Hessian out of the gradient for so many steps: cheaper and steadier at first"`
}

// ANILOptions are the keys under `learner:` for ANIL (Raghu et al. 2020): MAML that adapts the last layer alone.
type ANILOptions struct {
	Steps      int     `json:"steps" default:"1" min:"1" max:"100" unit:"inner steps" why:"gradient steps on the support set"`
	Rate       float64 `json:"rate" default:"0.01" min:"0.000000001" max:"100" why:"inner learning rate"`
	ZeroWeight float64 `json:"zero_weight" default:"0" min:"0" max:"1" unit:"weight" why:"weight of the loss before any inner step, for members with no sample yet"`
}

// MetaSGDOptions are the keys under `learner:` for Meta-SGD (Li et al. 2017): MAML with a learned rate per parameter.
type MetaSGDOptions struct {
	Steps      int     `json:"steps" default:"1" min:"1" max:"100" unit:"inner steps" why:"gradient steps on the support set; the paper takes one"`
	Rate       float64 `json:"rate" default:"0.005" min:"0.000000001" max:"100" why:"learned rates start uniformly from this ..."`
	RateMax    float64 `json:"rate_max" default:"0.1" min:"0" max:"1000" why:"... to this, which must lie above; 0 = all at rate"`
	ZeroWeight float64 `json:"zero_weight" default:"0" min:"0" max:"1" unit:"weight" why:"weight of the loss before any inner step, for members with no sample yet"`
}

// MAMLPPOptions are the keys under `learner:` for MAML++ (Antoniou et al. 2019): learned rates per layer and step, a loss
// after every step, and the Hessian from some step on.
type MAMLPPOptions struct {
	Steps           int     `json:"steps" default:"5" min:"1" max:"100" unit:"inner steps" why:"gradient steps on the support set"`
	Rate            float64 `json:"rate" default:"0.1" min:"0.000000001" max:"100" why:"where learned rates start"`
	ZeroWeight      float64 `json:"zero_weight" default:"0" min:"0" max:"1" unit:"weight" why:"weight of the loss before any inner step, for members with no sample yet"`
	MSLSteps        int64   `json:"msl_steps" default:"5000" min:"1" max:"1000000000" unit:"outer steps" why:"the loss after every inner step counts alike at first and the last alone after so many outer steps"`
	FirstOrderSteps int64   `json:"first_order_steps" default:"0" min:"0" max:"1000000000" unit:"outer steps" why:"leaves the Hessian out of the gradient for so many steps; its authors: 50 epochs of 500"`
}

// ReptileOptions are the keys under `learner:` for Reptile (Nichol et al. 2018). No query is trained on.
type ReptileOptions struct {
	Steps          int     `json:"steps" default:"5" min:"1" max:"1000" unit:"inner steps" why:"steps of the inner optimizer on the support set"`
	Rate           float64 `json:"rate" default:"0.001" min:"0.000000001" max:"100" why:"the inner optimizer's rate"`
	InnerBatch     int     `json:"inner_batch,omitempty" min:"0" max:"1000000" unit:"samples" why:"how many support samples an inner step sees, in turns: what steps on unlike samples agree on is what Reptile learns; left out = all of them"`
	InnerOptimizer string  `json:"inner_optimizer" default:"adam" enum:"adam|sgd" why:"adam as its authors have it; sgd is cheaper"`
	Beta1          float64 `json:"beta1,omitempty" min:"0" max:"0.9999" why:"inner adam: decay of the mean of gradients; left out = 0, as its authors have it: momentum would mix directions of steps"`
	Beta2          float64 `json:"beta2,omitempty" min:"0" max:"0.99999" why:"inner adam: decay of the mean of squared gradients; left out = 0.999"`
}

// IMAMLOptions are the keys under `learner:` for iMAML (Rajeswaran et al. 2019): the gradient at the inner minimum,
// whatever the way there.
type IMAMLOptions struct {
	Steps      int     `json:"steps" default:"16" min:"1" max:"1000" unit:"inner steps" why:"gradient steps towards the minimum near the base model; memory does not grow with them"`
	Rate       float64 `json:"rate" default:"0.1" min:"0.000000001" max:"100" why:"inner learning rate; below 2/(lambda + curvature of the loss), or it does not converge"`
	Lambda     float64 `json:"lambda" default:"2" min:"0.000001" max:"1000000" why:"how strongly the adapted model is held near the base model"`
	CGSteps    int     `json:"cg_steps" default:"5" min:"1" max:"1000" unit:"iterations" why:"conjugate-gradient iterations of the outer gradient, each the cost of a Hessian product"`
	ZeroWeight float64 `json:"zero_weight" default:"0" min:"0" max:"1" unit:"weight" why:"weight of the loss before any inner step, for members with no sample yet"`
}

// RidgeOptions are the keys under `learner:` for closed-form ridge regression on meta-learned features.
type RidgeOptions struct {
	Precision float64 `json:"precision" default:"10" min:"0.000001" max:"1000000" unit:"samples" why:"where the learned prior precision of each feature starts: how many samples the prior weighs"`
	Outlier   float64 `json:"outlier" default:"0" min:"0" max:"1000000" unit:"target units" why:"how far a sample may lie from the base model's output before it counts as no farther; 0 = no limit, squared error follows the farthest"`
	Scale     float64 `json:"scale,omitempty" min:"0.000001" max:"1000000" why:"outer loss softmax or bce: what the learned scale of its scores starts from; left out = 10"`
}

// ProtoNetOptions has no keys: classes by the nearest mean of features (Snell et al. 2017).
type ProtoNetOptions struct{}

// PooledOptions has no keys: one model for all, no adaptation.
type PooledOptions struct{}

// learnerOptions makes the options of each learner there is.
func learnerOptions() map[string]any {
	return map[string]any{
		"maml": new(MAMLOptions), "fomaml": new(MAMLOptions), "anil": new(ANILOptions), "metasgd": new(MetaSGDOptions), "mamlpp": new(MAMLPPOptions),
		"reptile": new(ReptileOptions), "imaml": new(IMAMLOptions), "ridge": new(RidgeOptions), "protonet": new(ProtoNetOptions), "pooled": new(PooledOptions),
	}
}

func learnerSection(doc *strictyaml.Doc, s strictyaml.Section) (metatrain.Section, error) {
	options, ok := learnerOptions()[s.Name]
	if !ok {
		return metatrain.Section{}, unknown(doc, "learner", s.Name, slices.Sorted(maps.Keys(learnerOptions())))
	}
	if err := doc.DecodeSection(s, options); err != nil {
		return metatrain.Section{}, err
	}
	return section(s.Name, options)
}
