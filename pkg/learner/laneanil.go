package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// laneANIL is anil over nn.Lanes tasks at once. All lanes share the body.
type laneANIL struct {
	laneTasks
	a            *anil[float32]
	tape, scored *nn.LaneTape // of the support and of the query
	inner, outer *nn.LaneLoss
	steps        []laneHead
	rates        laneRates
	losses       [][nn.Lanes]float32
	one          []float32 // an element of ones
	lambda       []float32 // of the head, and so v, hv
	v, hv        []float32
	dy, rdy, y   []float32
	sSum, qSum   []float32
	body         []float32 // what went back through the query's features

	// What Take does with a gradient.
	use purpose
	w   float32
}

// laneHead is headStep over lanes.
type laneHead struct{ y, dy, grad, next []float32 }

// Uses of a gradient for the body, beside laneMAML's.
const (
	useWhole purpose = iota + useAdapt + 1 // sum = w g
	useKeep                                // body = g
	useLess                                // sum = body - g
)

var _ nn.LaneSink = (*laneANIL)(nil)

func newLaneANIL(a *anil[float32]) *laneANIL {
	n := a.head.Hi - a.head.Lo
	l := &laneANIL{
		laneTasks: laneTasks{of: &a.base, params: a.NumParams()}, a: a,
		tape: nn.NewLaneTape(a.model, 1), scored: nn.NewLaneTape(a.model, 1),
		inner: nn.NewLaneLoss(a.inner, a.out), outer: nn.NewLaneLoss(a.outer, a.out),
		rates: newLaneRates(&a.rates, a.steps), losses: make([][nn.Lanes]float32, a.steps+1),
		one: kernel.NewLanes(1), lambda: kernel.NewLanes(n), v: kernel.NewLanes(n), hv: kernel.NewLanes(n), body: kernel.NewLanes(a.head.Lo),
	}
	fill(l.one, 1)
	for range a.steps {
		l.steps = append(l.steps, laneHead{grad: kernel.NewLanes(n), next: kernel.NewLanes(n)})
	}
	return l
}

// compute is laneLearner's.
func (l *laneANIL) compute(theta []float32, step int64, loss *[nn.Lanes]float32) {
	a := l.a
	if a.config.MSLSteps > 0 {
		anneal(a.weights, step, a.config.MSLSteps)
	}
	clear(l.sum[a.size:])
	if l.support.n == 0 {
		l.unadapted(theta, loss)
		return
	}
	l.adapted(theta, a.config.FirstOrderSteps <= step)
	weigh(loss, a.weights, l.losses)
}

// unadapted is maml's.
func (l *laneANIL) unadapted(theta []float32, loss *[nn.Lanes]float32) {
	at, q := l.shared(theta), &l.query
	l.dy = laneRoom(l.dy, q.n*l.a.out)
	y := l.scored.Forward(at, q.x, q.n)
	l.outer.Grad(q.n, y, q.y, q.w, l.dy, loss)
	l.use, l.w = useWhole, kernel.TreeSum(l.a.weights)
	l.scored.Backward(at, l.dy, l)
	for i, x := range loss {
		loss[i] = l.w * x
	}
}

// shared is theta's part of the model.
func (l *laneANIL) shared(theta []float32) nn.LaneParams {
	return nn.LaneParams{X: theta[:l.a.size], Shared: true}
}

// adapted is anil's.
func (l *laneANIL) adapted(theta []float32, second bool) {
	a, b := l.a, &l.support
	l.rates.set(theta[a.size:])
	l.tape.Forward(l.shared(theta), b.x, b.n)
	l.scored.Forward(l.shared(theta), l.query.x, l.query.n)
	for k := range l.steps {
		s, h := &l.steps[k], l.headAt(theta, k)
		s.y, s.dy = laneRoom(s.y, b.n*a.out), laneRoom(s.dy, b.n*a.out)
		var unused [nn.Lanes]float32
		l.headGradient(l.inner, l.tape.Features(), h, b, s.y, s.dy, s.grad, &unused)
		kernel.LaneStep(s.next, h.X, h.Shared, l.rates.of[k], s.grad)
	}
	l.sSum, l.qSum = laneRoom(l.sSum, b.n*a.f), laneRoom(l.qSum, l.query.n*a.f)
	clear(l.sSum)
	clear(l.qSum)
	clear(l.lambda)
	l.score(theta, a.steps)
	for k := a.steps - 1; k >= 0; k-- {
		l.rates.gradient(l.sum[a.size:], l.lambda, l.steps[k].grad, k, &l.mask)
		if second {
			kernel.LaneScale(l.v, l.rates.of[k], l.lambda)
			l.curve(l.headAt(theta, k), k)
			kernel.Axpy(l.lambda, l.lambda, -1, l.hv)
		}
		if a.weights[k] != 0 {
			l.score(theta, k)
		}
	}
	kernel.LaneSum(l.sum[a.head.Lo:a.head.Hi], l.lambda, &l.mask)
	l.bodyGradient(theta, second)
}

// headAt returns h_k.
func (l *laneANIL) headAt(theta []float32, k int) nn.LaneParams {
	if k == 0 {
		return nn.LaneParams{X: theta[l.a.head.Lo:l.a.head.Hi], Shared: true}
	}
	return nn.LaneParams{X: l.steps[k-1].next}
}

// outputs starts y at the head's bias and adds phi h.
func (l *laneANIL) outputs(n int, phi []float32, h nn.LaneParams, y []float32) {
	f, out := l.a.f, l.a.out
	kernel.LaneGemm(kernel.FromBias, h.From(f*out).X, n, out, f, kernel.Operand{X: phi, Row: f, Col: 1}, h.Matrix(out, 1), y, out)
}

// headGradient is anil's.
func (l *laneANIL) headGradient(of *nn.LaneLoss, phi []float32, h nn.LaneParams, b *laneBatch, y, dy, grad []float32, loss *[nn.Lanes]float32) {
	l.outputs(b.n, phi, h, y)
	of.Grad(b.n, y, b.y, b.w, dy, loss)
	l.headSums(b.n, phi, dy, grad)
}

// headSums is anil's.
func (l *laneANIL) headSums(n int, phi, dy, grad []float32) {
	f, out := l.a.f, l.a.out
	y := kernel.Operand{X: dy, Row: out, Col: 1}
	kernel.LaneGemm(kernel.FromZero, nil, f, out, n, kernel.Operand{X: phi, Row: 1, Col: f}, y, grad, out)
	kernel.LaneGemm(kernel.FromZero, nil, 1, out, n, kernel.Operand{X: l.one}, y, grad[f*out*nn.Lanes:], out)
}

// score is anil's.
func (l *laneANIL) score(theta []float32, k int) {
	q, h, w := &l.query, l.headAt(theta, k), l.a.weights[k]
	l.dy, l.y = laneRoom(l.dy, q.n*l.a.out), laneRoom(l.y, q.n*l.a.out)
	l.headGradient(l.outer, l.scored.Features(), h, q, l.y, l.dy, l.hv, &l.losses[k])
	kernel.Axpy(l.lambda, l.lambda, w, l.hv)
	kernel.Scale(l.dy, w, l.dy)
	l.back(q.n, l.dy, h, l.qSum)
}

// curve is anil's.
func (l *laneANIL) curve(h nn.LaneParams, k int) {
	s, b, v := &l.steps[k], &l.support, nn.LaneParams{X: l.v}
	l.y, l.rdy = laneRoom(l.y, b.n*l.a.out), laneRoom(l.rdy, b.n*l.a.out)
	l.outputs(b.n, l.tape.Features(), v, l.y)
	l.inner.RGrad(b.n, s.y, b.y, b.w, l.y, l.rdy)
	l.headSums(b.n, l.tape.Features(), l.rdy, l.hv)
	l.back(b.n, l.rdy, h, l.sSum)
	l.back(b.n, s.dy, v, l.sSum)
}

// back adds dy h^T to dphi [n][f].
func (l *laneANIL) back(n int, dy []float32, h nn.LaneParams, dphi []float32) {
	f, out := l.a.f, l.a.out
	kernel.LaneGemm(kernel.FromC, nil, n, f, out, kernel.Operand{X: dy, Row: out, Col: 1}, h.Matrix(1, out), dphi, f)
}

// bodyGradient is anil's.
func (l *laneANIL) bodyGradient(theta []float32, second bool) {
	if l.use, l.w = useWhole, 1; second {
		l.use = useKeep
	}
	l.scored.BackwardFeatures(l.shared(theta), l.qSum, l)
	if second {
		l.use = useLess
		l.tape.BackwardFeatures(l.shared(theta), l.sSum, l)
	}
}

// Take uses up a part of a gradient. It is nn.LaneSink's.
func (l *laneANIL) Take(lo int, g []float32) {
	hi := lo + len(g)/nn.Lanes
	switch l.use {
	case useKeep:
		copy(l.body[lo*nn.Lanes:hi*nn.Lanes], g)
		return
	case useWhole:
		if l.w != 1 {
			kernel.Scale(g, l.w, g)
		}
	case useLess:
		kernel.Axpy(g, l.body[lo*nn.Lanes:hi*nn.Lanes], -1, g)
	}
	kernel.LaneSum(l.sum[lo:hi], g, &l.mask)
}
