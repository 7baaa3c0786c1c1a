package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func writeTransposes(c *build.Context) { each(c, writeTranspose) }

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
