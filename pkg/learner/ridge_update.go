package learner

import (
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// updater adds samples to a head that ridge solved. It keeps the normal
// equations of all samples so far,
//
//	G = sum W_i phi_i phi_i^T [f][f],   h = sum W_i phi_i r_i^T [f][out]
//
// with r_i the residual of the base model's head, cut like ridge's, so that k
// more cost k f^2 and a Cholesky of order f, however many came before:
//
//	(c d G d + I) z = c d h,   head = w0 + d z
//
// where c = samples / sum of W makes the weights relative, as in ridge. It is
// the form of order f whatever the number of samples: with far fewer of them
// than features ridge's own form, anew, is cheaper.
type updater[T kernel.Float] struct {
	r     *ridge[T]
	p     *Predictor[T]
	own   []T // ridge's own parameters of theta
	w0    []T // the base model's head
	first *Batch[T]
	n     int
	total T
	g, h  []T
	// Work space: rows [phi, 1] of a batch, times their weights, residuals.
	rows, weighed, resid []T
	nextG, nextH         []T
	z                    []T
	chol                 cholesky[T]
}

func newUpdater[T kernel.Float](r *ridge[T], p *Predictor[T], theta []T, s *Batch[T]) *updater[T] {
	first := &Batch[T]{s.N, slices.Clone(s.X[:s.N*r.model.In()]), slices.Clone(s.Y[:s.N*r.out]), slices.Clone(s.W[:s.N])}
	return &updater[T]{r: r, p: p, own: slices.Clone(theta[r.size:]), w0: slices.Clone(theta[r.head.Lo:r.head.Hi]), first: first}
}

// Update implements Updater.
func (u *updater[T]) Update(more *Batch[T]) error {
	if err := u.update(more); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

func (u *updater[T]) update(more *Batch[T]) error {
	if err := u.r.checkBatch("samples", more); err != nil {
		return err
	}
	if u.first != nil {
		u.begin()
	}
	n, total, err := u.add(more)
	if err != nil {
		return err
	}
	if err := u.solve(n, total); err != nil {
		return err
	}
	u.n, u.total = n, total
	u.g, u.nextG, u.h, u.nextH = u.nextG, u.g, u.nextH, u.h
	return nil
}

// begin makes the normal equations of the support, whose weights Adapt checked.
func (u *updater[T]) begin() {
	f, out := u.r.f, u.r.out
	u.g, u.nextG, u.h, u.nextH = make([]T, f*f), make([]T, f*f), make([]T, f*out), make([]T, f*out)
	u.z = make([]T, f*out)
	u.n, u.total, _ = u.add(u.first)
	u.g, u.nextG, u.h, u.nextH = u.nextG, u.g, u.nextH, u.h
	u.first = nil
}

// add leaves the normal equations with s in them in nextG and nextH.
func (u *updater[T]) add(s *Batch[T]) (n int, total T, err error) {
	f, out := u.r.f, u.r.out
	var sum kernel.Chain[T]
	for i, w := range s.W[:s.N] {
		if !(w >= 0) {
			return 0, 0, fmt.Errorf("samples: weight %d is %v, expected 0 or above", i, w)
		}
		sum.Add(w, 1)
	}
	copy(u.nextG, u.g)
	copy(u.nextH, u.h)
	if s.N > 0 {
		u.layOut(s)
		kernel.Gemm(kernel.FromC, nil, f, f, s.N, u.weighed, 1, f, u.rows, f, u.nextG, f)
		kernel.Gemm(kernel.FromC, nil, f, out, s.N, u.weighed, 1, f, u.resid, out, u.nextH, out)
	}
	return u.n + s.N, u.total + sum.Sum(), nil
}

// layOut fills rows, weighed and resid; the features do not depend on the head.
func (u *updater[T]) layOut(s *Batch[T]) {
	f, out := u.r.f, u.r.out
	u.p.tape.Forward(u.p.theta, s.X, s.N)
	phi := u.p.tape.Features()
	u.rows, u.weighed, u.resid = room(u.rows, s.N*f), room(u.weighed, s.N*f), room(u.resid, s.N*out)
	for i, w := range s.W[:s.N] {
		row := u.rows[i*f:][:f]
		copy(row, phi[i*(f-1):][:f-1])
		row[f-1] = 1
		kernel.Scale(u.weighed[i*f:][:f], w, row)
	}
	kernel.Gemm(kernel.FromZero, nil, s.N, out, f, u.rows, f, 1, u.w0, out, u.resid, out)
	for o, y := range u.resid {
		u.resid[o], _ = u.r.cut(s.Y[o] - y)
	}
}

// solve puts the solution for nextG and nextH into the predictor.
func (u *updater[T]) solve(n int, total T) error {
	if total == 0 {
		return nil
	}
	f, out := u.r.f, u.r.out
	c := T(n) / total
	d := make([]T, f)
	for j, rho := range u.own[:f] {
		d[j] = T(kernel.Exp(float64(rho) * (rhoUnit / -2)))
	}
	u.chol.n, u.chol.u = f, room(u.chol.u, f*f)
	for i, di := range d {
		ci := T(c * di)
		for j, dj := range d {
			u.chol.u[i*f+j] = T(T(ci*u.nextG[i*f+j]) * dj)
		}
		u.chol.u[i*f+i]++
		kernel.Scale(u.z[i*out:][:out], ci, u.nextH[i*out:])
	}
	if err := u.chol.factor(); err != nil {
		return err
	}
	u.chol.solve(u.z, out)
	for i, z := range u.z {
		u.z[i] = u.w0[i] + T(d[i/out]*z)
	}
	if !kernel.IsFinite(u.z) {
		return fmt.Errorf("%w: the adapted parameters are not finite", ErrDiverged)
	}
	u.r.adjust.apply(u.own[f:], u.z)
	copy(u.p.theta[u.r.head.Lo:], u.z)
	return nil
}
