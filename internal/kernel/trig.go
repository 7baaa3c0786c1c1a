package kernel

import "math"

// pi/2 in three parts, the first two of 33 bits, so that a whole number
// below 2**20 times each is exact.
const (
	halfPi1 = 0x1.921fb544p+0
	halfPi2 = 0x1.0b4611a6p-34
	halfPi3 = 0x1.3198a2e037073p-69
	twoByPi = 0.636619772367581343075535053490057448
)

// quadrant returns r in about [-pi/4, pi/4] and q mod 4 with x = q pi/2 + r.
// Accurate to an ulp or so of r for |x| below 2**20 or so; beyond, the result is
// still a function of x alone, but not its sine. An infinite x gives NaN.
func quadrant(x float64) (r float64, q int) {
	k := math.RoundToEven(float64(x * twoByPi))
	r = math.FMA(-k, halfPi1, x)
	r = math.FMA(-k, halfPi2, r)
	r = math.FMA(-k, halfPi3, r)
	whole := k - float64(4*math.Floor(k/4))
	if whole != whole {
		return math.NaN(), 0
	}
	return r, int(whole) & 3
}

// Sin returns the sine of x in radians. Meant for |x| < 2**20.
func Sin(x float64) float64 {
	r, q := quadrant(x)
	return turn(r, q)
}

// Cos returns the cosine of x in radians. Meant for |x| < 2**20.
func Cos(x float64) float64 {
	r, q := quadrant(x)
	return turn(r, q+1)
}

// turn returns sin(r + q pi/2).
func turn(r float64, q int) float64 {
	switch q & 3 {
	case 0:
		return sinPoly(r)
	case 1:
		return cosPoly(r)
	case 2:
		return -sinPoly(r)
	}
	return -cosPoly(r)
}

// sinPoly is the Taylor series of sin to r**19.
func sinPoly(r float64) float64 {
	z := float64(r * r)
	p := -1.0 / 121645100408832000
	p = math.FMA(p, z, 1.0/355687428096000)
	p = math.FMA(p, z, -1.0/1307674368000)
	p = math.FMA(p, z, 1.0/6227020800)
	p = math.FMA(p, z, -1.0/39916800)
	p = math.FMA(p, z, 1.0/362880)
	p = math.FMA(p, z, -1.0/5040)
	p = math.FMA(p, z, 1.0/120)
	p = math.FMA(p, z, -1.0/6)
	return math.FMA(float64(p*z), r, r)
}

// cosPoly is the Taylor series of cos to r**18.
func cosPoly(r float64) float64 {
	z := float64(r * r)
	p := -1.0 / 6402373705728000
	p = math.FMA(p, z, 1.0/20922789888000)
	p = math.FMA(p, z, -1.0/87178291200)
	p = math.FMA(p, z, 1.0/479001600)
	p = math.FMA(p, z, -1.0/3628800)
	p = math.FMA(p, z, 1.0/40320)
	p = math.FMA(p, z, -1.0/720)
	p = math.FMA(p, z, 1.0/24)
	p = math.FMA(p, z, -0.5)
	return math.FMA(p, z, 1)
}
