package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// writeAdam writes the function that takes n > 0 whole vectors through a step of
// Adam. The scalars lie in the order of package kernel's AdamRates.
func writeAdam(c *build.Context) {
	each(c, func(s isa) {
		s.begin("adam", "(n int, theta, m, v, grad, rates *float32)")
		n, theta, m, v, g, rates := s.param("n"), s.param("theta"), s.param("m"), s.param("v"), s.param("grad"), s.param("rates")
		const beta1, rest1, beta2, rest2, step, root, epsilon = 0, 1, 2, 3, 4, 5, 6
		for i := beta1; i <= epsilon; i++ {
			s.VBROADCASTSS(operand.Mem{Base: rates, Disp: 4 * i}, s.v(i))
		}
		grad, first, second, t := s.v(7), s.v(8), s.v(9), s.v(10)
		at := s.GP64()
		s.XORQ(at, at)
		s.Label("vector")
		s.VMOVUPS(operand.Mem{Base: g, Index: at, Scale: 1}, grad)
		s.VMULPS(operand.Mem{Base: m, Index: at, Scale: 1}, s.v(beta1), first)
		s.VMULPS(grad, s.v(rest1), t)
		s.VADDPS(t, first, first)
		s.VMOVUPS(first, operand.Mem{Base: m, Index: at, Scale: 1})
		s.VMULPS(operand.Mem{Base: v, Index: at, Scale: 1}, s.v(beta2), second)
		s.VMULPS(grad, s.v(rest2), t)
		s.VMULPS(grad, t, t)
		s.VADDPS(t, second, second)
		s.VMOVUPS(second, operand.Mem{Base: v, Index: at, Scale: 1})
		s.VSQRTPS(second, second)
		s.VMULPS(s.v(root), second, second)
		s.VADDPS(s.v(epsilon), second, second)
		s.VMULPS(first, s.v(step), first)
		s.VDIVPS(second, first, first)
		s.VMOVUPS(operand.Mem{Base: theta, Index: at, Scale: 1}, t)
		s.VSUBPS(first, t, t)
		s.VMOVUPS(t, operand.Mem{Base: theta, Index: at, Scale: 1})
		s.ADDQ(operand.Imm(uint64(s.bytes)), at)
		s.DECQ(n)
		s.JNZ(operand.LabelRef("vector"))
		s.end()
	})
}
