package worker

import (
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// wrongClass is validation.loss for the share of samples given the wrong class.
const wrongClass = "error"

// chooseLoss sets what validation goes by, and refuses losses that the family's targets do not suit.
func (e *engine) chooseLoss(c learner.Config) (err error) {
	shape := e.family.Shape()
	for field, loss := range map[string]string{"inner.loss": e.spec.Inner.Loss, "outer.loss": e.spec.Outer.Loss} {
		if loss == "softmax" && !shape.Classes {
			return fmt.Errorf("%s: found softmax, which tells classes; family %s has regression targets: expected mse, huber, abs or pinball", field, e.spec.Family.Name)
		}
		if loss == "pinball" && shape.Classes {
			return fmt.Errorf("%s: found pinball, which forecasts quantiles; family %s has classes: expected softmax, bce or mse", field, e.spec.Family.Name)
		}
	}
	if n := len(c.ClassWeights); n > 0 && n != shape.Out {
		return fmt.Errorf("class_weights: found %d, expected one for each of the %d targets of family %s", n, shape.Out, e.spec.Family.Name)
	}
	outer, err := c.Loss(c.OuterLoss)
	if err != nil {
		return err
	}
	if e.valid = outer; e.spec.Validation.Loss == "outer" {
		return nil
	}
	if e.spec.Validation.Loss == wrongClass {
		if !shape.Classes {
			return fmt.Errorf("validation.loss: found error, which counts wrong classes; family %s has regression targets: expected outer or mse", e.spec.Family.Name)
		}
		e.countsErrors = true
		return nil
	}
	if e.valid, err = c.Loss(e.spec.Validation.Loss); err != nil {
		return err
	}
	if outer.Outputs(1) != e.valid.Outputs(1) {
		return fmt.Errorf("validation.loss: %s takes one output for a target and the outer loss %s has %d, expected outer", e.spec.Validation.Loss, c.OuterLoss, outer.Outputs(1))
	}
	return nil
}

// score is the validation loss of a predictor on a batch.
func (e *engine) score(p *learner.Predictor[float32], q *learner.Batch[float32]) float32 {
	n := q.N * e.out
	e.y, e.dy = slices.Grow(e.y[:0], n)[:n], slices.Grow(e.dy[:0], n)[:n]
	p.Predict(q.X, q.N, e.y)
	if e.countsErrors {
		return float32(1 - coldstart.Accuracy(e.y, q.Y, q.N))
	}
	return nn.Grad(e.valid, q.N, e.out, e.y, q.Y, q.W, e.dy)
}
