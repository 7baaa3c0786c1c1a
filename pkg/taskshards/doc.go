// Package taskshards says where tasks come from: families of few-shot problems
// (sinusoid, load), the traces a family reads, how jobs are divided into
// training, validation and test, and the keyed random streams that make every
// task a function of (seed, step, task).
//
// The package is pure. It reads sources through io/fs and io.Reader, opens no
// file by itself, reads no clock and starts no goroutine.
//
// What a caller may rely on, and must keep:
//
//  1. Sample gives the same bits for the same arguments, on every processor,
//     whatever was sampled before and from however many goroutines. So package
//     math is used for square roots, rounding, absolute values and bits only,
//     each product that is added to something is rounded first (float64(x*y)),
//     and sine, logarithm and exponential come from internal/kernel.
//  2. A Task is filled in place and its slices only grow: one Task per
//     goroutine, and nothing is allocated once they have grown.
//  3. Weights carry the whole normalisation: a loss is the plain sum over i of
//     W[i] * l(f_i, Y_i).
//  4. A DataSet does not change once a family was built on it.
//  5. Two series of one group never lie in different splits, nor does a series
//     made from them.
package taskshards
