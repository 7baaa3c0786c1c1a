package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

// functions pairs each of ours with package math's, a range and the error
// allowed in units of 1e-16 relative (absolute below 1 for sin and cos).
var functions = []struct {
	name         string
	ours, theirs func(float64) float64
	lo, hi       float64
	ulp          float64
}{
	{"Exp", Exp, math.Exp, -700, 700, 4},
	{"Exp", Exp, math.Exp, -1, 1, 4},
	{"Log", Log, math.Log, 1e-300, 3, 4},
	{"Log", Log, math.Log, 0, 1e10, 4},
	{"Log1p", Log1p, math.Log1p, -0.9, 5, 12},
	{"Log1p", Log1p, math.Log1p, -1e-6, 1e-6, 4},
	{"Tanh", Tanh, math.Tanh, -30, 30, 8},
	{"Tanh", Tanh, math.Tanh, -1e-3, 1e-3, 8},
	{"Sin", Sin, math.Sin, -20, 20, 4},
	{"Cos", Cos, math.Cos, -1e5, 1e5, 4},
	{"Pow", func(x float64) float64 { return Pow(x, 2.5) }, func(x float64) float64 { return math.Pow(x, 2.5) }, 1e-3, 1e3, 60},
	{"Pow", func(x float64) float64 { return Pow(0.999, math.Floor(x)) }, func(x float64) float64 { return math.Pow(0.999, math.Floor(x)) }, 0, 1e4, 60000},
	{"Sigmoid", Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, -700, 40, 8},
}

func TestMathAgreesWithPackageMath(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, f := range functions {
		for range 100_000 {
			x := f.lo + (f.hi-f.lo)*r.Float64()
			got, want := f.ours(x), f.theirs(x)
			scale := math.Abs(want)
			if f.name == "Sin" || f.name == "Cos" {
				scale = 1
			}
			if math.Abs(got-want) > f.ulp*1e-16*scale {
				t.Errorf("%s(%v) = %v, want %v (%.1f units)", f.name, x, got, want, math.Abs(got-want)/scale*1e16)
				break
			}
		}
	}
}

func TestMathEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"exp 0", Exp(0), 1}, {"exp inf", Exp(inf), inf}, {"exp -inf", Exp(-inf), 0}, {"exp nan", Exp(nan), nan}, {"exp 710", Exp(710), inf},
		{"log 1", Log(1), 0}, {"log 0", Log(0), -inf}, {"log -1", Log(-1), nan}, {"log inf", Log(inf), inf}, {"log nan", Log(nan), nan},
		{"log1p 0", Log1p(0), 0}, {"log1p -1", Log1p(-1), -inf},
		{"tanh 0", Tanh(0), 0}, {"tanh inf", Tanh(inf), 1}, {"tanh -inf", Tanh(-inf), -1}, {"tanh nan", Tanh(nan), nan},
		{"sigmoid 0", Sigmoid(0), 0.5}, {"sigmoid inf", Sigmoid(inf), 1}, {"sigmoid -inf", Sigmoid(-inf), 0}, {"sigmoid nan", Sigmoid(nan), nan},
		{"sin 0", Sin(0), 0}, {"cos 0", Cos(0), 1}, {"sin inf", Sin(inf), nan}, {"cos nan", Cos(nan), nan},
		{"pow x 0", Pow(7, 0), 1}, {"pow -2 3", Pow(-2, 3), -8}, {"pow 2 -2", Pow(2, -2), 0.25}, {"pow 0 .5", Pow(0, 0.5), 0}, {"pow -1 .5", Pow(-1, 0.5), nan},
	} {
		if c.got != c.want && !(c.got != c.got && c.want != c.want) {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	if math.Float64bits(Tanh(math.Copysign(0, -1))) != 1<<63 {
		t.Error("tanh -0 is not -0")
	}
	if got := Exp(-745.13); got != 5e-324 {
		t.Errorf("Exp(-745.13) = %g, want the smallest subnormal", got)
	}
	if got, want := Log(5e-324), -744.4400719213812; math.Abs(got-want) > 1e-12 {
		t.Errorf("Log(5e-324) = %v, want %v", got, want)
	}
}

// TestG1_MathBits pins the bits: they must not differ by processor, build tag
// or GOAMD64 level. Functions are added at the end, each with the sum up to it.
func TestG1_MathBits(t *testing.T) {
	want := map[int]string{
		11: "a9b916bf25f5e719e8d57c4eaef891d08fb3b1275ee775daae40a7394ee6256a",
		12: "99cde50b41cbb73ad7447ddc96bf9691c1518fb888d03f1ed11f0904b87021e6",
	}
	h := sha256.New()
	r := rand.New(rand.NewPCG(11, 12))
	for i, f := range functions {
		for range 20_000 {
			binary.Write(h, binary.LittleEndian, f.ours(f.lo+float64((f.hi-f.lo)*r.Float64())))
		}
		if got := hex.EncodeToString(h.Sum(nil)); want[i] != "" && got != want[i] {
			t.Errorf("bits of the functions up to %s changed: %s, want %s", f.name, got, want[i])
		}
	}
	if want[len(functions)-1] == "" {
		t.Error("the last function's bits are not pinned")
	}
}
