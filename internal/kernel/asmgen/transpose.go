package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func writeTransposes(c *build.Context) {
	each(c, writeStrip)
	each(c, writeTranspose)
}

// writeStrip writes the function that transposes n > 0 whole squares side by side.
// A square is put together from its rows' quarters: what four of them, loaded one
// above the other, hold of four columns is transposed within the quarters.
func writeStrip(s isa) {
	s.begin("strip", "(n int, dst *float32, dr int, src *float32, sr int)")
	n, dst, dr, sr := s.param("n"), s.param("dst"), s.param("dr"), s.param("sr")
	src := []reg.GPVirtual{s.param("src")}
	s.SHLQ(operand.Imm(2), dr)
	s.SHLQ(operand.Imm(2), sr)
	triple := func(r reg.GPVirtual) reg.GPVirtual {
		t := s.GP64()
		s.LEAQ(operand.Mem{Base: r, Index: r, Scale: 2}, t)
		return t
	}
	dr3, sr3 := triple(dr), triple(sr)
	quarters := s.bytes / 16
	for l := 1; l < quarters; l++ { // every fourth row
		r := s.GP64()
		s.LEAQ(operand.Mem{Base: src[l-1], Index: sr, Scale: 4}, r)
		src = append(src, r)
	}
	s.Label("square")
	for q := range quarters {
		s.quarter(q, src, sr, sr3)
		for c := range 4 {
			s.store(s.v(4+c), rowOf(dst, dr, dr3, c, 0), false)
		}
		s.LEAQ(operand.Mem{Base: dst, Index: dr, Scale: 4}, dst)
	}
	for _, r := range src {
		s.ADDQ(operand.Imm(uint64(s.bytes)), r)
	}
	s.DECQ(n)
	s.JNZ(operand.LabelRef("square"))
	s.end()
}

// rowOf addresses row i of 0..3 from base, given its stride and three of them.
func rowOf(base, one, three reg.GPVirtual, i, disp int) operand.Mem {
	m := operand.Mem{Base: base, Disp: disp}
	switch i {
	case 1, 2:
		m.Index, m.Scale = one, uint8(i)
	case 3:
		m.Index, m.Scale = three, 1
	}
	return m
}

// quarter puts columns 4q..4q+3 of all rows into registers 4 to 7.
func (s isa) quarter(q int, src []reg.GPVirtual, sr, sr3 reg.GPVirtual) {
	for i := range 4 {
		s.VMOVUPS(rowOf(src[0], sr, sr3, i, 16*q), s.v(i).AsX())
		for l := 1; l < len(src); l++ {
			from := rowOf(src[l], sr, sr3, i, 16*q)
			if s.wide {
				s.VINSERTF32X4(operand.Imm(uint64(l)), from, s.v(i), s.v(i))
			} else {
				s.VINSERTF128(operand.Imm(uint64(l)), from, s.v(i), s.v(i))
			}
		}
	}
	for i := 0; i < 4; i += 2 {
		s.VUNPCKLPS(s.v(i+1), s.v(i), s.v(8+i))
		s.VUNPCKHPS(s.v(i+1), s.v(i), s.v(9+i))
	}
	for i := range 2 {
		s.VUNPCKLPD(s.v(10+i), s.v(8+i), s.v(4+2*i))
		s.VUNPCKHPD(s.v(10+i), s.v(8+i), s.v(5+2*i))
	}
}

// writeTranspose writes the function that transposes one square of as many rows
// and columns as a vector has lanes, or what is left of it at an edge: below the
// last row that one is read again, and only the columns there are are written.
func writeTranspose(s isa) {
	s.begin("transpose", "(rows, cols int, dst *float32, dr int, src *float32, sr int, rowMask, colMask *uint32)")
	rows, cols, dst, dr, src, sr := s.param("rows"), s.param("cols"), s.param("dst"), s.param("dr"), s.param("src"), s.param("sr")
	s.SHLQ(operand.Imm(2), dr)
	s.SHLQ(operand.Imm(2), sr)
	s.loadMask(s.param("colMask"))
	size := s.bytes / 4
	zero := s.GP64()
	s.XORQ(zero, zero)
	for i := range size {
		s.load(operand.Mem{Base: src}, s.v(i), true)
		if i < size-1 {
			s.DECQ(rows)
			s.CMOVQEQ(zero, sr)
			s.ADDQ(sr, src)
		}
	}
	var out []reg.VecPhysical
	if s.wide {
		out = s.transpose16()
	} else {
		out = s.transpose8()
	}
	s.loadMask(s.param("rowMask"))
	for i, v := range out {
		s.store(v, operand.Mem{Base: dst}, true)
		if i < size-1 {
			s.DECQ(cols)
			s.JZ(operand.LabelRef("end"))
			s.ADDQ(dr, dst)
		}
	}
	s.Label("end")
	s.end()
}

// transpose16 transposes registers 0 to 15 and returns where the columns are.
func (s isa) transpose16() []reg.VecPhysical {
	a, b := zmm[:16], zmm[16:]
	for i := 0; i < 16; i += 2 { // pairs of rows, within each quarter
		s.VUNPCKLPS(a[i+1], a[i], b[i])
		s.VUNPCKHPS(a[i+1], a[i], b[i+1])
	}
	for i := 0; i < 16; i += 4 { // a[i+j] holds column 4q+j of rows i.. in quarter q
		for j := range 2 {
			s.VUNPCKLPD(b[i+2+j], b[i+j], a[i+2*j])
			s.VUNPCKHPD(b[i+2+j], b[i+j], a[i+2*j+1])
		}
	}
	for j := range 4 { // quarters of rows 0-7 and 8-15
		for h := range 2 {
			s.VSHUFF32X4(operand.Imm(0x88), a[8*h+4+j], a[8*h+j], b[8*h+j])   // quarters 0, 2
			s.VSHUFF32X4(operand.Imm(0xdd), a[8*h+4+j], a[8*h+j], b[8*h+4+j]) // quarters 1, 3
		}
	}
	for j := range 4 {
		s.VSHUFF32X4(operand.Imm(0x88), b[8+j], b[j], a[j])
		s.VSHUFF32X4(operand.Imm(0x88), b[12+j], b[4+j], a[4+j])
		s.VSHUFF32X4(operand.Imm(0xdd), b[8+j], b[j], a[8+j])
		s.VSHUFF32X4(operand.Imm(0xdd), b[12+j], b[4+j], a[12+j])
	}
	return a
}

// transpose8 transposes registers 0 to 7 and returns where the columns are.
func (s isa) transpose8() []reg.VecPhysical {
	a, b := ymm[:8], ymm[8:] // Y15 is free until the mask of the rows is loaded
	for i := 0; i < 8; i += 2 {
		s.VUNPCKLPS(a[i+1], a[i], b[i])
		s.VUNPCKHPS(a[i+1], a[i], b[i+1])
	}
	for i := 0; i < 8; i += 4 {
		for j := range 2 {
			s.VUNPCKLPD(b[i+2+j], b[i+j], a[i+2*j])
			s.VUNPCKHPD(b[i+2+j], b[i+j], a[i+2*j+1])
		}
	}
	for j := range 4 {
		s.VPERM2F128(operand.Imm(0x20), a[4+j], a[j], b[j])
		s.VPERM2F128(operand.Imm(0x31), a[4+j], a[j], b[4+j])
	}
	for i := range 8 { // Y15 holds a column
		s.VMOVAPS(b[i], a[i])
	}
	return a
}
