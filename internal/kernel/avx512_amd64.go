//go:build !noasm && !noavx512 && amd64

package kernel

// useAVX512 is false under the build tag noavx512: so that tests of whole models
// show AVX2's bits on a processor that has both.
const useAVX512 = true
