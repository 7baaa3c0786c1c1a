package learner

import (
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Scores adapts to the tasks of a group and scores them: it overwrites losses[i]
// with the loss of, for each lane, after steps[i] inner steps, below 0 the
// learner's own number. Each is that of a Predictor of Adapt on the task's query,
// clipped where the learner clips. The steps towards the last are those on the way
// to it. It reports whether it could, as GradientSum does, and not where adapted
// parameters are not finite. anil has no such form.
func (g *Group) Scores(theta []float32, tasks []*Task[float32], steps []int, of *nn.LaneLoss, losses [][nn.Lanes]float32) bool {
	l, ok := g.lanes.(*laneMAML)
	if !ok || len(theta) != l.params {
		return false
	}
	// Any sum will do for the check of sizes.
	if l.load(theta, tasks, theta) == nil {
		return false
	}
	own := func(s int) int {
		switch {
		case l.support.n == 0:
			return 0
		case s < 0:
			return l.m.steps
		}
		return s
	}
	last := 0
	for _, s := range steps {
		last = max(last, own(s))
	}
	if last > 0 && l.m.steps == 0 {
		return false
	}
	l.rates.set(theta[l.m.size:])
	at := nn.LaneParams{X: theta[:l.m.size], Shared: true}
	for k := 0; ; k++ {
		if slices.ContainsFunc(steps, func(s int) bool { return own(s) == k }) {
			if !kernel.IsFinite(at.X) {
				return false
			}
			var loss [nn.Lanes]float32
			l.score(at, of, &loss)
			for i, s := range steps {
				if own(s) == k {
					losses[i] = loss
				}
			}
		}
		if k == last {
			return true
		}
		l.adapt(k, at)
		at = nn.LaneParams{X: l.lambda}
	}
}

// score finds the loss of the query at theta.
func (l *laneMAML) score(theta nn.LaneParams, of *nn.LaneLoss, loss *[nn.Lanes]float32) {
	q := &l.query
	l.dy = laneRoom(l.dy, q.n*l.m.model.Out())
	y := l.tape.Forward(theta, q.x, q.n)
	nn.Clip(l.m.outer, y)
	of.Grad(q.n, y, q.y, q.w, l.dy, loss)
}

// adapt leaves theta_{k+1} in lambda, where theta_k may be; steps beyond the
// learned rates use the last ones.
func (l *laneMAML) adapt(k int, at nn.LaneParams) {
	s, b := &l.steps[0], &l.support
	s.dy = laneRoom(s.dy, b.n*l.m.model.Out())
	y := s.tape.Forward(at, b.x, b.n)
	var unused [nn.Lanes]float32
	l.inner.Grad(b.n, y, b.y, b.w, s.dy, &unused)
	l.use, l.k, l.at = useAdapt, min(k, l.m.steps-1), at
	s.tape.Backward(at, s.dy, l)
}
