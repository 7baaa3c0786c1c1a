package learner

import (
	"fmt"
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// ridge adapts the head alone, in closed form. With features phi = [inputs of
// the head, 1] and the head's meta-learned parameters w0 (weights, then bias),
//
//	delta = argmin sum_i W_i |t_i - phi_i.(w0+delta)|^2 + sum_j lambda_j |delta_j|^2
//
// per output, and the adapted head is w = w0 + delta; without samples it is w0.
// Weights W count relative to their mean, so that lambda, the prior precision of
// each feature, is in units of samples of average weight whatever the loss is
// relative to. The learner's own parameter is rho = log(lambda) / 10: precisions
// span orders of magnitude, and an optimizer that moves all parameters alike moves
// them ten times as far as it would their logarithms.
//
// With Outlier c, the residual t - phi.w0 is cut to +-c first: squared error
// would follow the largest ones of a heavy-tailed series, which say least.
//
// With A = sqrt(W) phi diag(d), d = lambda^(-1/2), r = sqrt(W) (t - phi.w0) and
// delta = d*z, both forms have eigenvalues of 1 and above:
//
//	features <= shots:  (A^T A + I) z = A^T r,             e = r - A z
//	features >  shots:  (A A^T + I) e = r,                 z = A^T e
//
// The adjoint: for g the gradient of the query loss for w,
//
//	u = (A^T A + I)^-1 (d*g) by the same form, b = A u, v = d*u
//	gradient for w0 = g - (A^T b')/d,  for rho = -10 sum over outputs of z*u,
//	for phi_i = sqrt(W_i) (e_i v^T - b_i delta^T - b'_i w0^T)
//
// where b' is b, and 0 at residuals that were cut,
// the last going back through the support's hidden layers. Under an outer loss on
// logits the targets are classes, 0 and 1, and the head's outputs are scaled and
// shifted (see adjust). Tracked statistics are those of the query's pass. Memory: 4 copies of the parameters, the gradient included,
// and shots x features.
type ridge[T kernel.Float] struct {
	base[T]
	head    nn.Group
	f, out  int // features, the 1 included; outputs
	adjust  adjust[T]
	stats   tracked[T]
	support *nn.Tape[T]
	adapted []T // parameters with the head solved
	more    []T // a second gradient
	d       []T // lambda^(-1/2) [f]
	sw      []T // square roots of the relative weights [n]
	a, aT   []T // A [n][f], and transposed
	z, u, v []T // [f][out]
	e, b    []T // [n][out]
	free    []T // 1 where the residual is not cut, else 0; in the adjoint b' [n][out]
	t       []T // a transpose [out][f]
	dphi    []T // [n][f], the 1 included
	narrow  []T // [n][f-1]
	chol    cholesky[T]
}

// rhoUnit is log(lambda) / rho.
const rhoUnit = 10

func newRidge[T kernel.Float](b base[T]) *ridge[T] {
	r := &ridge[T]{base: b, head: b.model.Head(), f: b.model.Features() + 1, out: b.model.Out(),
		adjust: newAdjust[T](b.config, b.model), stats: newTracked[T](b.model), support: nn.NewTape[T](b.model, 16)}
	r.adapted, r.more, r.d = make([]T, r.size), make([]T, r.size), make([]T, r.f)
	n := r.f * r.out
	r.z, r.u, r.v, r.t = make([]T, n), make([]T, n), make([]T, n), make([]T, n)
	return r
}

func (r *ridge[T]) NumParams() int { return r.size + r.f + r.adjust.len() }

func (r *ridge[T]) Params() []nn.Param {
	ps := extend(r.model, "log_precision", r.f)
	if r.adjust.on {
		ps = append(ps, nn.Param{Name: "adjust", Offset: r.size + r.f, Shape: []int{2}})
	}
	return ps
}

func (r *ridge[T]) Init(seed uint64, theta []float32) {
	r.model.Init(seed, theta[:r.size])
	rho := float32(kernel.Log(float64(r.config.Precision)) / rhoUnit)
	for i := range r.f {
		theta[r.size+i] = rho
	}
	r.adjust.init(theta[r.size+r.f:])
}

func (r *ridge[T]) Gradient(theta []T, task *Task[T], grad []T) (T, error) {
	if err := r.checkTask(task, theta, grad, r.NumParams()); err != nil {
		return 0, err
	}
	solved, err := r.solve(theta, &task.Support)
	if err != nil {
		return 0, fmt.Errorf("compute gradient: %w", err)
	}
	own := r.size + r.f
	r.adjust.fold(theta[own:], r.adapted)
	loss := r.queryGradient(r.adapted, &task.Query, grad[:r.size])
	r.adjust.unfold(grad[own:], grad)
	if solved {
		r.adjoint(theta, task.Support.N, grad)
	} else {
		clear(grad[r.size:own])
	}
	if w := T(r.config.ZeroWeight); w != 0 {
		loss = kernel.FMA(w, r.zero(theta, &task.Query, w, grad), loss)
	}
	return loss, finite(loss, grad)
}

// zero returns the loss of the base model's own head, and adds w times its
// gradient to grad.
func (r *ridge[T]) zero(theta []T, q *Batch[T], w T, grad []T) T {
	at, own := theta[:r.size], r.size+r.f
	if r.adjust.on {
		at = r.adapted
		copy(at, theta)
		r.adjust.fold(theta[own:], at)
	}
	loss := r.queryGradient(at, q, r.more)
	var adjust [2]T
	r.adjust.unfold(adjust[:], r.more)
	r.stats.drop(r.more, 0)
	kernel.Axpy(grad[:r.size], grad[:r.size], w, r.more)
	kernel.Axpy(grad[own:], grad[own:], w, adjust[:])
	return loss
}

// solve fills r.adapted, and leaves what the adjoint needs. It reports whether
// there was anything to solve for.
func (r *ridge[T]) solve(theta []T, s *Batch[T]) (bool, error) {
	copy(r.adapted, theta[:r.size])
	if some, err := r.relativeWeights(s); !some {
		return false, err
	}
	for j, rho := range theta[r.size:][:r.f] {
		r.d[j] = T(kernel.Exp(float64(rho) * (rhoUnit / -2)))
	}
	r.design(theta[:r.size], s)
	var err error
	if r.primal(s.N) {
		err = r.solvePrimal(s.N)
	} else {
		err = r.solveDual(s.N)
	}
	if err != nil {
		return false, fmt.Errorf("solve head: %w: %w", ErrDiverged, err) // I + A^T A has a root unless A left bounds
	}
	w := r.adapted[r.head.Lo:r.head.Hi]
	for i, z := range r.z {
		delta := T(r.d[i/r.out] * z)
		w[i] += delta
	}
	return true, nil
}

// primal reports which form n samples take: the one of the smaller order.
func (r *ridge[T]) primal(n int) bool { return r.f <= n }

// relativeWeights fills r.sw, and reports whether any sample counts.
func (r *ridge[T]) relativeWeights(s *Batch[T]) (bool, error) {
	var sum kernel.Chain[T]
	for i, w := range s.W[:s.N] {
		if !(w >= 0) {
			return false, fmt.Errorf("support: weight %d is %v, expected 0 or above", i, w)
		}
		sum.Add(w, 1)
	}
	total := sum.Sum()
	if total == 0 {
		return false, nil
	}
	r.sw = room(r.sw, s.N)
	scale := T(s.N) / total
	for i, w := range s.W[:s.N] {
		r.sw[i] = T(math.Sqrt(float64(T(w * scale))))
	}
	return true, nil
}

// design fills r.a with A, r.aT with its transpose, and r.e with the right side r.
func (r *ridge[T]) design(theta []T, s *Batch[T]) {
	n, f := s.N, r.f
	y := r.support.Forward(theta, s.X, n)
	phi := r.support.Features()
	r.a, r.aT, r.e, r.b = room(r.a, n*f), room(r.aT, n*f), room(r.e, n*r.out), room(r.b, n*r.out)
	r.free = room(r.free, n*r.out)
	for i, w := range r.sw {
		row := r.a[i*f:][:f]
		for j, p := range phi[i*(f-1):][:f-1] {
			row[j] = T(w*p) * r.d[j]
		}
		row[f-1] = w * r.d[f-1]
		for o := i * r.out; o < (i+1)*r.out; o++ {
			r.e[o], r.free[o] = r.cut(s.Y[o] - y[o])
			r.e[o] *= w
		}
	}
	kernel.Transpose(r.aT, r.a, n, f)
}

// cut limits a residual, and says whether it still moves with the parameters.
func (r *ridge[T]) cut(residual T) (cut, free T) {
	switch c := T(r.config.Outlier); {
	case c > 0 && residual > c:
		return c, 0
	case c > 0 && residual < -c:
		return -c, 0
	}
	return residual, 1
}

// solvePrimal solves the form of order f: z, then e = r - A z in place of r.
func (r *ridge[T]) solvePrimal(n int) error {
	if err := r.gram(r.f, n, r.aT, r.a); err != nil {
		return err
	}
	r.times(r.aT, r.f, n, r.e, r.z)
	r.chol.solve(r.z, r.out)
	r.times(r.a, n, r.f, r.z, r.b)
	kernel.Axpy(r.e, r.e, -1, r.b)
	return nil
}

// solveDual solves the form of order n: e in place of r, then z.
func (r *ridge[T]) solveDual(n int) error {
	if err := r.gram(n, r.f, r.a, r.aT); err != nil {
		return err
	}
	r.chol.solve(r.e, r.out)
	r.times(r.aT, r.f, n, r.e, r.z)
	return nil
}

// gram factors x y + I, for x [n][k] and its transpose y [k][n].
func (r *ridge[T]) gram(n, k int, x, y []T) error {
	r.chol.n, r.chol.u = n, room(r.chol.u, n*n)
	kernel.Gemm(kernel.FromZero, nil, n, n, k, x, k, 1, y, n, r.chol.u, n)
	for i := range n {
		r.chol.u[i*n+i]++
	}
	return r.chol.factor()
}

// times sets z [m][out] to x y, for x [m][k] and y [k][out].
func (r *ridge[T]) times(x []T, m, k int, y, z []T) {
	kernel.Gemm(kernel.FromZero, nil, m, r.out, k, x, k, 1, y, r.out, z, r.out)
}

// adjoint turns grad, which holds the gradient at the adapted parameters, into
// that at theta.
func (r *ridge[T]) adjoint(theta []T, n int, grad []T) {
	g := grad[r.head.Lo:r.head.Hi]
	for i, x := range g {
		r.u[i] = r.d[i/r.out] * x
	}
	if r.primal(n) {
		r.chol.solve(r.u, r.out)
		r.times(r.a, n, r.f, r.u, r.b)
	} else {
		r.times(r.a, n, r.f, r.u, r.b)
		r.chol.solve(r.b, r.out)
		r.times(r.aT, r.f, n, r.b, r.v)
		kernel.Axpy(r.u, r.u, -1, r.v)
	}
	for i, b := range r.b {
		r.free[i] *= b
	}
	r.times(r.aT, r.f, n, r.free, r.v)
	for i, u := range r.u {
		g[i] -= r.v[i] / r.d[i/r.out]
		r.v[i] = u * r.d[i/r.out]
	}
	r.precisionGradient(grad[r.size:][:r.f])
	r.featureGradient(theta[r.head.Lo:r.head.Hi], n)
	r.support.BackwardFeatures(theta[:r.size], r.narrow, r.more)
	r.stats.drop(r.more, 0)
	kernel.AddInto(grad[:r.head.Lo], r.more[:r.head.Lo])
}

// precisionGradient fills the gradient for rho.
func (r *ridge[T]) precisionGradient(rho []T) {
	for j := range rho {
		var sum kernel.Chain[T]
		for o := j * r.out; o < (j+1)*r.out; o++ {
			sum.Add(r.z[o], r.u[o])
		}
		rho[j] = -rhoUnit * sum.Sum()
	}
}

// featureGradient fills r.narrow with the gradient for the support's features; w0
// is the head at theta.
func (r *ridge[T]) featureGradient(w0 []T, n int) {
	r.dphi, r.narrow = room(r.dphi, n*r.f), room(r.narrow, n*(r.f-1))
	r.outer(kernel.FromZero, n, r.e, r.v)
	for i, z := range r.z {
		r.v[i] = r.d[i/r.out] * z // delta
	}
	kernel.Scale(r.b, -1, r.b)
	r.outer(kernel.FromC, n, r.b, r.v)
	kernel.Scale(r.free, -1, r.free)
	r.outer(kernel.FromC, n, r.free, w0)
	for i, w := range r.sw {
		kernel.Scale(r.narrow[i*(r.f-1):][:r.f-1], w, r.dphi[i*r.f:][:r.f-1])
	}
}

// outer starts r.dphi with, or adds to it, the products of the rows of x [n][out]
// and y [f][out].
func (r *ridge[T]) outer(start kernel.Start, n int, x, y []T) {
	kernel.Transpose(r.t, y, r.f, r.out)
	kernel.Gemm(start, nil, n, r.f, r.out, x, r.out, 1, r.t, r.f, r.dphi, r.f)
}

func (r *ridge[T]) Adapt(theta []T, support *Batch[T], _ int) (*Predictor[T], error) {
	if len(theta) != r.NumParams() {
		return nil, fmt.Errorf("adapt: %d parameters, expected %d", len(theta), r.NumParams())
	}
	if err := r.checkBatch("support", support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	if _, err := r.solve(theta, support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	r.adjust.fold(theta[r.size+r.f:], r.adapted)
	p, err := r.newPredictor(append([]T(nil), r.adapted...))
	if err == nil {
		p.updater = newUpdater(r, p, theta, support)
	}
	return p, err
}
