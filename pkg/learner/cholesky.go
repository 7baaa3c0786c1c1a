package learner

import (
	"fmt"
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// cholesky is the factor of a symmetric positive definite matrix M = U^T U of
// order n, U upper triangular and [n][n], with its work space.
type cholesky[T kernel.Float] struct {
	n      int
	u, row []T
}

// factor replaces the matrix in c.u by its factor, row by row:
//
//	U[i][j] = (M[i][j] - sum_{k<i} U[k][i] U[k][j]) / U[i][i],  U[i][i] = sqrt of the same
//
// k ascending.
func (c *cholesky[T]) factor() error {
	n := c.n
	c.row = room(c.row, n)
	for i := range n {
		u := c.u[i*n+i:][:n-i]
		kernel.Gemm(kernel.FromZero, nil, 1, n-i, i, c.u[i:], 0, n, c.u[i:], n, c.row, n)
		pivot := T(math.Sqrt(float64(u[0] - c.row[0])))
		if !(pivot > 0) {
			return fmt.Errorf("factor matrix of order %d: pivot %d is %v, expected above 0", n, i, pivot)
		}
		u[0] = pivot
		for j := 1; j < len(u); j++ {
			u[j] = (u[j] - c.row[j]) / pivot
		}
	}
	return nil
}

// solve replaces x [n][cols] by M^-1 x: forward through U^T, back through U, each
// sum in ascending order of its index.
func (c *cholesky[T]) solve(x []T, cols int) {
	n := c.n
	c.row = room(c.row, max(n, cols))
	for i := range n {
		kernel.Gemm(kernel.FromZero, nil, 1, cols, i, c.u[i:], 0, n, x, cols, c.row, cols)
		c.divide(x[i*cols:][:cols], c.u[i*n+i])
	}
	for i := n - 1; i >= 0; i-- {
		after := (i + 1) * cols
		kernel.Gemm(kernel.FromZero, nil, 1, cols, n-1-i, c.u[min(i*n+i+1, n*n-1):], 0, 1, x[after:], cols, c.row, cols)
		c.divide(x[i*cols:][:cols], c.u[i*n+i])
	}
}

// divide sets x to (x - row) / pivot.
func (c *cholesky[T]) divide(x []T, pivot T) {
	for j := range x {
		x[j] = (x[j] - c.row[j]) / pivot
	}
}
