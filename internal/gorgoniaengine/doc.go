// Package gorgoniaengine computes meta-gradients by gorgonia's symbolic
// differentiation: another implementation of MAML, for checks, and the home of
// models that a user writes as a graph. Agreement with the engine lane is to
// rounding; there is no promise of bits.
//
// gorgonia 0.9.18 differentiates a gradient wrongly without saying so: the inner
// backward pass is therefore written out as nodes of the graph, by the operations
// of Graph, and gorgonia's Grad is called once, on the outer loss. Relu is a
// product with a comparison, a bias a product with a column of ones, a convolution
// a sum of products over taps, because the ready-made forms are broken or have no
// second derivative. Panics of gorgonia end here, as errors.
package gorgoniaengine
