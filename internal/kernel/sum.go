package kernel

import "math/bits"

// Reductions of everything to one number use blocks of dotBlock with dotChains
// interleaved chains, so that long ones vectorise.
const (
	dotBlock  = 4096
	dotChains = 16
)

// treeSplit returns the size of the left subtree of the fixed tree over n > 1
// leaves: the largest power of two below n.
func treeSplit(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// TreeSum returns the sum of x by the fixed binary tree: node (l, i) covers
// x[i*2^l : (i+1)*2^l], cut to len(x), and is the sum of its two children; a
// lone child passes unchanged. The sum of nothing is +0.
func TreeSum[T Float](x []T) T {
	switch len(x) {
	case 0:
		return 0
	case 1:
		return x[0]
	}
	s := treeSplit(len(x))
	return TreeSum(x[:s]) + TreeSum(x[s:])
}

// Dot returns the inner product of x and y, which have one length:
//
//	for each block of 4096:  chain[i%16] = fma(x[i], y[i], chain[i%16]), from +0
//
// The 16 chains of a block, and then the blocks, are joined by the fixed tree.
func Dot[T Float](x, y []T) T {
	if len(x) > dotBlock {
		s := treeSplit((len(x)+dotBlock-1)/dotBlock) * dotBlock
		return Dot(x[:s], y[:s]) + Dot(x[s:], y[s:])
	}
	y = y[:len(x)]
	var chain [dotChains]T
	rows := len(x) / dotChains
	if rows == 0 || !is32[T]() || !columns32(f32(chain[:]), f32(x), f32(y), rows, dotChains) {
		rows = 0
	}
	for i := rows * dotChains; i < len(x); i++ {
		chain[i%dotChains] = FMA(x[i], y[i], chain[i%dotChains])
	}
	return TreeSum(chain[:])
}

// SumSquares returns Dot(x, x), the square of the Euclidean norm.
func SumSquares[T Float](x []T) T { return Dot(x, x) }

// A Chain sums products one after the other by the contract's rule for sums over
// an inner index: fused multiply-adds in order, in blocks of Block joined by the
// fixed tree. The zero value is an empty sum. It serves where the terms are not
// laid out as a matrix, as in a loss.
type Chain[T Float] struct {
	n   int
	acc T
	// done[l] is the finished subtree of 2^l blocks, if bit l of n/Block is set.
	done [40]T
}

// Add appends the term a*b.
func (c *Chain[T]) Add(a, b T) {
	c.acc = FMA(a, b, c.acc)
	if c.n++; c.n%Block != 0 {
		return
	}
	v, blocks := c.acc, c.n/Block
	l := 0
	for ; (blocks-1)>>l&1 == 1; l++ {
		v = c.done[l] + v
	}
	c.done[l], c.acc = v, 0
}

// Sum returns the sum of the terms so far.
func (c *Chain[T]) Sum() T {
	v, have := c.acc, c.n%Block != 0
	for l, blocks := 0, c.n/Block; blocks>>l != 0; l++ {
		switch {
		case blocks>>l&1 == 0:
		case have:
			v = c.done[l] + v
		default:
			v, have = c.done[l], true
		}
	}
	return v
}
