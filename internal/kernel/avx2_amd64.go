//go:build !noasm && noavx512 && amd64

package kernel

const useAVX512 = false
