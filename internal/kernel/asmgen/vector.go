package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Byte offsets of eachArgs in package kernel; each field has eight bytes.
const (
	eachOp = 8 * iota
	eachN
	eachFull
	eachTail
	eachDst
	eachX
	eachY
	eachZ
	eachC
	eachYR
	eachZR
	eachScalar
	eachMask
)

// A mapping is an elementwise operation: register 0 is dst, 1 to 3 are x, y, z, 4
// the scalar and 5 is +0.
type mapping struct {
	name     string
	operands int // how many of x, y, z it reads
	do       func(s isa, dst, x, y, z, a, zero reg.VecPhysical)
}

// mappings are in the order of package kernel's op.
var mappings = []mapping{
	{"add", 2, func(s isa, dst, x, y, _, _, _ reg.VecPhysical) { s.VADDPS(y, x, dst) }},
	{"sub", 2, func(s isa, dst, x, y, _, _, _ reg.VecPhysical) { s.VSUBPS(y, x, dst) }},
	{"mul", 2, func(s isa, dst, x, y, _, _, _ reg.VecPhysical) { s.VMULPS(y, x, dst) }},
	{"axpy", 2, func(s isa, dst, x, y, _, a, _ reg.VecPhysical) { s.VMULPS(y, a, dst); s.VADDPS(dst, x, dst) }},
	{"gate", 2, gate},
	{"scale", 1, func(s isa, dst, x, _, _, a, _ reg.VecPhysical) { s.VMULPS(x, a, dst) }},
	// MAXPS is a > b ? a : b: with +0 first it is relu, -0 and NaN included.
	{"relu", 1, func(s isa, dst, x, _, _, _, zero reg.VecPhysical) { s.VMAXPS(x, zero, dst) }},
	{"submul", 3, func(s isa, dst, x, y, z, _, _ reg.VecPhysical) { s.VSUBPS(y, x, dst); s.VMULPS(z, dst, dst) }},
	{"muladd", 3, func(s isa, dst, x, y, z, _, _ reg.VecPhysical) { s.VMULPS(y, x, dst); s.VADDPS(z, dst, dst) }},
}

// gate is x where 0 < y, which a NaN is not, else +0.
func gate(s isa, dst, x, y, _, _, zero reg.VecPhysical) {
	if s.wide {
		s.VCMPPS(operand.Imm(1), y, zero, reg.K2)
		s.VMOVAPS_Z(x, reg.K2, dst)
		return
	}
	s.VCMPPS(operand.Imm(1), y, zero, dst)
	s.VANDPS(x, dst, dst)
}

func writeVectors(c *build.Context) {
	each(c, writeEach)
	each(c, writeColumns)
	writeLargest(isa{c, "AVX2", 32, false})
}

// writeEach writes the function of all elementwise operations: n rows of full
// whole vectors and, where tail is not 0, a masked one. dst and x go on by c
// elements from row to row, y and z by yr and zr.
func writeEach(s isa) {
	s.begin("each", "(args *byte)")
	args := s.param("args")
	arg := func(offset int) operand.Mem { return operand.Mem{Base: args, Disp: offset} }
	get := func(offset int) reg.GPVirtual {
		r := s.GP64()
		s.MOVQ(arg(offset), r)
		return r
	}
	mask := get(eachMask)
	s.loadMask(mask)
	s.VBROADCASTSS(arg(eachScalar), s.v(4))
	s.zero(s.v(5))
	p := []reg.GPVirtual{get(eachDst), get(eachX), get(eachY), get(eachZ)}
	by := []reg.GPVirtual{get(eachC), get(eachC), get(eachYR), get(eachZR)}
	for _, r := range by[1:] {
		s.SHLQ(operand.Imm(2), r)
	}
	n, full := get(eachN), get(eachFull)
	bits := uint64(5)
	if s.wide {
		bits = 6
	}
	s.SHLQ(operand.Imm(bits), full)
	for i, m := range mappings {
		s.CMPQ(arg(eachOp), operand.Imm(uint64(i)))
		s.JE(operand.LabelRef(m.name))
	}
	s.RET() // no such operation
	for _, m := range mappings {
		s.mapping(m, args, p, by, n, full)
	}
}

// mapping writes the loops of one operation.
func (s isa) mapping(m mapping, args reg.GPVirtual, p, by []reg.GPVirtual, n, full reg.GPVirtual) {
	off := s.GP64()
	at := func(i int) operand.Mem { return operand.Mem{Base: p[i], Index: off, Scale: 1} }
	vector := func(masked bool) {
		for i := 1; i <= m.operands; i++ {
			s.load(at(i), s.v(i), masked)
		}
		m.do(s, s.v(0), s.v(1), s.v(2), s.v(3), s.v(4), s.v(5))
		s.store(s.v(0), at(0), masked)
	}
	label := func(part string) string { return fmt.Sprintf("%s_%s", m.name, part) }
	s.Label(m.name)
	s.XORQ(off, off)
	s.CMPQ(full, operand.Imm(0))
	s.JE(operand.LabelRef(label("tail")))
	s.Label(label("loop"))
	vector(false)
	s.ADDQ(operand.Imm(uint64(s.bytes)), off)
	s.CMPQ(off, full)
	s.JNE(operand.LabelRef(label("loop")))
	s.Label(label("tail"))
	s.CMPQ(operand.Mem{Base: args, Disp: eachTail}, operand.Imm(0))
	s.JE(operand.LabelRef(label("row")))
	vector(true)
	s.Label(label("row"))
	s.DECQ(n)
	s.JZ(operand.LabelRef(label("end")))
	s.ADDQ(by[1], p[0])
	for i := 1; i <= m.operands; i++ {
		s.ADDQ(by[i], p[i])
	}
	s.JMP(operand.LabelRef(m.name))
	s.Label(label("end"))
	s.end()
}

// columnVectors is the most vectors of columns that are reduced at a time.
const columnVectors = 8

// writeColumns writes the function that sums n > 0 rows of up to eight vectors of
// columns of x, or of products of x and y unless that is nil, into dst.
func writeColumns(s isa) {
	s.begin("columns", "(n, vectors int, dst, x, y *float32, c int, mask *uint32)")
	n, dst, x, y, by := s.param("n"), s.param("dst"), s.param("x"), s.param("y"), s.param("c")
	s.loadMask(s.param("mask"))
	s.SHLQ(operand.Imm(2), by)
	vectors := s.param("vectors")
	for i := range columnVectors {
		s.zero(s.v(i))
	}
	s.TESTQ(y, y)
	s.JZ(operand.LabelRef("sums"))
	for _, part := range []string{"dot", "sum"} {
		s.Label(part + "s")
		for v := columnVectors; v >= 1; v-- {
			s.CMPQ(vectors, operand.Imm(uint64(v)))
			s.JE(operand.LabelRef(fmt.Sprintf("%s%d", part, v)))
		}
		s.RET()
		for v := 1; v <= columnVectors; v++ {
			s.reduce(fmt.Sprintf("%s%d", part, v), v, n, dst, x, y, by, part == "dot")
		}
	}
}

// reduce writes the loop over the rows of nv vectors.
func (s isa) reduce(label string, nv int, n, dst, x, y, by reg.GPVirtual, dots bool) {
	s.Label(label)
	for v := range nv {
		at := func(p reg.GPVirtual) operand.Mem { return operand.Mem{Base: p, Disp: v * s.bytes} }
		a, b := s.v(columnVectors), s.v(columnVectors+1)
		s.load(at(x), a, v == nv-1)
		if dots {
			s.load(at(y), b, v == nv-1)
			s.VFMADD231PS(b, a, s.v(v))
		} else {
			s.VADDPS(a, s.v(v), s.v(v))
		}
	}
	s.ADDQ(by, x)
	if dots {
		s.ADDQ(by, y)
	}
	s.DECQ(n)
	s.JNZ(operand.LabelRef(label))
	for v := range nv {
		s.store(s.v(v), operand.Mem{Base: dst, Disp: v * s.bytes}, v == nv-1)
	}
	s.end()
}

// writeLargest writes the function that returns the largest bits of an absolute
// value: a NaN's and an infinity's are above those of every number.
func writeLargest(s isa) {
	s.begin("largest", "(n int, x *float32) uint32")
	n, x := s.param("n"), s.param("x")
	s.VPCMPEQD(reg.Y2, reg.Y2, reg.Y2)
	s.VPSRLD(operand.Imm(1), reg.Y2, reg.Y2)
	s.VPXOR(reg.Y1, reg.Y1, reg.Y1)
	s.Label("largest")
	s.VPAND(operand.Mem{Base: x}, reg.Y2, reg.Y0)
	s.VPMAXUD(reg.Y0, reg.Y1, reg.Y1)
	s.ADDQ(operand.Imm(32), x)
	s.DECQ(n)
	s.JNZ(operand.LabelRef("largest"))
	s.VEXTRACTI128(operand.Imm(1), reg.Y1, reg.X0)
	s.VPMAXUD(reg.X0, reg.X1, reg.X1)
	for _, swap := range []uint64{0x4e, 0xb1} {
		s.VPSHUFD(operand.Imm(swap), reg.X1, reg.X0)
		s.VPMAXUD(reg.X0, reg.X1, reg.X1)
	}
	r := s.GP32()
	s.VMOVD(reg.X1, r)
	s.VZEROUPPER()
	s.Store(r, s.ReturnIndex(0))
	s.RET()
}
