package nn

import (
	"fmt"
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

func (c LossConfig) checkClasses() error {
	if c.Clip != 0 {
		return fmt.Errorf("clip %v, expected 0: outputs are scores, not values to limit", c.Clip)
	}
	for i, w := range c.ClassWeights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("class_weights[%d]: %v, expected 0 or above", i, w)
		}
	}
	return nil
}

// weight is that of class k.
func weight[T kernel.Float](l Loss, k int) T {
	if l.lists == nil || len(l.lists.weights) == 0 {
		return 1
	}
	return T(l.lists.weights[k])
}

// softmaxGrad is Grad for cross-entropy over classes. With the row's largest
// output m taken off, d[k] = y[k] - m, and the weighted targets a[k] = c[k] t[k],
//
//	l[k]  = a[k] (log(sum exp d) - d[k])
//	dy[k] = W (A p[k] - a[k]),   p[k] = exp(d[k]) / sum exp d,   A = sum a
//
// Sums over classes are chains that ascend.
func softmaxGrad[T kernel.Float](l Loss, n, out int, y, t, w, dy []T) T {
	shares(n, out, y, dy)
	var sum kernel.Chain[T]
	for i, wi := range w[:n] {
		p, ti := dy[i*out:][:out], t[i*out:][:out]
		m, total := normalise(y[i*out:][:out], p)
		log := T(kernel.Log(float64(total)))
		mass := mass(l, ti)
		for k, v := range y[i*out:][:out] {
			a := T(weight[T](l, k) * ti[k])
			sum.Add(wi, T(a*T(log-T(v-m))))
			p[k] = wi * T(T(mass*p[k])-a)
		}
	}
	return sum.Sum()
}

// softmaxRGrad is RGrad: rdy[k] = W A p[k] (ry[k] - sum p ry).
func softmaxRGrad[T kernel.Float](l Loss, n, out int, y, t, w, ry, rdy []T) {
	shares(n, out, y, rdy)
	for i, wi := range w[:n] {
		p, r := rdy[i*out:][:out], ry[i*out:][:out]
		normalise(y[i*out:][:out], p)
		var mean kernel.Chain[T]
		for k, v := range p {
			mean.Add(v, r[k])
		}
		common, scale := mean.Sum(), T(wi*mass(l, t[i*out:][:out]))
		for k, v := range p {
			p[k] = T(scale*v) * T(r[k]-common)
		}
	}
}

// shares fills p with exp(y - m), m being the largest of each row of y.
func shares[T kernel.Float](n, out int, y, p []T) {
	for i := range n {
		row := y[i*out:][:out]
		m := row[Argmax(row)]
		for k, v := range row {
			p[i*out+k] = v - m
		}
	}
	kernel.ExpInto(p[:n*out], p[:n*out])
}

// normalise divides a row of p, as shares left it, by its sum.
func normalise[T kernel.Float](y, p []T) (m, total T) {
	var sum kernel.Chain[T]
	for _, v := range p {
		sum.Add(1, v)
	}
	total = sum.Sum()
	for k := range p {
		p[k] /= total
	}
	return y[Argmax(y)], total
}

// mass is the sum of a row's weighted targets.
func mass[T kernel.Float](l Loss, t []T) T {
	var sum kernel.Chain[T]
	for k, v := range t {
		sum.Add(weight[T](l, k), v)
	}
	return sum.Sum()
}

// bceGrad is Grad for binary cross-entropy on logits, each output on its own:
//
//	l  = a softplus(-y) + b softplus(y),   a = c t,  b = 1 - t
//	dy = W ((a + b) p - a),   p = 1/(1 + exp(-y))
//
// with softplus(y) = max(y, 0) + log1p(exp(-|y|)).
func bceGrad[T kernel.Float](l Loss, n, out int, y, t, w, dy []T) T {
	var sum kernel.Chain[T]
	for i, wi := range w[:n] {
		for k := range out {
			v, a, b := y[i*out+k], T(weight[T](l, k)*t[i*out+k]), 1-t[i*out+k]
			p := T(kernel.Sigmoid(float64(v)))
			sum.Add(wi, T(a*softplus(-v))+T(b*softplus(v)))
			dy[i*out+k] = wi * T(T(T(a+b)*p)-a)
		}
	}
	return sum.Sum()
}

// softplus is log(1 + exp x), rounded once to T.
func softplus[T kernel.Float](x T) T {
	v := float64(x)
	return T(max(v, 0) + kernel.Log1p(kernel.Exp(-math.Abs(v))))
}

// bceRGrad is RGrad: rdy = W (a + b) p(y) p(-y) ry.
func bceRGrad[T kernel.Float](l Loss, n, out int, y, t, w, ry, rdy []T) {
	for i, wi := range w[:n] {
		for k := range out {
			a, b := T(weight[T](l, k)*t[i*out+k]), 1-t[i*out+k]
			v := float64(y[i*out+k])
			bend := T(T(kernel.Sigmoid(v)) * T(kernel.Sigmoid(-v)))
			rdy[i*out+k] = T(wi*T(T(a+b)*bend)) * ry[i*out+k]
		}
	}
}
