package taskshards

import (
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Sinusoid is the regression family of the MAML paper (Finn, Abbeel and Levine,
// 2017, section 5.1): y = a sin(x - p), amplitude a from U[0.1, 5], phase p from
// U[0, pi], x from U[-5, 5]. One input, one output, weights 1/N. The test split
// draws from the same ranges, under keys of its own.
type Sinusoid struct {
	shots   [3][]int // by split
	query   int
	domains [3]string
}

var _ Family = (*Sinusoid)(nil)

// NewSinusoid builds the family; it reads Shots, TestShots and Query.
func NewSinusoid(c Config) (*Sinusoid, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Sinusoid{shots: c.shotsBySplit(), query: c.Query, domains: domains("sinusoid")}, nil
}

// Shape is one input and one output.
func (f *Sinusoid) Shape() Shape { return Shape{In: []int{1}, Out: 1} }

// Sample draws amplitude, phase, the number of shots, then the support's points
// and the query's; it never fails.
func (f *Sinusoid) Sample(split Split, seed, step, task uint64, into *Task) error {
	st := NewStream(seed, f.domains[split], step, task)
	amplitude, phase := st.Uniform(0.1, 5), st.Uniform(0, math.Pi)
	sizes := f.shots[split]
	shots := sizes[st.Intn(len(sizes))]
	sampleWave(&st, amplitude, phase, shots, &into.Support)
	sampleWave(&st, amplitude, phase, f.query, &into.Query)
	return nil
}

// waveChunk is how many points are computed at once.
const waveChunk = 64

func sampleWave(st *Stream, amplitude, phase float64, n int, b *Batch) {
	b.Resize(n, 1, 1)
	var at [waveChunk]float64
	weight := 1 / float32(n)
	for lo := 0; lo < n; lo += waveChunk {
		part := at[:min(waveChunk, n-lo)]
		for i := range part {
			x := float32(st.Uniform(-5, 5))
			b.X[lo+i], b.W[lo+i] = x, weight
			part[i] = float64(x) - phase
		}
		kernel.SinInto(part, part)
		for i, y := range part {
			b.Y[lo+i] = float32(amplitude * y)
		}
	}
}
