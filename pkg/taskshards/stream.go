package taskshards

import (
	"math"
	"math/bits"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Stream is a keyed stream of random numbers: xoshiro256++ (Blackman and Vigna,
// 2021), its state filled by splitmix64 from the key. It is a small value;
// nothing is shared between streams.
type Stream struct {
	s        [4]uint64
	spare    float64 // second number of the last Box-Muller pair
	hasSpare bool
}

// NewStream returns the stream of one key. The domain names what the numbers
// are for, so that two uses of one (seed, step, task) never meet.
func NewStream(seed uint64, domain string, step, task uint64) Stream {
	h := mix64(seed + golden)
	h = mix64(h ^ hashString(domain))
	h = mix64((h + golden) ^ step)
	h = mix64((h + golden) ^ task)
	var st Stream
	for i := range st.s {
		h += golden
		st.s[i] = mix64(h)
	}
	return st
}

// golden is 2^64 divided by the golden ratio, the increment of splitmix64.
const golden = 0x9e3779b97f4a7c15

// mix64 is the finaliser of splitmix64 (Steele, Lea and Flood, 2014).
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// hashString is FNV-1a over the bytes, finished by mix64.
func hashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix64(h)
}

// Uint64 returns 64 uniform bits.
func (st *Stream) Uint64() uint64 {
	s := &st.s
	out := bits.RotateLeft64(s[0]+s[3], 23) + s[0]
	t := s[1] << 17
	s[2] ^= s[0]
	s[3] ^= s[1]
	s[1] ^= s[2]
	s[0] ^= s[3]
	s[2] ^= t
	s[3] = bits.RotateLeft64(s[3], 45)
	return out
}

// Float64 returns a uniform number in [0, 1), a multiple of 2^-53.
func (st *Stream) Float64() float64 {
	return float64(st.Uint64()>>11) * (1.0 / (1 << 53))
}

// Uniform returns a uniform number in [lo, hi).
func (st *Stream) Uniform(lo, hi float64) float64 {
	return lo + float64((hi-lo)*st.Float64())
}

// Intn returns a uniform number in [0, n) without bias (Lemire, 2019); n must
// be positive.
func (st *Stream) Intn(n int) int {
	m := uint64(n)
	hi, lo := bits.Mul64(st.Uint64(), m)
	for lo < m && lo < -m%m {
		hi, lo = bits.Mul64(st.Uint64(), m)
	}
	return int(hi)
}

// Chance returns true with probability p.
func (st *Stream) Chance(p float64) bool { return st.Float64() < p }

// Normal returns a standard normal number (Box and Muller, 1958).
func (st *Stream) Normal() float64 {
	if st.hasSpare {
		st.hasSpare = false
		return st.spare
	}
	u := 1 - st.Float64() // in (0, 1]: its logarithm is finite
	r := math.Sqrt(-2 * kernel.Log(u))
	a := 2 * math.Pi * st.Float64()
	st.spare, st.hasSpare = r*kernel.Sin(a), true
	return float64(r * kernel.Cos(a))
}

// LogUniform returns a number in [lo, hi) whose logarithm is uniform; both must
// be positive.
func (st *Stream) LogUniform(lo, hi float64) float64 {
	return kernel.Exp(st.Uniform(kernel.Log(lo), kernel.Log(hi)))
}

// choose fills out with distinct numbers of [0, n) in random order (Floyd, 1987);
// n must be at least their number.
func (st *Stream) choose(out []int, n int) {
	k := len(out)
	for i := range out {
		j := n - k + i
		v := st.Intn(j + 1)
		for _, taken := range out[:i] {
			if taken == v {
				v = j
				break
			}
		}
		out[i] = v
	}
	st.shuffle(out)
}

// shuffle brings v into random order (Fisher and Yates).
func (st *Stream) shuffle(v []int) {
	for i := len(v) - 1; i > 0; i-- {
		j := st.Intn(i + 1)
		v[i], v[j] = v[j], v[i]
	}
}
