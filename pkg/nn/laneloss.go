package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// A LaneLoss is a Loss over Lanes tasks at once, with the work space of one
// goroutine. Each lane has the bits of Grad and RGrad for that task alone.
type LaneLoss struct {
	loss Loss
	out  int
	// plain is set where a loop over all lanes is all there is to it: squared error
	// without a clip.
	plain  bool
	values []float32 // of the loss, or the weights of each output
	wide   []float32
	lane   [5][]float32 // one lane of y, t, w, dy or ry, rdy
}

// NewLaneLoss returns the loss l of models with out outputs.
func NewLaneLoss(l Loss, out int) *LaneLoss {
	return &LaneLoss{loss: l, out: out, plain: l.kind == mse && l.clip == 0}
}

// Grad sets loss to that of outputs y [n][out][Lanes] against t with weights w
// [n][Lanes], and overwrites dy [n][out][Lanes].
func (l *LaneLoss) Grad(n int, y, t, w, dy []float32, loss *[Lanes]float32) {
	l.grow(n)
	if !l.plain {
		for lane := range Lanes {
			g := l.cut(n, lane, y, t, w)
			loss[lane] = Grad(l.loss, n, l.out, g[0], g[1], g[2], g[3])
			kernel.LanePut(dy, lane, g[3])
		}
		return
	}
	for i := range n {
		wi := (*[Lanes]float32)(w[i*Lanes:])
		for k := i * l.out; k < (i+1)*l.out; k++ {
			at := k * Lanes
			yk, tk, dk := (*[Lanes]float32)(y[at:]), (*[Lanes]float32)(t[at:]), (*[Lanes]float32)(dy[at:])
			vk := (*[Lanes]float32)(l.values[at:])
			for lane := range Lanes {
				r := yk[lane] - tk[lane]
				vk[lane] = r * r
				dk[lane] = wi[lane] * (2 * r)
			}
			if l.out > 1 {
				*(*[Lanes]float32)(l.wide[at:]) = *wi
			}
		}
	}
	weights := kernel.Operand{X: w, Col: 1}
	if l.out > 1 {
		weights.X = l.wide
	}
	// Start and blocks are those of a Chain.
	kernel.LaneGemm(kernel.FromZero, nil, 1, 1, n*l.out, weights, kernel.Operand{X: l.values, Row: 1}, loss[:], 1)
}

// RGrad overwrites rdy with the derivative of Grad's dy along ry.
func (l *LaneLoss) RGrad(n int, y, t, w, ry, rdy []float32) {
	l.grow(n)
	if !l.plain {
		for lane := range Lanes {
			g := l.cut(n, lane, y, t, w)
			kernel.LaneGet(g[3], ry, lane)
			RGrad(l.loss, n, l.out, g[0], g[1], g[2], g[3], g[4])
			kernel.LanePut(rdy, lane, g[4])
		}
		return
	}
	for i := range n {
		wi := (*[Lanes]float32)(w[i*Lanes:])
		for k := i * l.out; k < (i+1)*l.out; k++ {
			rk, dk := (*[Lanes]float32)(ry[k*Lanes:]), (*[Lanes]float32)(rdy[k*Lanes:])
			for lane := range Lanes {
				dk[lane] = float32(wi[lane]*2) * rk[lane]
			}
		}
	}
}

// grow makes room for n rows.
func (l *LaneLoss) grow(n int) {
	if n*l.out <= len(l.lane[0]) {
		return
	}
	size := n * l.out * 3 / 2
	l.values, l.wide = kernel.NewLanes(size), kernel.NewLanes(size)
	for i := range l.lane {
		l.lane[i] = make([]float32, size)
	}
}

// cut copies out a lane of y, t and w.
func (l *LaneLoss) cut(n, lane int, y, t, w []float32) (g [5][]float32) {
	for i := range g {
		g[i] = l.lane[i][:n*l.out]
	}
	g[1], g[2] = g[1][:n*l.loss.Targets(l.out)], g[2][:n]
	kernel.LaneGet(g[0], y, lane)
	kernel.LaneGet(g[1], t, lane)
	kernel.LaneGet(g[2], w, lane)
	return g
}
