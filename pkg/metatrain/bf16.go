package metatrain

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// ResultsSpec says in what form the sums of shards travel. It changes bits.
type ResultsSpec struct {
	Form       string `json:"form,omitempty" default:"float32" enum:"float32|bf16" why:"bf16: the sum of a shard is rounded to a mantissa of 8 bits, to nearest even, before it travels: half the bytes, and a noise of 0.2 % in each; for models of millions of parameters"`
	ShardTasks int    `json:"shard_tasks,omitempty" default:"4" min:"1" max:"65536" unit:"tasks" why:"bf16 only: tasks of a shard, a power of two; part of the spec, since it says where is rounded, so that bits stay the same for any number of workers"`
}

// Forms of results.
const (
	formFloat32 = "float32"
	formBF16    = "bf16"
)

// Stored is the form that a spec keeps: nothing for float32, as in specs from before there was a choice.
func (s ResultsSpec) Stored() ResultsSpec {
	if s.Form == formFloat32 || s.Form == "" {
		return ResultsSpec{}
	}
	return s
}

// validate refuses a shard that is no aligned subtree, and one where it has no effect.
func (s ResultsSpec) validate(bad func(field, found, expected string)) {
	switch {
	case s == ResultsSpec{}:
	case s.Form != formBF16:
		bad("results.form", fmt.Sprintf("%q", s.Form), formFloat32+" or "+formBF16)
	case s.ShardTasks < 1 || s.ShardTasks > 1<<16 || bits.OnesCount(uint(s.ShardTasks)) != 1:
		bad("results.shard_tasks", fmt.Sprint(s.ShardTasks), "a power of two, 1 to 65536: shards are aligned subtrees")
	}
}

// rounds says that sums of shards are rounded, so that the spec says what a shard is.
func (s *RunSpec) rounds() bool { return s.Results.Form == formBF16 }

// sumBytes is how many bytes the sum of a shard takes.
func (s *RunSpec) sumBytes(params int) int {
	if s.rounds() {
		return 2 * params
	}
	return 4 * params
}

// EncodeSum gives the bytes that the sum of a shard travels as.
func (s *RunSpec) EncodeSum(v []float32) []byte {
	if !s.rounds() {
		return EncodeFloats(v)
	}
	out := make([]byte, 2*len(v))
	for i, f := range v {
		binary.LittleEndian.PutUint16(out[2*i:], roundBF16(f))
	}
	return out
}

// roundBF16 is the upper half of the nearest float32 whose lower half is zero, the even one of two; what is finite stays
// finite.
func roundBF16(f float32) uint16 {
	u := math.Float32bits(f)
	switch magnitude := u &^ (1 << 31); {
	case magnitude > 0x7f800000:
		return 0x7fc0
	case magnitude < 0x7f800000 && magnitude > 0x7f7f0000: // it may round to infinity
		return uint16(u>>16)&0x8000 | 0x7f7f
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// decodeSum is the inverse of EncodeSum, into spare where that is as long; it refuses NaN and infinities.
func (s *RunSpec) decodeSum(data []byte, want int, spare []float32) ([]float32, error) {
	if !s.rounds() {
		return decodeFloats(data, want, spare)
	}
	if len(data) != 2*want {
		return nil, fmt.Errorf("%w: vector of %d bytes, expected %d (%d bf16)", ErrFrame, len(data), 2*want, want)
	}
	out := spare
	if len(out) != want {
		out = make([]float32, want)
	}
	for i := range out {
		out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
	}
	if i := infinite(out); i >= 0 {
		return nil, fmt.Errorf("%w: value %d is %v, expected a finite number", ErrFrame, i, out[i])
	}
	return out, nil
}
