package worker

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// wrongClass is validation.loss for the share of samples given the wrong class.
const wrongClass = "error"

// protonet is the learner that knows classes alone.
const protonet = "protonet"

// named is the spec with the losses it does not name: softmax where targets are classes, else mse.
func named(spec metatrain.RunSpec, shape taskshards.Shape) metatrain.RunSpec {
	usual := "mse"
	if shape.Classes {
		usual = "softmax"
	}
	spec.Inner.Loss, spec.Outer.Loss = cmp.Or(spec.Inner.Loss, usual), cmp.Or(spec.Outer.Loss, usual)
	return spec
}

// suitsLosses refuses losses, and a learner of classes, that a family's targets do not suit.
func suitsLosses(spec metatrain.RunSpec, shape taskshards.Shape) error {
	if spec.Learner.Name == protonet {
		switch {
		case !shape.Classes:
			return fmt.Errorf("learner: found protonet, which tells classes by softmax; family %s has regression targets: expected another, such as ridge or maml", spec.Family.Name)
		case spec.Outer.Loss != "softmax":
			return fmt.Errorf("outer.loss: found %s with learner protonet, expected softmax: its outputs are logits of classes", spec.Outer.Loss)
		}
	}
	for _, l := range []struct {
		field string
		metatrain.LossSpec
	}{{"inner", spec.Inner}, {"outer", spec.Outer}} {
		if l.Loss == "softmax" && !shape.Classes {
			return fmt.Errorf("%s.loss: found softmax, which tells classes; family %s has regression targets: expected mse, huber, abs or pinball", l.field, spec.Family.Name)
		}
		if l.Loss == "pinball" && shape.Classes {
			return fmt.Errorf("%s.loss: found pinball, which forecasts quantiles; family %s has classes: expected softmax, bce or mse", l.field, spec.Family.Name)
		}
		if n := len(l.ClassWeights); n > 0 && n != shape.Out {
			return fmt.Errorf("%s.class_weights: found %d, expected one for each of the %d targets of family %s", l.field, n, shape.Out, spec.Family.Name)
		}
	}
	if spec.Validation.Loss == wrongClass && !shape.Classes {
		return fmt.Errorf("validation.loss: found error, which counts wrong classes; family %s has regression targets: expected outer or mse", spec.Family.Name)
	}
	return nil
}

// chooseLoss sets what validation goes by.
func (e *engine) chooseLoss(c learner.Config) error {
	outer, err := c.Loss(c.OuterLoss)
	if err != nil {
		return err
	}
	if e.valid = outer; e.spec.Validation.Loss == "outer" {
		return nil
	}
	if e.spec.Validation.Loss == wrongClass {
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
