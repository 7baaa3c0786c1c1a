// Package learner holds the algorithms that adapt a model to one task and the
// exact gradient of the adapted model's error for what it started from.
//
//   - maml: gradient steps on the support set; the gradient passes through them
//     (Finn, Abbeel and Levine, 2017), optionally with learned rates per layer and
//     step and weights on the losses between (Antoniou et al., 2019, MAML++).
//   - fomaml: the same steps, the Hessian left out of the gradient.
//   - anil: the head alone adapts, the body is learned (Raghu et al., 2020).
//   - metasgd: maml with a learned rate per parameter (Li et al., 2017).
//   - mamlpp: maml with learned rates per layer and step, the loss of every step
//     weighted by annealed weights, and optionally first order at first (MAML++).
//   - pooled: no adaptation; one model for all tasks, the comparator.
//   - reptile: steps of Adam or SGD; the gradient is the way back over the rate
//     (Nichol, Achiam and Schulman, 2018).
//   - imaml: steps held near the base model; the gradient by conjugate gradients
//     at where they end (Rajeswaran et al., 2019).
//   - ridge: the last layer is solved for in closed form, by ridge regression
//     around a meta-learned one (Bertinetto et al., 2019, R2-D2; Harrison et al.,
//     2018, ALPaCA). Of classes it makes logits by a learned scale and bias; later
//     samples update it at a cost of their own (Predictor.Updater).
//   - protonet: the nearest class mean of the support's features (Snell, Swersky
//     and Zemel, 2017).
//
// The caller's duties:
//
//  1. A Learner is the work space of one goroutine.
//  2. theta is the flat vector of Params: the model's, then the learner's own.
//  3. Weights say what a sample counts: losses are weighted sums with no further
//     mean, so W carries 1/N, or one over what else the loss is relative to.
//  4. A Gradient that failed has left grad in no state to use.
//
// Gradients have the same bits on every processor; the order of each sum is that
// of internal/kernel and of the loops here.
package learner
