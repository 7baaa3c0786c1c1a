package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// use is what maml's Take does with a gradient at theta_k.
type use[T kernel.Float] struct {
	why     purpose
	k       int
	last    bool // lambda is lambda_k thereafter
	at, to  []T  // theta_k, where it is stepped from; theta_{k+1} or lambda
	learned []T  // rates
}

var _ nn.Sink[float32] = (*maml[float32])(nil)

// Take uses up a part of a gradient. It is nn.Sink's.
func (m *maml[T]) Take(lo int, g []T) {
	u := &m.use
	to := u.to[lo:][:len(g)]
	switch u.why {
	case useAdapt:
		m.stats.drop(g, lo)
		m.rates.descend(to, u.at[lo:][:len(g)], g, u.learned, u.k, lo)
		return
	case useDescend:
		m.stats.take(g, lo)
		if m.rates.learned() {
			copy(m.support[u.k].grad[lo:], g)
		}
		m.rates.descend(to, u.at[lo:][:len(g)], g, u.learned, u.k, lo)
		return
	case useStart:
		m.stats.take(g, lo)
		if w := m.weights[u.k]; w != 1 {
			kernel.Scale(to, w, to) // g lies there: see Room
		}
	case useCurve:
		kernel.Axpy(to, to, -1, g)
	case useEarly:
		m.stats.drop(g, lo)
		kernel.Axpy(to, to, m.weights[u.k], g)
	}
	if m.second && u.last && u.k > 0 {
		m.rates.scale(m.v[lo:][:len(g)], to, u.learned, u.k-1, lo)
	}
}

// Room is nn.Sink's: lambda starts as the gradient.
func (m *maml[T]) Room(lo, n int) []T {
	if m.use.why == useStart {
		return m.use.to[lo:][:n]
	}
	return nil
}
