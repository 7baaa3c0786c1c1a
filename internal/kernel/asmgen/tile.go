package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Byte offsets of tileArgs in package kernel; each field has eight bytes.
const (
	argTerms = 8 * iota
	argK
	argFirst
	argSkip
	argTaps
	argA
	argAR
	argAC
	argB
	argBR
	argS
	argSR
	argC
	argCR
	argM
	argRows
	argVectors
	argMask
	argJoin
)

// tiles writes the function that computes one block of a panel of C, as wide as a
// tile and m rows high: a tile of rows rows (the last: what is left) after the
// other. The tile is held in registers, rows x vectors accumulators, while the
// terms are walked, tap by tap: one vfmadd231 per accumulator and term. There is a
// loop for every number of rows and vectors, because the small products of
// few-shot learning are all edges.
type tiles struct {
	isa
	rows []int // most rows of a tile by its number of vectors
	b, x int   // first register of B's vectors, of A's broadcast values
	xs   int   // how many registers those take in turn

	args, left, count, tap reg.GPVirtual // terms left after the present tap, steps left in it
	a, a4, ar, ar3, ac     reg.GPVirtual // rows 0 and 4 of A, one and three of its row strides, its column stride
	bp, br                 reg.GPVirtual
}

func writeTiles(c *build.Context) {
	each(c, func(s isa) {
		if s.wide {
			(&tiles{isa: s, rows: []int{0, 8, 8, 8, 6}, b: 24, x: 28, xs: 4}).write()
		} else {
			(&tiles{isa: s, rows: []int{0, 6, 6}, b: 12, x: 14, xs: 1}).write()
		}
	})
}

func (t *tiles) arg(offset int) operand.Mem { return operand.Mem{Base: t.args, Disp: offset} }

// stride loads a stride given in elements, in bytes.
func (t *tiles) stride(offset int) reg.GPVirtual {
	r := t.GP64()
	t.MOVQ(t.arg(offset), r)
	t.SHLQ(operand.Imm(2), r)
	return r
}

func (t *tiles) write() {
	t.begin("tile", "(args *byte)")
	t.args = t.param("args")
	mask := t.GP64()
	t.MOVQ(t.arg(argMask), mask)
	t.loadMask(mask)
	t.ar, t.ac, t.br = t.stride(argAR), t.stride(argAC), t.stride(argBR)
	t.ar3 = t.GP64()
	t.LEAQ(operand.Mem{Base: t.ar, Index: t.ar, Scale: 2}, t.ar3)
	t.left, t.count, t.tap = t.GP64(), t.GP64(), t.GP64()
	t.a, t.a4, t.bp = t.GP64(), t.GP64(), t.GP64()
	t.Label("tile")
	t.MOVQ(t.arg(argTerms), t.left)
	t.MOVQ(t.arg(argFirst), t.count)
	t.MOVQ(t.arg(argTaps), t.tap)
	t.enter()
	skip := t.GP64()
	for _, p := range [][2]reg.GPVirtual{{t.ac, t.a}, {t.br, t.bp}} {
		t.MOVQ(t.arg(argSkip), skip)
		t.IMULQ(p[0], skip)
		t.ADDQ(skip, p[1])
	}
	t.LEAQ(operand.Mem{Base: t.a, Index: t.ar, Scale: 4}, t.a4)
	t.choose()
	t.next()
}

// next goes on to the tile below, if there is one.
func (t *tiles) next() {
	t.Label("next")
	rows, left, by := t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(t.arg(argRows), rows)
	t.MOVQ(t.arg(argM), left)
	t.SUBQ(rows, left)
	t.JZ(operand.LabelRef("end"))
	t.MOVQ(left, t.arg(argM))
	for _, p := range [][2]int{{argAR, argA}, {argCR, argC}, {argSR, argS}} {
		t.MOVQ(t.arg(p[0]), by)
		t.IMULQ(rows, by)
		t.SHLQ(operand.Imm(2), by)
		if p[1] == argS {
			t.CMPQ(t.arg(argS), operand.Imm(0))
			t.JE(operand.LabelRef("zero"))
		}
		t.ADDQ(by, t.arg(p[1]))
	}
	t.Label("zero")
	t.CMPQ(rows, left)
	t.CMOVQGT(left, rows)
	t.MOVQ(rows, t.arg(argRows))
	t.JMP(operand.LabelRef("tile"))
	t.Label("end")
	t.end()
}

// enter points A and B to the first term of the tap.
func (t *tiles) enter() {
	t.MOVQ(operand.Mem{Base: t.tap}, t.a)
	t.MOVQ(operand.Mem{Base: t.tap, Disp: 8}, t.bp)
	t.SHLQ(operand.Imm(2), t.a)
	t.SHLQ(operand.Imm(2), t.bp)
	t.ADDQ(t.arg(argA), t.a)
	t.ADDQ(t.arg(argB), t.bp)
}

// choose jumps to the loop for the tile's size, and writes all of them.
func (t *tiles) choose() {
	for v := 2; v < len(t.rows); v++ {
		t.CMPQ(t.arg(argVectors), operand.Imm(uint64(v)))
		t.JE(operand.LabelRef(fmt.Sprintf("v%d", v)))
	}
	for v := 1; v < len(t.rows); v++ {
		t.Label(fmt.Sprintf("v%d", v))
		for r := 2; r <= t.rows[v]; r++ {
			t.CMPQ(t.arg(argRows), operand.Imm(uint64(r)))
			t.JE(operand.LabelRef(fmt.Sprintf("r%dv%d", r, v)))
		}
		for r := 1; r <= t.rows[v]; r++ {
			t.size(r, v)
		}
	}
}

// row addresses row r of A at the present term.
func (t *tiles) row(r int) operand.Mem {
	m := operand.Mem{Base: t.a}
	if r >= 4 {
		m.Base = t.a4
	}
	switch r % 4 {
	case 1, 2:
		m.Index, m.Scale = t.ar, uint8(r%4)
	case 3:
		m.Index, m.Scale = t.ar3, 1
	}
	return m
}

// each runs f for every accumulator of a tile, with a pointer to its place in the
// matrix at base and the row stride at stride.
func (t *tiles) each(rows, nv, base, stride int, f func(acc reg.VecPhysical, at operand.Mem, masked bool)) {
	p := t.GP64()
	t.MOVQ(t.arg(base), p)
	by := t.stride(stride)
	for r := range rows {
		for v := range nv {
			f(t.v(r*nv+v), operand.Mem{Base: p, Disp: v * t.bytes}, v == nv-1)
		}
		if r < rows-1 {
			t.ADDQ(by, p)
		}
	}
}

// size writes the code for tiles of rows rows and nv vectors.
func (t *tiles) size(rows, nv int) {
	name := func(part string) string { return fmt.Sprintf("%sr%dv%d", part, rows, nv) }
	ref := func(part string) operand.LabelRef { return operand.LabelRef(name(part)) }
	t.Label(name(""))
	t.CMPQ(t.arg(argS), operand.Imm(0))
	t.JE(ref("zero_"))
	t.each(rows, nv, argS, argSR, func(acc reg.VecPhysical, at operand.Mem, masked bool) { t.load(at, acc, masked) })
	t.JMP(ref("tap_"))
	t.Label(name("zero_"))
	for i := range rows * nv {
		t.zero(t.v(i))
	}
	t.Label(name("tap_"))
	t.CMPQ(t.count, t.left)
	t.CMOVQGT(t.left, t.count)
	t.SUBQ(t.count, t.left)
	t.Label(name("loop_"))
	t.term(rows, nv)
	t.DECQ(t.count)
	t.JNZ(ref("loop_"))
	t.TESTQ(t.left, t.left)
	t.JZ(ref("done_"))
	t.ADDQ(operand.Imm(16), t.tap)
	t.enter()
	t.LEAQ(operand.Mem{Base: t.a, Index: t.ar, Scale: 4}, t.a4)
	t.MOVQ(t.arg(argK), t.count)
	t.JMP(ref("tap_"))
	t.Label(name("done_"))
	t.CMPQ(t.arg(argJoin), operand.Imm(0))
	t.JE(ref("store_"))
	t.each(rows, nv, argC, argCR, func(acc reg.VecPhysical, at operand.Mem, masked bool) {
		t.load(at, t.v(t.b), masked)
		t.VADDPS(acc, t.v(t.b), acc)
	})
	t.Label(name("store_"))
	t.each(rows, nv, argC, argCR, func(acc reg.VecPhysical, at operand.Mem, masked bool) { t.store(acc, at, masked) })
	t.JMP(operand.LabelRef("next"))
}

// term adds one term to every accumulator.
func (t *tiles) term(rows, nv int) {
	for v := range nv {
		t.load(operand.Mem{Base: t.bp, Disp: v * t.bytes}, t.v(t.b+v), v == nv-1)
	}
	for r := range rows {
		x := t.v(t.x + r%t.xs)
		t.VBROADCASTSS(t.row(r), x)
		for v := range nv {
			t.VFMADD231PS(t.v(t.b+v), x, t.v(r*nv+v))
		}
	}
	t.ADDQ(t.ac, t.a)
	if rows > 4 {
		t.ADDQ(t.ac, t.a4)
	}
	t.ADDQ(t.br, t.bp)
}
