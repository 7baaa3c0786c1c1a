//go:build !noasm && amd64

#include "textflag.h"

// Elementwise kernels over n > 0 vectors of eight.

// func addAVX2(n int, dst, src *float32)
TEXT ·addAVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
add:
	VMOVUPS (DI), Y0
	VADDPS  (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	DECQ    CX
	JNZ     add
	VZEROUPPER
	RET

// func axpyAVX2(n int, dst, x *float32, a float32, y *float32)
TEXT ·axpyAVX2(SB), NOSPLIT, $0-40
	MOVQ         n+0(FP), CX
	MOVQ         dst+8(FP), DI
	MOVQ         x+16(FP), SI
	VBROADCASTSS a+24(FP), Y1
	MOVQ         y+32(FP), DX
axpy:
	VMULPS  (DX), Y1, Y0
	VADDPS  (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	ADDQ    $32, DX
	DECQ    CX
	JNZ     axpy
	VZEROUPPER
	RET

// func scaleAVX2(n int, dst *float32, a float32, x *float32)
TEXT ·scaleAVX2(SB), NOSPLIT, $0-32
	MOVQ         n+0(FP), CX
	MOVQ         dst+8(FP), DI
	VBROADCASTSS a+16(FP), Y1
	MOVQ         x+24(FP), SI
scale:
	VMULPS  (SI), Y1, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	DECQ    CX
	JNZ     scale
	VZEROUPPER
	RET

// MAXPS is a > b ? a : b: with +0 first it is relu, -0 and NaN included.
//
// func reluAVX2(n int, dst, x *float32)
TEXT ·reluAVX2(SB), NOSPLIT, $0-24
	MOVQ   n+0(FP), CX
	MOVQ   dst+8(FP), DI
	MOVQ   x+16(FP), SI
	VXORPS Y1, Y1, Y1
relu:
	VMAXPS  (SI), Y1, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	DECQ    CX
	JNZ     relu
	VZEROUPPER
	RET

// func gateAVX2(n int, dst, x, y *float32)
TEXT ·gateAVX2(SB), NOSPLIT, $0-32
	MOVQ   n+0(FP), CX
	MOVQ   dst+8(FP), DI
	MOVQ   x+16(FP), SI
	MOVQ   y+24(FP), DX
	VXORPS Y1, Y1, Y1
gate:
	VCMPPS  $1, (DX), Y1, Y0 // 0 < y, false for NaN
	VANDPS  (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	ADDQ    $32, DX
	DECQ    CX
	JNZ     gate
	VZEROUPPER
	RET

// largestAVX2 returns the largest bits of an absolute value: a NaN's and an
// infinity's are above those of every number.
//
// func largestAVX2(n int, x *float32) uint32
TEXT ·largestAVX2(SB), NOSPLIT, $0-20
	MOVQ     n+0(FP), CX
	MOVQ     x+8(FP), SI
	VPCMPEQD Y2, Y2, Y2
	VPSRLD   $1, Y2, Y2
	VPXOR    Y1, Y1, Y1
largest:
	VPAND        (SI), Y2, Y0
	VPMAXUD      Y0, Y1, Y1
	ADDQ         $32, SI
	DECQ         CX
	JNZ          largest
	VEXTRACTI128 $1, Y1, X0
	VPMAXUD      X0, X1, X1
	VPSHUFD      $0x4e, X1, X0
	VPMAXUD      X0, X1, X1
	VPSHUFD      $0xb1, X1, X0
	VPMAXUD      X0, X1, X1
	VMOVD        X1, AX
	VZEROUPPER
	MOVL         AX, ret+16(FP)
	RET
