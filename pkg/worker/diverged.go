package worker

import (
	"math"

	"github.com/warmstart-ml/warmstart/pkg/learner"
)

// diverged is the loss of a model that adapting led out of bounds: worse than any other, and still a number that can
// be summed. Such a base model is not chosen; it is no fault of the worker's.
const diverged = math.MaxFloat32

func bounded(loss float64) float64 {
	if !(loss < diverged) { // NaN too
		return diverged
	}
	return loss
}

// sound reports whether the base model itself, before any inner step, has a finite loss on a task that diverged: then the
// inner steps led out of bounds.
func (e *engine) sound(l learner.Learner[float32], theta []float32, t *learner.Task[float32]) bool {
	p, err := l.Adapt(theta, &t.Support, 0)
	return err == nil && bounded(float64(p.Loss(&t.Query))) < diverged
}

// calmer is the remedy where a track's training leaves bounds, the likelier cause first.
func (e *engine) calmer(track int, inner bool) string {
	switch {
	case track > 0 || !e.config.Descends():
		return "lower optimizer.rate, or set a smaller optimizer.clip (0 is none)"
	case inner:
		return "lower learner.rate, the rate of the inner steps, or optimizer.rate"
	}
	return "lower optimizer.rate, which led the base model out of bounds, or learner.rate"
}
