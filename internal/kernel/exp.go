package kernel

import "math"

// ln 2 in two parts; the first has 20 trailing zero bits, so that a product with
// an exponent is exact.
const (
	ln2Hi = 0x1.62e42fefp-1
	ln2Lo = 0x1.473de6af278edp-34 // ln 2 - ln2Hi
	log2E = 1.442695040888963407359924681001892137
)

// Exp returns e**x: x = k ln 2 + r, a Taylor polynomial of degree 14 in r by
// Horner's rule with FMA, and a scaling by 2**k. Error below 1 ulp or so.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.1332191019412:
		return 0
	}
	k := math.RoundToEven(float64(x * log2E))
	r := math.FMA(-k, ln2Hi, x)
	r = math.FMA(-k, ln2Lo, r)
	return scale2(1+expm1Poly(r), int(k))
}

// scale2 returns x * 2**k, in two exact steps and one that may round (where the
// result is subnormal).
func scale2(x float64, k int) float64 {
	h := k / 2
	return float64(x*pow2(h)) * pow2(k-h)
}

// pow2 returns 2**k for -1022 <= k <= 1023.
func pow2(k int) float64 { return math.Float64frombits(uint64(k+1023) << 52) }

// expm1Poly returns e**r - 1 for |r| <= 0.7: the Taylor series to r**17.
func expm1Poly(r float64) float64 {
	p := 1.0 / 355687428096000
	p = math.FMA(p, r, 1.0/20922789888000)
	p = math.FMA(p, r, 1.0/1307674368000)
	p = math.FMA(p, r, 1.0/87178291200)
	p = math.FMA(p, r, 1.0/6227020800)
	p = math.FMA(p, r, 1.0/479001600)
	p = math.FMA(p, r, 1.0/39916800)
	p = math.FMA(p, r, 1.0/3628800)
	p = math.FMA(p, r, 1.0/362880)
	p = math.FMA(p, r, 1.0/40320)
	p = math.FMA(p, r, 1.0/5040)
	p = math.FMA(p, r, 1.0/720)
	p = math.FMA(p, r, 1.0/120)
	p = math.FMA(p, r, 1.0/24)
	p = math.FMA(p, r, 1.0/6)
	p = math.FMA(p, r, 0.5)
	return math.FMA(float64(p*r), r, r)
}

// Log returns the natural logarithm of x: x = 2**k m with m in [sqrt(1/2),
// sqrt(2)), and log m = 2 atanh((m-1)/(m+1)) by its series.
func Log(x float64) float64 {
	switch {
	case x != x || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case x > math.MaxFloat64:
		return x
	}
	k := 0
	if x < 0x1p-1022 {
		x, k = x*0x1p54, -54
	}
	b := math.Float64bits(x)
	k += int(b>>52) - 1023
	m := math.Float64frombits(b&(1<<52-1) | 1023<<52)
	if m > math.Sqrt2 {
		m, k = m/2, k+1
	}
	return logNear1(m-1, float64(k))
}

// logNear1 returns k ln 2 + log(1+f) for f in [sqrt(1/2)-1, sqrt(2)-1].
func logNear1(f, k float64) float64 {
	s := f / (2 + f)
	z := float64(s * s)
	p := 1.0 / 23
	p = math.FMA(p, z, 1.0/21)
	p = math.FMA(p, z, 1.0/19)
	p = math.FMA(p, z, 1.0/17)
	p = math.FMA(p, z, 1.0/15)
	p = math.FMA(p, z, 1.0/13)
	p = math.FMA(p, z, 1.0/11)
	p = math.FMA(p, z, 1.0/9)
	p = math.FMA(p, z, 1.0/7)
	p = math.FMA(p, z, 1.0/5)
	p = math.FMA(p, z, 1.0/3)
	// log(1+f) = f - s(f - 2z p): f itself is exact, the rest is small.
	rest := float64(s * math.FMA(float64(-2*z), p, f))
	return math.FMA(k, ln2Hi, f-(rest-float64(k*ln2Lo)))
}

// Log1p returns log(1+x), accurate where x is small.
func Log1p(x float64) float64 {
	if x > -0.25 && x < 0.375 {
		return logNear1(x, 0)
	}
	return Log(1 + x)
}

// Tanh returns the hyperbolic tangent of x.
func Tanh(x float64) float64 {
	a := math.Abs(x)
	var t float64
	switch {
	case a != a:
		return x
	case a <= 0.35:
		e := expm1Poly(2 * a)
		t = e / (e + 2)
	case a < 22:
		t = 1 - 2/(Exp(2*a)+1)
	default:
		t = 1
	}
	return math.Copysign(t, x)
}

// Pow returns x**y: by squaring where y is a whole number up to 2**31 in size,
// else as Exp(y Log(x)), whose relative error grows as |y log x| ulp. A negative
// x under a broken y is NaN.
func Pow(x, y float64) float64 {
	if y == math.Trunc(y) && math.Abs(y) <= 1<<31 {
		p := powInt(x, uint64(math.Abs(y)))
		if y < 0 {
			return 1 / p
		}
		return p
	}
	if x == 0 && y > 0 {
		return 0
	}
	return Exp(float64(y * Log(x)))
}

// powInt returns x**n by squaring, lowest bit of n first.
func powInt(x float64, n uint64) float64 {
	p := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p = float64(p * x)
		}
		x = float64(x * x)
	}
	return p
}
