// Package kernel holds the arithmetic of the numerical contract lane/1: every
// sum that reaches a parameter of a model is made by a function of this package,
// so that its bits are the same on every processor.
//
// The rules, in short:
//
//  1. float32, round to nearest even, subnormals kept.
//  2. A sum over an inner index is a chain of single-rounded fused multiply-adds
//     in ascending order of the index, in blocks of Block elements. Each block
//     starts from +0 (block 0 from the start value, where there is one); blocks
//     are joined by the fixed binary tree (see TreeSum). A reduction to one
//     number (Dot, SumSquares) uses blocks of 4096 with 16 interleaved chains.
//  3. Every other operation rounds once. Go fuses x*y + z where the processor
//     can, so products are written T(x*y).
//  4. Exp, Log, Tanh, Sigmoid, Sin, Cos and Pow are stated here as sequences of
//     IEEE operations; package math is used for Sqrt, FMA, Abs, rounding and bits
//     only.
//
// Vectorising is across outputs, never within a chain. The plain Go functions
// (build tag noasm, or any processor without AVX2 and FMA) define the bits; the
// assembly is tested equal to them. Functions are generic over float32 and
// float64 and dispatch once per call; float64 follows the same order with
// math.FMA and exists for checks, so it has no assembly.
//
// The assembly is written by asmgen, a module of its own, by `go generate`; masks
// keep it within the slices it is given, and sizes are checked before it is called.
//
// Every function is pure, allocates nothing and is safe for concurrent use.
package kernel

//go:generate go run -C asmgen .
