package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// oracle rounds the exact a*b + c once, with math/big.
func oracle(a, b, c float32) float32 {
	x := new(big.Float).SetPrec(2000).SetFloat64(float64(a))
	x.Mul(x, new(big.Float).SetPrec(2000).SetFloat64(float64(b)))
	x.Add(x, new(big.Float).SetPrec(2000).SetFloat64(float64(c)))
	f, _ := x.Float32()
	return f
}

func TestContract_FMA32RoundsOnce(t *testing.T) {
	a, b, c := float32(1+0x1p-23), float32(0x1p-24*(1-0x1p-23)), float32(1+0x1p-23)
	if got, want := FMA32(a, b, c), float32(1+0x1p-23); got != want {
		t.Fatalf("FMA32(1+2^-23, 2^-24(1-2^-23), 1+2^-23) = %b, want %b", got, want)
	}
	if twice := float32(float64(a)*float64(b) + float64(c)); twice == 1+0x1p-23 {
		t.Fatal("the example does not tell one rounding from two")
	}
}

// finite draws floats of all exponents, rich in short mantissas, subnormals and
// values whose products end near a tie.
func finite(r *rand.Rand) float32 {
	for {
		u := r.Uint32()
		switch r.IntN(4) {
		case 0:
			u &= 0xff800000 | 1<<r.IntN(23) | 1<<r.IntN(23) | 1
		case 1:
			u = u&0x807fffff | uint32(110+r.IntN(34))<<23
		case 2:
			u &= 0x80000000 | 0x00ffffff>>r.IntN(24)
		}
		if f := math.Float32frombits(u); !math.IsInf(float64(f), 0) && f == f {
			return f
		}
	}
}

func TestContract_FMA32MatchesExactArithmetic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ties := 0
	for range 400_000 {
		a, b, c := finite(r), finite(r), finite(r)
		if r.IntN(2) == 0 { // put c within reach of the product's last bits
			e := int(r.IntN(60)) - 30
			c = float32(math.Ldexp(float64(a)*float64(b), e))
			c = math.Float32frombits(math.Float32bits(c) &^ uint32(r.IntN(1<<20)))
		}
		if math.IsInf(float64(c), 0) {
			continue
		}
		want := oracle(a, b, c)
		if want == 0 {
			continue // big loses the sign of zero; see the table below
		}
		got := FMA32(a, b, c)
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("FMA32(%b, %b, %b) = %b, want %b", a, b, c, got, want)
		}
		if float32(float64(a)*float64(b)+float64(c)) != want {
			ties++
		}
	}
	if ties < 100 {
		t.Fatalf("only %d cases tell one rounding from two", ties)
	}
}

func TestContract_FMA32SpecialValues(t *testing.T) {
	inf, zero, tiny := float32(math.Inf(1)), float32(0), math.Float32frombits(1)
	neg := float32(math.Copysign(0, -1))
	for _, c := range []struct{ a, b, c, want float32 }{
		{zero, zero, zero, zero}, {neg, zero, neg, neg}, {neg, zero, zero, zero}, {1, 1, -1, zero},
		{tiny, 0.5, zero, zero}, {tiny, -0.5, zero, neg}, {tiny, 0.5, neg, zero}, {tiny, 0.75, zero, tiny},
		{tiny, tiny, tiny, tiny}, {tiny, 0.5, tiny, 2 * tiny}, {-tiny, 0.5, 3 * tiny, 2 * tiny},
		{inf, 1, 1, inf}, {-inf, 1, 1, -inf}, {1, 1, inf, inf}, {math.MaxFloat32, 2, zero, inf},
		{math.MaxFloat32, 2, -math.MaxFloat32, math.MaxFloat32},
	} {
		if got := FMA32(c.a, c.b, c.c); math.Float32bits(got) != math.Float32bits(c.want) {
			t.Errorf("FMA32(%b, %b, %b) = %b, want %b", c.a, c.b, c.c, got, c.want)
		}
	}
	for _, c := range [][3]float32{{inf, 0, 1}, {inf, 1, -inf}, {float32(math.NaN()), 1, 1}} {
		if got := FMA32(c[0], c[1], c[2]); got == got {
			t.Errorf("FMA32(%v) = %v, want NaN", c, got)
		}
	}
}

func BenchmarkFMA32(b *testing.B) {
	x := float32(1)
	for b.Loop() {
		x = FMA32(x, 0.999, 0.001)
	}
	_ = x
}
