package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// fenced returns a copy of x whose capacity ends with it, followed by guard
// values, and a function that reports whether they still stand.
func fenced(x []float32) ([]float32, func() bool) {
	const guards = 40
	room := make([]float32, guards+len(x)+guards)
	for i := range room {
		room[i] = float32(i) + 0.5
	}
	at := copy(room[guards:], x) + guards
	return room[guards:at:at], func() bool {
		for i, v := range room {
			if (i < guards || i >= at) && v != float32(i)+0.5 {
				return false
			}
		}
		return true
	}
}

func TestContract_RowBits(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(17, 18))
		for range 400 {
			n, c := 1+r.IntN(6), 1+r.IntN(70)
			x, y, z := wild(r, n*c, true), wild(r, n*c, true), wild(r, n*c, true)
			a, b := wild(r, c, true), wild(r, c, true)
			for _, k := range []struct {
				name string
				do   func(dst []float32)
				want func(i, j int) float32
			}{
				{"Mul", func(d []float32) { Mul(d, x, y) }, func(i, _ int) float32 { return x[i] * y[i] }},
				{"Sub", func(d []float32) { Sub(d, x, y) }, func(i, _ int) float32 { return x[i] - y[i] }},
				{"MulAdd", func(d []float32) { MulAdd(d, x, y, z) }, func(i, _ int) float32 { return float32(x[i]*y[i]) + z[i] }},
				{"AddRow", func(d []float32) { AddRow(d, x, a) }, func(i, j int) float32 { return x[i] + a[j] }},
				{"SubRow", func(d []float32) { SubRow(d, x, a) }, func(i, j int) float32 { return x[i] - a[j] }},
				{"MulRow", func(d []float32) { MulRow(d, x, a) }, func(i, j int) float32 { return x[i] * a[j] }},
				{"SubMulRow", func(d []float32) { SubMulRow(d, x, a, b) }, func(i, j int) float32 { return float32(x[i]-a[j]) * b[j] }},
				{"MulAddRow", func(d []float32) { MulAddRow(d, x, a, b) }, func(i, j int) float32 { return float32(x[i]*a[j]) + b[j] }},
				{"AddMulRow", func(d []float32) { AddMulRow(d, z, x, a) }, func(i, j int) float32 { return z[i] + float32(x[i]*a[j]) }},
			} {
				got, intact := fenced(z)
				k.do(got)
				for i := range got {
					if want := k.want(i, i%c); !sameBits(got[i], want) {
						t.Fatalf("%s, row %d column %d of %dx%d: %b, want %b", k.name, i/c, i%c, n, c, got[i], want)
					}
				}
				if !intact() {
					t.Fatalf("%s wrote beyond its %dx%d elements", k.name, n, c)
				}
			}
		}
	})
}

func TestRowsMayWorkInPlace(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		for n := 1; n < 40; n++ {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(i)
			}
			MulAdd(x, x, x, x)
			for i, v := range x {
				if v != float32(i*i+i) {
					t.Fatalf("x*x + x at %d of %d: %v", i, n, v)
				}
			}
		}
	})
}

func TestContract_ColumnBits(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(19, 20))
		for _, s := range [][2]int{{1, 1}, {5, 64}, {255, 3}, {256, 16}, {257, 17}, {512, 8}, {700, 64}, {1100, 5}, {3, 128}, {300, 129}, {20, 300}, {0, 4}} {
			for _, special := range []bool{false, true} {
				n, c := s[0], s[1]
				x, y := wild(r, n*c, special), wild(r, n*c, special)
				one := []float32{1}
				want, got := make([]float32, c), wild(r, c, true)
				got, intact := fenced(got)
				naive(FromZero, nil, 1, c, n, one, 0, 0, x, c, want, c)
				ColumnSums(got, x, n, c)
				check := func(name string) {
					t.Helper()
					for j := range want {
						if !sameBits(got[j], want[j]) {
							t.Fatalf("%s, column %d of %dx%d: %b, want %b", name, j, n, c, got[j], want[j])
						}
					}
					if !intact() {
						t.Fatalf("%s of %dx%d wrote beyond its columns", name, n, c)
					}
				}
				check("ColumnSums")
				for j := range want {
					var ch Chain[float32]
					for i := range n {
						ch.Add(x[i*c+j], y[i*c+j])
					}
					want[j] = ch.Sum()
				}
				ColumnDots(got, x, y, n, c)
				check("ColumnDots")
			}
		}
	})
}

func TestTransposeMovesEveryElement(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		for rows := 0; rows < 40; rows++ {
			for cols := 0; cols < 40; cols++ {
				src := make([]float32, rows*cols)
				for i := range src {
					src[i] = float32(i) + 1
				}
				dst, intact := fenced(make([]float32, rows*cols))
				Transpose(dst, src, rows, cols)
				for i := range src {
					if got := dst[i%max(cols, 1)*rows+i/max(cols, 1)]; got != src[i] {
						t.Fatalf("%dx%d: element %d is %v, want %v", rows, cols, i, got, src[i])
					}
				}
				if !intact() {
					t.Fatalf("%dx%d: wrote beyond its end", rows, cols)
				}
			}
		}
	})
}

// curves pairs each function over slices with the one it stands for.
var curves = []struct {
	name string
	into func(dst, x []float32)
	f    func(float64) float64
}{
	{"TanhInto", TanhInto[float32], Tanh}, {"SigmoidInto", SigmoidInto[float32], Sigmoid}, {"ExpInto", ExpInto[float32], Exp},
}

// turns are arguments near which one of the functions takes another way.
var turns = []float32{0, 0x1p-149, 0x1p-126, 0.35, 1, 22, 44, 88, 88.72283, 87.33654, 103.97208, 104, 709.78271, 745.13322, 1000, math.MaxFloat32, float32(math.Inf(1)), float32(math.NaN())}

func TestContract_CurveBits(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 22))
		var x []float32
		for _, v := range turns {
			for d := range uint32(9) {
				near := math.Float32frombits(math.Float32bits(v) + d - 4*min(1, math.Float32bits(v)))
				x = append(x, near, -near)
			}
		}
		for range 20_000 {
			x = append(x, math.Float32frombits(r.Uint32()), float32(5*r.NormFloat64()), float32(60*r.NormFloat64()))
		}
		for _, c := range curves {
			for lo, n := 0, 1; lo+n <= len(x); lo, n = lo+n, n%61+1 {
				got, intact := fenced(x[lo : lo+n])
				c.into(got, got)
				for i, v := range x[lo : lo+n] {
					if want := float32(c.f(float64(v))); !sameBits(got[i], want) {
						t.Fatalf("%s(%b), element %d of %d: %b, want %b", c.name, v, i, n, got[i], want)
					}
				}
				if !intact() {
					t.Fatalf("%s of %d elements wrote beyond them", c.name, n)
				}
			}
		}
	})
}

func TestRowsRefuseShortSlices(t *testing.T) {
	x := make([]float32, 12)
	for name, f := range map[string]func(){
		"Mul x":         func() { Mul(x, x[:11:11], x) },
		"Mul y":         func() { Mul(x, x, x[:11:11]) },
		"MulAdd z":      func() { MulAdd(x, x, x, x[:11:11]) },
		"AddRow uneven": func() { AddRow(x, x, x[:5]) },
		"AddMulRow z":   func() { AddMulRow(x, x[:11:11], x, x[:4]) },
		"MulAddRow b":   func() { MulAddRow(x, x, x[:4], x[:3:3]) },
		"ColumnSums x":  func() { ColumnSums(x, x[:11:11], 3, 4) },
		"ColumnDots y":  func() { ColumnDots(x, x, x[:11:11], 3, 4) },
		"ColumnSums to": func() { ColumnSums(x[:3:3], x, 3, 4) },
		"Transpose src": func() { Transpose(x, x[:11:11], 3, 4) },
		"Transpose dst": func() { Transpose(x[:11:11], x, 3, 4) },
		"TanhInto x":    func() { TanhInto(x, x[:11:11]) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: not refused", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkRows(b *testing.B) {
	const n, c = 980, 64
	x, y, z, row := make([]float32, n*c), make([]float32, n*c), make([]float32, n*c), make([]float32, c)
	for i := range x {
		x[i] = float32(i%100)/20 - 2.5
	}
	for name, f := range map[string]func(){
		"MulAdd":     func() { MulAdd(z, x, y, z) },
		"MulAddRow":  func() { MulAddRow(z, x, row, row) },
		"ColumnSums": func() { ColumnSums(row, x, n, c) },
		"ColumnDots": func() { ColumnDots(row, x, y, n, c) },
		"Transpose":  func() { Transpose(z, x, n, c) },
		"TanhInto":   func() { TanhInto(z, x) },
		"ExpInto":    func() { ExpInto(z, x) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(n*c)*float64(b.N)/b.Elapsed().Seconds()/1e9, "G/s")
		})
	}
}

func BenchmarkTranspose(b *testing.B) {
	for _, s := range [][2]int{{10, 40}, {25, 64}, {64, 64}, {64, 256}, {256, 64}, {784, 256}, {980, 64}, {64, 980}} {
		b.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(b *testing.B) {
			x, y := make([]float32, s[0]*s[1]), make([]float32, s[0]*s[1])
			for b.Loop() {
				Transpose(y, x, s[0], s[1])
			}
			b.ReportMetric(float64(s[0]*s[1])*float64(b.N)/b.Elapsed().Seconds()/1e9, "G/s")
		})
	}
}
