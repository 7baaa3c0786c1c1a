package metatrain

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// plan is one run of a world and what is to become of it.
type plan struct {
	spec      RunSpec
	id        string
	params    int
	bad       map[string]int // kind and step -> a task that fails everywhere
	flaky     map[string]int // kind and step -> a task that fails on machines of the kind "frail"
	decisions bool           // some may be recorded
	stops     bool           // it must end Failed
	asked     bool           // submitted and confirmed
	fooled    bool           // somebody lied and was not found out
}

func (w *world) planOf(run string) *plan {
	for _, p := range w.runs {
		if p.id == run {
			return p
		}
	}
	return nil
}

func place(kind Kind, track int, step int64) string {
	return fmt.Sprintf("%s %d %d", kind, track, step)
}

// noise is a number of a task, over several orders of magnitude, so that the order of sums shows in the bits.
func noise(seed uint64, key string, task, i int) float32 {
	h := seed ^ 0x9e3779b97f4a7c15
	mix := func(x uint64) {
		h ^= x
		h *= 0xbf58476d1ce4e5b9
		h ^= h >> 29
		h *= 0x94d049bb133111eb
		h ^= h >> 32
	}
	for _, c := range key {
		mix(uint64(c))
	}
	mix(uint64(task))
	mix(uint64(i) + 77)
	unit := float32(int64(h>>40)-1<<23) / (1 << 23)
	return float32(unit * []float32{1e-3, 1, 30, 1000}[h%4])
}

func (p *plan) theta0() []float32 {
	theta := make([]float32, p.params)
	for i := range theta {
		theta[i] = noise(p.spec.Seed, "init", 0, i)
	}
	return theta
}

// tracks says that the last parameter is a tracked statistic.
func (p *plan) tracks() bool { return p.params%2 == 1 }

func (p *plan) layout() string {
	last := ""
	if p.tracks() {
		last = `,"tracked":true`
	}
	return fmt.Sprintf(`[{"name":"w","offset":0,"shape":[%d]},{"name":"b","offset":%d,"shape":[1]%s}]`, p.params-1, p.params-1, last)
}

// gradient is a task's pseudo-gradient and loss at theta: a function of its arguments alone.
func (p *plan) gradient(track int, step int64, task int, theta []float32) ([]float32, float64) {
	key, grad, loss := place(Train, track, step), make([]float32, len(theta)), 0.0
	for i, v := range theta {
		grad[i] = float32(v*0.5) + noise(p.spec.Seed, key, task, i)
		loss += float64(grad[i])
	}
	return grad, loss
}

// scores are a validation task's metrics: unlike each other and not monotone in training.
func (p *plan) scores(track, task int, theta []float32) []float64 {
	out := make([]float64, p.spec.metrics(Validate, track))
	for j := range out {
		for i, v := range theta {
			x := float64(noise(p.spec.Seed, place(Validate, track, 0), task, i+10*j))
			out[j] += math.Abs(math.Sin(float64(v) * x))
		}
	}
	return out
}

func table(theta, pooled []byte) []byte {
	return fmt.Appendf(nil, `{"comparators":{"rate":0.5},"of":%q}`, Digest(theta)+Digest(pooled))
}

// compute is what a worker does with a lease, or the task that fails on its kind of machine.
func (p *plan) compute(l Lease, machine string, theta, pooled []byte) (res Result, payload []byte, bad int) {
	k := l.Work
	switch k.Kind {
	case Init:
		return Result{Tasks: 1, Layout: p.layout()}, EncodeFloats(p.theta0()), -1
	case Evaluate:
		return Result{Tasks: 1}, table(theta, pooled), -1
	}
	base, err := DecodeFloats(theta, p.params)
	if err != nil {
		panic(err)
	}
	bad = -1
	sum, err := Fold(k.Node, l.Tasks, func(task int) (Partial, error) {
		if slices.Contains(l.Skip, task) {
			return Partial{}, nil
		}
		if p.fails(k, machine, task) {
			bad = task
			return Partial{}, fmt.Errorf("task %d is bad", task)
		}
		if k.Kind == Validate {
			return Partial{Metrics: p.scores(k.Track, task, base), Tasks: 1}, nil
		}
		grad, loss := p.gradient(k.Track, k.Step, task, base)
		return Partial{Vec: grad, Metrics: []float64{loss}, Tasks: 1}, nil
	})
	if err != nil {
		return res, nil, bad
	}
	return Result{Tasks: sum.Tasks, Metrics: sum.Metrics}, EncodeFloats(sum.Vec), -1
}

// travels gives the form in which the sum of a shard is sent.
func (p *plan) travels(res Result, work Work, payload []byte) []byte {
	if work.Kind != Train || res.Tasks == 0 || p.spec.Results.Form != "bf16" {
		return payload
	}
	v, err := DecodeFloats(payload, p.params)
	if err != nil {
		panic(err)
	}
	return p.spec.EncodeSum(v)
}

// rounded sums the gradients of each shard and rounds them, where the spec says so.
func (p *plan) rounded(grads [][]float64) (sums [][]float64) {
	if p.spec.Results.Form != "bf16" {
		return grads
	}
	for shard := range slices.Chunk(grads, p.spec.Results.ShardTasks) {
		sum := slices.Clone(pairwise(slices.Clone(shard), true))
		for i, x := range sum {
			sum[i] = eightBits(x)
		}
		sums = append(sums, sum)
	}
	return sums
}

// eightBits rounds to 8 significant bits, to even, and at the lower end of float32 to multiples of its least.
func eightBits(x float64) float64 {
	_, e := math.Frexp(x)
	quantum := math.Ldexp(1, max(e, -125)-8)
	return math.RoundToEven(x/quantum) * quantum
}

func (p *plan) fails(k Work, machine string, task int) bool {
	at := place(k.Kind, k.Track, k.Step)
	if t, ok := p.bad[at]; ok && t == task {
		return true
	}
	t, ok := p.flaky[at]
	return ok && t == task && machine == "frail"
}

// serial trains the plan in one loop, without a machine, a tree or an optimizer of the package: what every world must
// agree with, bit for bit, given the decisions it recorded.
func (p *plan) serial(decisions DecisionsRecord) (models [][]byte, table []byte) {
	var bests [][]float32
	for track := range p.spec.Tracks() {
		bests = append(bests, p.serialTrack(track, decisions))
	}
	for _, best := range bests {
		data, err := checkpoint.EncodeTensors(map[string]string{"contract": "lane/1"}, []checkpoint.Tensor{
			{Name: "w", Shape: []int{p.params - 1}, F32: best[:p.params-1]}, {Name: "b", Shape: []int{1}, F32: best[p.params-1:]}})
		if err != nil {
			panic(err)
		}
		models = append(models, data)
	}
	if p.spec.Evaluation.Table {
		of := Digest(EncodeFloats(bests[0]))
		if len(bests) > 1 {
			of += Digest(EncodeFloats(bests[1]))
		} else {
			of += Digest(nil)
		}
		table, _ = json.Marshal(map[string]any{"comparators": map[string]float64{"rate": 0.5}, "of": of})
	}
	return models, table
}

func (p *plan) serialTrack(track int, decisions DecisionsRecord) []float32 {
	skipped := func(kind Kind, step int64, task int) bool {
		return slices.ContainsFunc(decisions.Skips, func(s Skip) bool {
			return s.Track == track && s.Kind == kind && s.Step == step && s.Task == task
		})
	}
	theta := p.theta0()
	m, v := make([]float32, p.params), make([]float32, p.params)
	var best []float32
	bestScore, since := 0.0, 0
	for step := int64(0); ; step++ {
		if last := step == p.spec.Steps; last || step%p.spec.Validation.Every == 0 {
			if score := p.serialScore(track, step, theta, skipped); best == nil || score < bestScore {
				best, bestScore, since = append([]float32{}, theta...), score, 0
			} else {
				since++
			}
			if last || p.spec.Validation.Patience > 0 && since >= p.spec.Validation.Patience {
				return best
			}
		}
		var grads [][]float64 // wide enough to hold float32 exactly; nil where skipped
		n := 0
		for task := range p.spec.MetaBatch {
			if skipped(Train, step, task) {
				grads = append(grads, nil)
				continue
			}
			g, _ := p.gradient(track, step, task, theta)
			grads = append(grads, widen(g))
			n++
		}
		mean := pairwise(p.rounded(grads), true)
		for i := range mean {
			mean[i] = float64(float32(mean[i]) * (1 / float32(n)))
		}
		end := p.params
		if p.tracks() {
			end--
			share := float32(float64(float32(0.1)) * mean[end])
			theta[end] -= share
		}
		twinStep(p.spec.Optimizer, theta[:end], m[:end], v[:end], mean[:end], step, p.spec.Steps)
	}
}

func (p *plan) serialScore(track int, step int64, theta []float32, skipped func(Kind, int64, int) bool) float64 {
	var all [][]float64
	n := 0
	for task := range p.spec.Validation.Tasks {
		if skipped(Validate, step, task) {
			all = append(all, nil)
			continue
		}
		all = append(all, p.scores(track, task, theta))
		n++
	}
	score := 0.0
	for i, sum := range pairwise(all, false) {
		target := 1.0
		if i < len(p.spec.Validation.Targets) {
			target = p.spec.Validation.Targets[i]
		}
		score += sum / float64(n) / target
	}
	return score
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// pairwise sums neighbours level by level, each sum rounded to float32 where single; what has no neighbour, or one
// that is left out, passes unchanged.
func pairwise(rows [][]float64, single bool) []float64 {
	for len(rows) > 1 {
		var next [][]float64
		for i := 0; i < len(rows); i += 2 {
			switch {
			case i+1 == len(rows) || rows[i+1] == nil:
				next = append(next, rows[i])
			case rows[i] == nil:
				next = append(next, rows[i+1])
			default:
				sum := make([]float64, len(rows[i]))
				for j := range sum {
					sum[j] = rows[i][j] + rows[i+1][j]
					if single {
						sum[j] = float64(float32(sum[j]))
					}
				}
				next = append(next, sum)
			}
		}
		rows = next
	}
	return rows[0]
}

// twinStep is Adam (Kingma & Ba 2015, algorithm 1) or momentum, without clipping, in float32 by the contract, written a
// second time.
// Double rounding is no trap: a float64 product or sum of two float32 rounds to the same float32.
func twinStep(o OptimizerSpec, theta, m, v []float32, grad []float64, t, steps int64) {
	f := func(x float64) float64 { return float64(float32(x)) }
	rate := o.Rate
	if t < o.Warmup {
		rate = o.Rate * float64(t+1) / float64(o.Warmup)
	} else if o.Schedule == "cosine" {
		rate = o.RateAt(t, steps) // its cosine is the kernel's own; held to the formula elsewhere
	}
	for i, g := range grad {
		if o.Name == "sgd" {
			m[i] = float32(f(f(o.Momentum)*float64(m[i])) + g)
			theta[i] = float32(float64(theta[i]) - f(f(rate)*float64(m[i])))
			continue
		}
		b1, b2 := f(o.Beta1), f(o.Beta2)
		m[i] = float32(f(b1*float64(m[i])) + f(f(1-b1)*g))
		v[i] = float32(f(b2*float64(v[i])) + f(f(f(1-b2)*g)*g))
		c1, c2 := 1.0, 1.0
		for range t + 1 {
			c1, c2 = c1*o.Beta1, c2*o.Beta2
		}
		down := f(f(f(math.Sqrt(float64(v[i])))*f(1/math.Sqrt(1-c2))) + f(o.Epsilon))
		theta[i] = float32(float64(theta[i]) - f(f(f(rate/(1-c1))*float64(m[i]))/down))
	}
}
