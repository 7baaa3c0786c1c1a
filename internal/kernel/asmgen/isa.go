package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set: its vectors and how their tails are masked. Vector
// registers are named by number, so that a kernel's use of them can be read off
// its generator; general registers are allocated by avo.
type isa struct {
	*build.Context
	suffix string // of function names
	bytes  int    // of a vector
	wide   bool   // AVX-512: 32 registers, masks in K registers
}

// each runs write for both instruction sets.
func each(c *build.Context, write func(s isa)) {
	write(isa{c, "AVX512", 64, true})
	write(isa{c, "AVX2", 32, false})
}

var (
	zmm = []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}
	ymm = []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}
)

// v is vector register i.
func (s isa) v(i int) reg.VecPhysical {
	if s.wide {
		return zmm[i]
	}
	return ymm[i]
}

// The mask of a kernel's last vector lies in K1, or in Y15.
func (s isa) loadMask(from reg.Register) {
	if s.wide {
		s.KMOVW(operand.Mem{Base: from}, reg.K1)
	} else {
		s.VMOVUPS(operand.Mem{Base: from}, reg.Y15)
	}
}

// load reads a vector; of a masked one only the lanes of the mask, the others
// being zero.
func (s isa) load(from operand.Mem, to reg.VecPhysical, masked bool) {
	switch {
	case !masked:
		s.VMOVUPS(from, to)
	case s.wide:
		s.VMOVUPS_Z(from, reg.K1, to)
	default:
		s.VMASKMOVPS(from, reg.Y15, to)
	}
}

// store is load's opposite.
func (s isa) store(from reg.VecPhysical, to operand.Mem, masked bool) {
	switch {
	case !masked:
		s.VMOVUPS(from, to)
	case s.wide:
		s.VMOVUPS(from, reg.K1, to)
	default:
		s.VMASKMOVPS(from, reg.Y15, to)
	}
}

// zero sets a register to +0.
func (s isa) zero(v reg.VecPhysical) {
	if s.wide {
		s.VPXORQ(v, v, v)
	} else {
		s.VXORPS(v, v, v)
	}
}

// begin starts a function.
func (s isa) begin(name, signature string) {
	s.Function(name + s.suffix)
	s.Attributes(attr.NOSPLIT)
	s.SignatureExpr("func" + signature)
}

// end returns from it.
func (s isa) end() {
	s.VZEROUPPER()
	s.RET()
}

// param loads a parameter into a new register.
func (s isa) param(name string) reg.GPVirtual {
	r := s.GP64()
	s.Load(s.Param(name), r)
	return r
}
