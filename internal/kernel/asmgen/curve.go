package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Constants of package kernel's exp.go, in the order of the table.
const (
	kLog2E = iota
	kLn2Hi
	kLn2Lo
	kOne
	kTwo
	kHalf
	kLow   // below it e**x is 0 in float32
	kHigh  // above it e**x is infinite in float32
	kFlat  // from here on tanh is 1
	kSmall // up to here tanh is by e**2x - 1
	kSign  // bits of -0
	kBias  // 1023, as a whole number
	kPoly  // 1/17!, 1/16!, ... 1/3!
)

var constants = []uint64{
	kLog2E: math.Float64bits(1.442695040888963407359924681001892137),
	kLn2Hi: math.Float64bits(0x1.62e42fefp-1),
	kLn2Lo: math.Float64bits(0x1.473de6af278edp-34),
	kOne:   math.Float64bits(1),
	kTwo:   math.Float64bits(2),
	kHalf:  math.Float64bits(0.5),
	kLow:   math.Float64bits(-745),
	kHigh:  math.Float64bits(709),
	kFlat:  math.Float64bits(22),
	kSmall: math.Float64bits(0.35),
	kSign:  1 << 63,
	kBias:  1023,
}

func init() {
	for n := 17; n >= 3; n-- {
		f := 1.0
		for i := 2; i <= n; i++ {
			f *= float64(i) // exact
		}
		constants = append(constants, math.Float64bits(1/f))
	}
}

// curves writes functions over slices of float32, each element widened to float64,
// carried through the sequence of package kernel's function and rounded back. Ways
// that the function chooses between are computed all and blended. Arguments so
// large that the float32 result no longer changes are cut first, which leaves the
// choices that remain to the exponent's scaling out.
type curves struct {
	isa
	table operand.Mem
}

func writeCurves(c *build.Context) {
	table := c.StaticGlobal("constants")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, v := range constants { // a vector of AVX2 each
		for range 4 {
			c.AppendDatum(operand.U64(v))
		}
	}
	each(c, func(s isa) {
		s.bytes /= 2 // of float32: their number is that of float64 in a register
		for name, body := range []func(*curves){(*curves).exp, (*curves).tanh, (*curves).sigmoid} {
			(&curves{isa: s, table: table}).write([]string{"exp", "tanh", "sigmoid"}[name], body)
		}
	})
}

// Registers: 0 x, 1 k, 2 r and then e, 3 p, 4 and 5 scratch, 6 the choice of AVX2;
// 7 to 9 constants.
const (
	rX = iota
	rK
	rR
	rP
	rT
	rU
	rWhich
	rC // first of the constants
)

// write writes n > 0 vectors, the last one masked.
func (s *curves) write(name string, body func(*curves)) {
	s.begin(name, "(n int, dst, x *float32, mask *uint32)")
	n, dst, x := s.param("n"), s.param("dst"), s.param("x")
	s.loadMask(s.param("mask"))
	for i, k := range []int{kLow, kHigh, kFlat} {
		s.VBROADCASTSD(s.k(k), s.v(rC+i))
	}
	s.Label("loop")
	s.DECQ(n)
	s.JZ(operand.LabelRef("tail"))
	s.VCVTPS2PD(operand.Mem{Base: x}, s.v(rX))
	body(s)
	s.narrow()
	s.VMOVUPS(s.half(rT), operand.Mem{Base: dst})
	s.ADDQ(operand.Imm(uint64(s.bytes)), x)
	s.ADDQ(operand.Imm(uint64(s.bytes)), dst)
	s.JMP(operand.LabelRef("loop"))
	s.Label("tail")
	if s.wide {
		s.VMOVUPS_Z(operand.Mem{Base: x}, reg.K1, s.half(rT))
	} else {
		s.VMASKMOVPS(operand.Mem{Base: x}, reg.X15, s.half(rT))
	}
	s.VCVTPS2PD(s.half(rT), s.v(rX))
	body(s)
	s.narrow()
	if s.wide {
		s.VMOVUPS(s.half(rT), reg.K1, operand.Mem{Base: dst})
	} else {
		s.VMASKMOVPS(s.half(rT), reg.X15, operand.Mem{Base: dst})
	}
	s.end()
}

// half is the lower half of register i.
func (s *curves) half(i int) reg.Register {
	if s.wide {
		return ymm[i]
	}
	return s.v(i).AsX()
}

// narrow rounds register rT to float32.
func (s *curves) narrow() {
	if s.wide {
		s.VCVTPD2PS(s.v(rT), s.half(rT))
	} else {
		s.VCVTPD2PSY(s.v(rT), s.half(rT))
	}
}

// k addresses constant i.
func (s *curves) k(i int) operand.Mem { return s.table.Offset(32 * i) }

// with runs an instruction whose first source is constant i.
func (s *curves) with(plain, broadcast func(...operand.Op), i int, src, dst reg.VecPhysical) {
	if s.wide {
		broadcast(s.k(i), src, dst)
	} else {
		plain(s.k(i), src, dst)
	}
}

// reduce sets rK and rR so that register y is rK ln 2 + rR.
func (s *curves) reduce(y int) {
	s.with(s.VMULPD, s.VMULPD_BCST, kLog2E, s.v(y), s.v(rK))
	if s.wide {
		s.VRNDSCALEPD(operand.Imm(0), s.v(rK), s.v(rK))
	} else {
		s.VROUNDPD(operand.Imm(0), s.v(rK), s.v(rK))
	}
	s.VMOVAPD(s.v(y), s.v(rR))
	s.with(s.VFNMADD231PD, s.VFNMADD231PD_BCST, kLn2Hi, s.v(rK), s.v(rR))
	s.with(s.VFNMADD231PD, s.VFNMADD231PD_BCST, kLn2Lo, s.v(rK), s.v(rR))
}

// expm1 sets rP to e**rR - 1.
func (s *curves) expm1() {
	s.VBROADCASTSD(s.k(kPoly), s.v(rP))
	for i := kPoly + 1; i < len(constants); i++ {
		s.with(s.VFMADD213PD, s.VFMADD213PD_BCST, i, s.v(rR), s.v(rP))
	}
	s.with(s.VFMADD213PD, s.VFMADD213PD_BCST, kHalf, s.v(rR), s.v(rP))
	s.VMULPD(s.v(rR), s.v(rP), s.v(rP))
	s.VFMADD213PD(s.v(rR), s.v(rR), s.v(rP))
}

// scale sets rT to (1 + rP) 2**rK.
func (s *curves) scale() {
	s.with(s.VADDPD, s.VADDPD_BCST, kOne, s.v(rP), s.v(rT))
	if s.wide { // one rounding, as the two steps have
		s.VSCALEFPD(s.v(rK), s.v(rT), s.v(rT))
		return
	}
	k, h := s.v(rK).AsX(), s.v(rU).AsX()
	s.VCVTPD2DQY(s.v(rK), k)
	s.VPSRLD(operand.Imm(31), k, h)
	s.VPADDD(k, h, h)
	s.VPSRAD(operand.Imm(1), h, h) // k/2 towards zero
	s.VPSUBD(h, k, k)
	for _, i := range []int{rU, rK} {
		s.VPMOVSXDQ(s.v(i).AsX(), s.v(i))
		s.VPADDQ(s.k(kBias), s.v(i), s.v(i))
		s.VPSLLQ(operand.Imm(52), s.v(i), s.v(i))
		s.VMULPD(s.v(i), s.v(rT), s.v(rT))
	}
}

// MAXPD and MINPD return the second source, which comes first here, where one is
// a NaN.

func (s *curves) exp() {
	s.VMAXPD(s.v(rX), s.v(rC), s.v(rX))
	s.VMINPD(s.v(rX), s.v(rC+1), s.v(rX))
	s.reduce(rX)
	s.expm1()
	s.scale()
}

// compare sets the choice to: register a, ordered relation imm, constant i.
func (s *curves) compare(imm uint64, i, a int) {
	if s.wide {
		s.VCMPPD_BCST(operand.Imm(imm), s.k(i), s.v(a), reg.K2)
	} else {
		s.VCMPPD(operand.Imm(imm), s.k(i), s.v(a), s.v(rWhich))
	}
}

// choose sets dst to yes where the choice holds, else to no.
func (s *curves) choose(yes, no, dst reg.VecPhysical) {
	if s.wide {
		s.VBLENDMPD(yes, no, reg.K2, dst)
	} else {
		s.VBLENDVPD(s.v(rWhich), yes, no, dst)
	}
}

func (s *curves) tanh() {
	x, y := s.v(rX), s.v(rU)
	s.VBROADCASTSD(s.k(kSign), s.v(rT))
	s.VANDNPD(x, s.v(rT), y) // |x|
	s.VMINPD(y, s.v(rC+2), y)
	s.compare(2, kSmall, rU)
	s.VADDPD(y, y, y)
	s.reduce(rU)
	s.choose(y, s.v(rR), s.v(rR))
	s.expm1()
	s.scale()
	one, two := s.v(rR), s.v(rK)
	s.VBROADCASTSD(s.k(kOne), one)
	s.VBROADCASTSD(s.k(kTwo), two)
	s.VADDPD(one, s.v(rT), s.v(rT))
	s.VADDPD(two, s.v(rP), s.v(rU))
	s.choose(s.v(rU), s.v(rT), s.v(rT))
	s.choose(s.v(rP), two, s.v(rP))
	s.VDIVPD(s.v(rT), s.v(rP), s.v(rP))
	s.VSUBPD(s.v(rP), one, s.v(rT))
	s.choose(s.v(rP), s.v(rT), s.v(rT))
	s.with(s.VANDPD, s.VANDPD_BCST, kSign, x, x)
	s.VORPD(x, s.v(rT), s.v(rT))
}

func (s *curves) sigmoid() {
	x, y := s.v(rX), s.v(rU)
	s.with(s.VORPD, s.VORPD_BCST, kSign, x, y) // -|x|
	s.VMAXPD(y, s.v(rC), y)
	s.reduce(rU)
	s.expm1()
	s.scale()
	one := s.v(rR)
	s.VBROADCASTSD(s.k(kOne), one)
	s.zero(s.v(rK))
	if s.wide {
		s.VCMPPD(operand.Imm(13), s.v(rK), x, reg.K2) // x >= 0
	} else {
		s.VCMPPD(operand.Imm(13), s.v(rK), x, s.v(rWhich))
	}
	s.choose(one, s.v(rT), s.v(rP))
	s.VADDPD(one, s.v(rT), s.v(rT))
	s.VDIVPD(s.v(rT), s.v(rP), s.v(rT))
}
