package main

import (
	"fmt"
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
// large that the float32 result no longer changes are cut first, which leaves
// nothing but a NaN to treat apart. The sequences are long and of little width, so
// several vectors are carried through side by side.
type curves struct {
	isa
	table  operand.Mem
	copies int
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
		k := &curves{isa: s, table: table}
		k.write("exp", k.exp)
		k.write("tanh", k.tanh)
		k.write("sigmoid", k.sigmoid)
	})
}

// regs are the registers of one vector. With AVX-512 the choice is in a K register.
type regs struct {
	x, k, r, p, t, u reg.VecPhysical
	which            reg.Register
}

// regs returns those of copy i: of 32 registers four copies of six, and the last
// ones shared, of 16 two copies of seven.
func (s *curves) regs(i int) regs {
	if s.wide {
		v := zmm[6*i:]
		return regs{v[0], v[1], v[2], v[3], v[4], v[5], []reg.Register{reg.K2, reg.K3, reg.K4, reg.K5}[i]}
	}
	v := ymm[7*i:]
	return regs{v[0], v[1], v[2], v[3], v[4], v[5], v[6]}
}

// shared is a register that all copies read.
func (s *curves) shared() reg.VecPhysical {
	if s.wide {
		return zmm[31]
	}
	return ymm[14]
}

// all runs f for every copy.
func (s *curves) all(f func(r regs)) {
	for i := range s.copies {
		f(s.regs(i))
	}
}

// with runs f for every copy with constant i in a register.
func (s *curves) with(i int, f func(r regs, c reg.VecPhysical)) {
	s.VBROADCASTSD(s.table.Offset(32*i), s.shared())
	s.all(func(r regs) { f(r, s.shared()) })
}

// write writes n > 0 vectors, the last one masked.
func (s *curves) write(name string, body func()) {
	s.begin(name, "(n int, dst, x *float32, mask *uint32)")
	n, dst, x := s.param("n"), s.param("dst"), s.param("x")
	s.loadMask(s.param("mask"))
	most := 2
	if s.wide {
		most = 4
	}
	for _, copies := range []int{most, 1} {
		s.copies = copies
		label := fmt.Sprintf("by%d", copies)
		s.Label(label)
		s.CMPQ(n, operand.Imm(uint64(copies)))
		s.JLE(operand.LabelRef("done" + label))
		for i := range copies {
			s.VCVTPS2PD(operand.Mem{Base: x, Disp: i * s.bytes}, s.regs(i).x)
		}
		body()
		for i := range copies {
			s.VMOVUPS(s.narrow(s.regs(i).t), operand.Mem{Base: dst, Disp: i * s.bytes})
		}
		s.ADDQ(operand.Imm(uint64(copies*s.bytes)), x)
		s.ADDQ(operand.Imm(uint64(copies*s.bytes)), dst)
		s.SUBQ(operand.Imm(uint64(copies)), n)
		s.JMP(operand.LabelRef(label))
		s.Label("done" + label)
	}
	r := s.regs(0)
	if s.wide {
		s.VMOVUPS_Z(operand.Mem{Base: x}, reg.K1, r.t.AsY())
		s.VCVTPS2PD(r.t.AsY(), r.x)
		body()
		s.VMOVUPS(s.narrow(r.t), reg.K1, operand.Mem{Base: dst})
	} else {
		s.VMASKMOVPS(operand.Mem{Base: x}, reg.X15, r.t.AsX())
		s.VCVTPS2PD(r.t.AsX(), r.x)
		body()
		s.VMASKMOVPS(s.narrow(r.t), reg.X15, operand.Mem{Base: dst})
	}
	s.end()
}

// narrow rounds a register to float32 and returns its lower half.
func (s *curves) narrow(v reg.VecPhysical) reg.Register {
	if s.wide {
		s.VCVTPD2PS(v, v.AsY())
		return v.AsY()
	}
	s.VCVTPD2PSY(v, v.AsX())
	return v.AsX()
}

// reduce sets k and r so that what y picks is k ln 2 + r.
func (s *curves) reduce(y func(r regs) reg.VecPhysical) {
	s.with(kLog2E, func(r regs, c reg.VecPhysical) { s.VMULPD(c, y(r), r.k) })
	s.all(func(r regs) {
		if s.wide {
			s.VRNDSCALEPD(operand.Imm(0), r.k, r.k)
		} else {
			s.VROUNDPD(operand.Imm(0), r.k, r.k)
		}
		s.VMOVAPD(y(r), r.r)
	})
	s.with(kLn2Hi, func(r regs, c reg.VecPhysical) { s.VFNMADD231PD(c, r.k, r.r) })
	s.with(kLn2Lo, func(r regs, c reg.VecPhysical) { s.VFNMADD231PD(c, r.k, r.r) })
}

// expm1 sets p to e**r - 1.
func (s *curves) expm1() {
	s.with(kPoly, func(r regs, c reg.VecPhysical) { s.VMOVAPD(c, r.p) })
	step := func(r regs, c reg.VecPhysical) { s.VFMADD213PD(c, r.r, r.p) }
	for i := kPoly + 1; i < len(constants); i++ {
		s.with(i, step)
	}
	s.with(kHalf, step)
	s.all(func(r regs) { s.VMULPD(r.r, r.p, r.p) })
	s.all(func(r regs) { s.VFMADD213PD(r.r, r.r, r.p) })
}

// scale sets t to (1 + p) 2**k; k and u are lost.
func (s *curves) scale() {
	s.with(kOne, func(r regs, c reg.VecPhysical) { s.VADDPD(r.p, c, r.t) })
	if s.wide { // one rounding, as the two steps have
		s.all(func(r regs) { s.VSCALEFPD(r.k, r.t, r.t) })
		return
	}
	s.all(func(r regs) {
		k, h := r.k.AsX(), r.u.AsX()
		s.VCVTPD2DQY(r.k, k)
		s.VPSRLD(operand.Imm(31), k, h)
		s.VPADDD(k, h, h)
		s.VPSRAD(operand.Imm(1), h, h) // k/2 towards zero
		s.VPSUBD(h, k, k)
	})
	power := func(i func(r regs) reg.VecPhysical) {
		s.with(kBias, func(r regs, c reg.VecPhysical) {
			s.VPMOVSXDQ(i(r).AsX(), i(r))
			s.VPADDQ(c, i(r), i(r))
			s.VPSLLQ(operand.Imm(52), i(r), i(r))
			s.VMULPD(i(r), r.t, r.t)
		})
	}
	power(func(r regs) reg.VecPhysical { return r.u })
	power(func(r regs) reg.VecPhysical { return r.k })
}

// MAXPD and MINPD return the second source, which comes first here, where one is
// a NaN.

func (s *curves) exp() {
	s.with(kLow, func(r regs, c reg.VecPhysical) { s.VMAXPD(r.x, c, r.x) })
	s.with(kHigh, func(r regs, c reg.VecPhysical) { s.VMINPD(r.x, c, r.x) })
	s.reduce(func(r regs) reg.VecPhysical { return r.x })
	s.expm1()
	s.scale()
}

// choose sets dst to yes where the choice holds, else to no.
func (s *curves) choose(r regs, yes, no, dst reg.VecPhysical) {
	if s.wide {
		s.VBLENDMPD(yes, no, r.which, dst)
	} else {
		s.VBLENDVPD(r.which, yes, no, dst)
	}
}

func (s *curves) tanh() {
	inU := func(r regs) reg.VecPhysical { return r.u }
	s.with(kSign, func(r regs, c reg.VecPhysical) {
		s.VANDNPD(r.x, c, r.u) // |x|
		s.VANDPD(r.x, c, r.x)  // its sign
	})
	s.with(kFlat, func(r regs, c reg.VecPhysical) { s.VMINPD(r.u, c, r.u) })
	s.with(kSmall, func(r regs, c reg.VecPhysical) {
		s.VCMPPD(operand.Imm(2), c, r.u, r.which) // at most
		s.VADDPD(r.u, r.u, r.u)
	})
	s.reduce(inU)
	s.all(func(r regs) { s.choose(r, r.u, r.r, r.r) })
	s.expm1()
	s.scale()
	s.with(kTwo, func(r regs, c reg.VecPhysical) {
		s.VADDPD(c, r.p, r.u)
		s.choose(r, r.p, c, r.p)
	})
	s.with(kOne, func(r regs, c reg.VecPhysical) {
		s.VADDPD(c, r.t, r.t)
		s.choose(r, r.u, r.t, r.t)
		s.VDIVPD(r.t, r.p, r.p) // (e-1)/(e+1), or 2/(e+1)
	})
	s.with(kOne, func(r regs, c reg.VecPhysical) {
		s.VSUBPD(r.p, c, r.t)
		s.choose(r, r.p, r.t, r.t)
		s.VORPD(r.x, r.t, r.t)
	})
}

func (s *curves) sigmoid() {
	s.with(kSign, func(r regs, c reg.VecPhysical) { s.VORPD(r.x, c, r.u) }) // -|x|
	s.with(kLow, func(r regs, c reg.VecPhysical) { s.VMAXPD(r.u, c, r.u) })
	s.reduce(func(r regs) reg.VecPhysical { return r.u })
	s.expm1()
	s.scale()
	s.zero(s.shared())
	s.all(func(r regs) { s.VCMPPD(operand.Imm(13), s.shared(), r.x, r.which) }) // x >= 0
	s.with(kOne, func(r regs, c reg.VecPhysical) {
		s.choose(r, c, r.t, r.p)
		s.VADDPD(c, r.t, r.t)
		s.VDIVPD(r.t, r.p, r.t)
	})
}
