// Package nn holds models as layers over one flat parameter vector.
//
// A Model says how the vector is cut; a Tape is the work space of one goroutine
// that runs it. Each layer gives four passes: forward, backward, and the
// derivative of both along a direction in parameter space (Pearlmutter, "Fast
// exact multiplication by the Hessian", 1994). The four together give exact
// products of the loss's Hessian with a vector, with no record of operations:
//
//	y    = tape.Forward(theta, x, n)
//	loss.Grad(..., y, ..., dy);         tape.Backward(theta, dy, g)          // g = gradient
//	ry   = tape.RForward(theta, v)
//	loss.RGrad(..., y, ..., ry, rdy);   tape.RBackward(theta, v, rdy, hv)    // hv = H v
//
// Batches are rows: x is [n][in], y is [n][out]. Weights are [in][out]. Between
// layers over time or space a batch lies with its positions first, [time][n][channels]
// or [height][width][n][channels], and weights are [taps...][in][out]. All sums
// follow the numerical contract of internal/kernel; the order of each is stated
// at its layer. The package does no I/O, reads no clock, starts no goroutine.
package nn
