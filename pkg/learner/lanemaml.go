package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// laneMAML is maml over nn.Lanes tasks at once. A vector of parameters is 16 times
// as long, too long for the first cache, so that passes over it cost as much as
// products do: each gradient is used up panel by panel as it is made (Take).
type laneMAML struct {
	laneTasks
	m            *maml[float32]
	steps        []laneStep // k = 0..K-1
	tape         *nn.LaneTape
	inner, outer *nn.LaneLoss
	dy           []float32 // of the query's outputs
	lambda, v    []float32
	rates        laneRates
	losses       [][nn.Lanes]float32 // Lq(theta_k), where w_k is not zero

	// What Take does with a gradient.
	use  purpose
	k    int
	w    float32       // w_k
	at   nn.LaneParams // theta_k
	last bool          // nothing changes lambda any more
}

// laneStep is step over lanes.
type laneStep struct {
	tape       *nn.LaneTape
	dy, rdy    []float32
	grad, next []float32
}

// purpose is what a gradient g at theta_k is found for.
type purpose uint8

const (
	useDescend purpose = iota // next = theta_k - a_k*g
	useStart                  // lambda = w g
	useCurve                  // lambda -= g
	useEarly                  // lambda += w_k g
	useAdapt                  // lambda = theta_k - a_k*g
)

var _ nn.LaneSink = (*laneMAML)(nil)

func newLaneMAML(m *maml[float32]) *laneMAML {
	l := &laneMAML{
		laneTasks: laneTasks{of: &m.base, params: m.NumParams()},
		m:         m, tape: nn.NewLaneTape(m.model, 1), lambda: kernel.NewLanes(m.size), v: kernel.NewLanes(m.size),
		inner: nn.NewLaneLoss(m.inner, m.model.Out()), outer: nn.NewLaneLoss(m.outer, m.model.Out()),
		losses: make([][nn.Lanes]float32, m.steps+1),
	}
	for range m.steps {
		s := laneStep{tape: nn.NewLaneTape(m.model, 1), next: kernel.NewLanes(m.size)}
		if m.rates.learned() {
			s.grad = kernel.NewLanes(m.size)
		}
		l.steps = append(l.steps, s)
	}
	l.rates = newLaneRates(&m.rates, m.steps)
	return l
}

// compute is laneLearner's.
func (l *laneMAML) compute(theta []float32, step int64, loss *[nn.Lanes]float32) {
	l.m.prepare(step)
	if l.support.n == 0 {
		l.unadapted(theta, loss)
	} else {
		l.adapted(theta, loss)
	}
}

// unadapted is maml's.
func (l *laneMAML) unadapted(theta []float32, loss *[nn.Lanes]float32) {
	m := l.m
	w := kernel.TreeSum(m.weights)
	clear(l.sum[m.size:])
	l.use, l.k, l.last = useStart, 0, true
	l.queryGradient(nn.LaneParams{X: theta[:m.size], Shared: true}, loss, w)
	for i, x := range loss {
		loss[i] = w * x
	}
}

// adapted is maml's.
func (l *laneMAML) adapted(theta []float32, loss *[nn.Lanes]float32) {
	m := l.m
	l.rates.set(theta[m.size:])
	at := nn.LaneParams{X: theta[:m.size], Shared: true}
	for k := range l.steps {
		l.descend(k, at)
		at = nn.LaneParams{X: l.steps[k].next}
	}
	l.use, l.k, l.last = useStart, m.steps, !l.changes(m.steps)
	l.queryGradient(at, &l.losses[m.steps], m.weights[m.steps])
	for k := m.steps - 1; k >= 0; k-- {
		at = l.thetaAt(theta, k)
		l.rates.gradient(l.sum[m.size:], l.lambda, l.steps[k].grad, k, &l.mask)
		w := m.weights[k]
		if l.m.second {
			l.use, l.k, l.last = useCurve, k, k == 0 && w == 0
			l.curve(at)
		}
		if w != 0 {
			l.use, l.k, l.last = useEarly, k, !l.changes(k)
			l.queryGradient(at, &l.losses[k], w)
		}
	}
	weigh(loss, m.weights, l.losses)
}

// changes reports whether anything changes lambda_k.
func (l *laneMAML) changes(k int) bool {
	if l.m.second && k > 0 {
		return true
	}
	for _, w := range l.m.weights[:k] {
		if w != 0 {
			return true
		}
	}
	return false
}

// thetaAt returns theta_k.
func (l *laneMAML) thetaAt(theta []float32, k int) nn.LaneParams {
	if k == 0 {
		return nn.LaneParams{X: theta[:l.m.size], Shared: true}
	}
	return nn.LaneParams{X: l.steps[k-1].next}
}

// descend leaves theta_{k+1} in step k's next.
func (l *laneMAML) descend(k int, at nn.LaneParams) {
	s, b := &l.steps[k], &l.support
	s.dy = laneRoom(s.dy, b.n*l.m.model.Out())
	y := s.tape.Forward(at, b.x, b.n)
	var unused [nn.Lanes]float32
	l.inner.Grad(b.n, y, b.y, b.w, s.dy, &unused)
	l.use, l.k, l.at = useDescend, k, at
	s.tape.Backward(at, s.dy, l)
}

// queryGradient finds the outer loss at theta and hands its gradient to Take.
func (l *laneMAML) queryGradient(theta nn.LaneParams, loss *[nn.Lanes]float32, w float32) {
	b := &l.query
	l.dy, l.w = laneRoom(l.dy, b.n*l.m.model.Out()), w
	y := l.tape.Forward(theta, b.x, b.n)
	l.outer.Grad(b.n, y, b.y, b.w, l.dy, loss)
	l.tape.Backward(theta, l.dy, l)
}

// curve hands H_k v to Take, H_k being at theta and v = a_k*lambda.
func (l *laneMAML) curve(theta nn.LaneParams) {
	s, b := &l.steps[l.k], &l.support
	s.rdy = laneRoom(s.rdy, b.n*l.m.model.Out())
	v := nn.LaneParams{X: l.v}
	ry := s.tape.RForward(theta, v)
	l.inner.RGrad(b.n, s.tape.Outputs(), b.y, b.w, ry, s.rdy)
	s.tape.RBackward(theta, v, s.rdy, l)
}

// Take uses up a part of a gradient. It is nn.LaneSink's.
func (l *laneMAML) Take(lo int, g []float32) {
	hi := lo + len(g)/nn.Lanes
	part := l.lambda[lo*nn.Lanes : hi*nn.Lanes]
	switch l.use {
	case useDescend:
		s := &l.steps[l.k]
		if l.m.rates.learned() {
			copy(s.grad[lo*nn.Lanes:hi*nn.Lanes], g)
		}
		l.step(s.next[lo*nn.Lanes:hi*nn.Lanes], lo, hi, g)
		return
	case useAdapt:
		l.step(part, lo, hi, g)
		return
	case useStart:
		if l.w != 1 {
			kernel.Scale(g, l.w, g)
		}
		if l.kept() {
			copy(part, g)
		}
		part = g
	case useCurve:
		if !l.kept() {
			kernel.Axpy(g, part, -1, g)
			part = g
			break
		}
		kernel.Axpy(part, part, -1, g)
	case useEarly:
		kernel.Axpy(part, part, l.w, g)
	}
	if l.last {
		kernel.LaneSum(l.sum[lo:hi], part, &l.mask)
	}
	if l.m.second && l.k > 0 && (l.use != useCurve || l.m.weights[l.k] == 0) {
		kernel.LaneScale(l.v[lo*nn.Lanes:hi*nn.Lanes], l.rates.of[l.k-1][lo:hi], part)
	}
}

// kept reports whether lambda is read after the use at hand.
func (l *laneMAML) kept() bool { return !l.last || l.k > 0 && l.m.rates.learned() }

// step sets next to the part [lo, hi) of theta_k less the step along g.
func (l *laneMAML) step(next []float32, lo, hi int, g []float32) {
	at := l.at.X
	if l.at.Shared {
		at = at[lo:hi]
	} else {
		at = at[lo*nn.Lanes : hi*nn.Lanes]
	}
	kernel.LaneStep(next, at, l.at.Shared, l.rates.of[l.k][lo:hi], g)
}

// weigh sets loss to the sum of w_k losses_k over the k that weigh anything.
func weigh(loss *[nn.Lanes]float32, weights []float32, losses [][nn.Lanes]float32) {
	for lane := range loss {
		var sum kernel.Chain[float32]
		for k, w := range weights {
			if w != 0 {
				sum.Add(w, losses[k][lane])
			}
		}
		loss[lane] = sum.Sum()
	}
}
