package nn

import (
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// stream is SplitMix64 (Steele, Lea and Flood, 2014), keyed by a seed and a name.
type stream struct{ state uint64 }

// newStream keys a stream: the name enters by its FNV-1a hash.
func newStream(seed uint64, name string) *stream {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	s := &stream{seed}
	s.state = s.next() ^ h
	return s
}

func (s *stream) next() uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// signed returns a number in [-1, 1), uniform.
func (s *stream) signed() float64 { return float64(int64(s.next())>>11) * 0x1p-52 }

// fill sets x to uniform numbers in +-limit.
func (s *stream) fill(x []float32, limit float64) {
	for i := range x {
		x[i] = float32(limit * s.signed())
	}
}

// Uniform fills x with numbers uniform in [lo, hi), from a stream keyed by seed
// and name: for what is learned beside a model's own tensors.
func Uniform(seed uint64, name string, x []float32, lo, hi float32) {
	s, middle, limit := newStream(seed, name), (float64(lo)+float64(hi))/2, (float64(hi)-float64(lo))/2
	for i := range x {
		x[i] = min(max(float32(middle+float64(limit*s.signed())), lo), hi)
	}
}

// normal sets x to normal numbers of a deviation, those beyond cut deviations
// drawn anew, by Box and Muller (1958): the cosine of each pair only.
func (s *stream) normal(x []float32, deviation, cut float64) {
	for i := range x {
		z := math.Inf(1)
		for !(math.Abs(z) <= cut) || math.IsInf(z, 0) {
			u, turn := 0.5-float64(0.5*s.signed()), s.signed() // u in (0, 1]
			z = math.Sqrt(-2*kernel.Log(u)) * kernel.Cos(math.Pi*turn)
		}
		x[i] = float32(deviation * z)
	}
}
