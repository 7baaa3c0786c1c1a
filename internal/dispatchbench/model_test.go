package dispatchbench

import (
	"container/heap"
	"math"
	"slices"
	"testing"
)

// This model says what fleets would do that no machine here holds: messages as jobs on cores, in virtual time, with the
// processor time that they were measured to take.

// costs are what messages take, in microseconds of processor time, from `bench dispatch` on two cores (docs/SCALE.md
// says how): those of a request with its answer, split evenly between the two.
type costs struct {
	lease, result, beat float64 // at one side: a hello and its lease, a result of 1,761 parameters and its verdict, a beat
}

// place is where messages are worked on: the coordinator, or NATS and the workers.
type place struct {
	costs
	cores *station
}

// station serves jobs in the order of their arrival, so many at a time.
type station struct{ free []float64 }

func newStation(cores int) *station { return &station{make([]float64, cores)} }

// serve gives the moment at which a job that arrives at t and takes so long is done.
func (s *station) serve(t, takes float64) float64 {
	first := 0
	for i, free := range s.free {
		if free < s.free[first] {
			first = i
		}
	}
	done := max(t, s.free[first]) + takes
	s.free[first] = done
	return done
}

// event is something due at a moment, in microseconds.
type event struct {
	at  float64
	act func(t float64)
}

type agenda []event

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)        { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any          { e := (*a)[len(*a)-1]; *a = (*a)[:len(*a)-1]; return e }

// fleetModel is a coordinator and n workers in virtual time.
type fleetModel struct {
	n           int
	wait        float64 // of a worker for its shard, microseconds
	leader, out place   // out: NATS and the workers
	sum         float64 // of what a result has beyond 1,761 parameters: all before its verdict and the step's turn
	turn, hop   float64 // a step's turn, and a message's way beside its processor time, microseconds
	broadcast   float64 // of theta to all, microseconds
}

// step is how long a step takes, in microseconds, once steps follow each other.
func (m fleetModel) step() float64 {
	var a agenda
	at := func(t float64, act func(t float64)) { heap.Push(&a, event{t, act}) }
	// pass works a message off here, then there.
	pass := func(t float64, here *station, hereTakes float64, there *station, thereTakes float64, then func(t float64)) {
		at(here.serve(t, hereTakes)+m.hop, func(t float64) { at(there.serve(t, thereTakes), then) })
	}
	const steps = 3
	var ended [steps + 1]float64
	step, results := 0, 0
	var begin func(t float64)
	beat := func(t float64) {
		pass(t, m.out.cores, m.out.beat/2, m.leader.cores, m.leader.beat/2, func(t float64) {
			pass(t, m.leader.cores, m.leader.beat/2, m.out.cores, m.out.beat/2, func(float64) {})
		})
	}
	offered := func(t float64) { // a result's verdict is worked on beside what it leads to
		pass(t, m.leader.cores, m.leader.result/2, m.out.cores, m.out.result/2, func(float64) {})
		if results++; results == m.n {
			results, step = 0, step+1
			if ended[step] = t; step < steps {
				begin(t)
			}
		}
	}
	leased := func(t float64) {
		pass(t, m.out.cores, m.out.lease/2, m.leader.cores, m.leader.lease/2, func(float64) {}) // asks for the next one
		for b := 500_000.0; b < m.wait; b += 500_000 {                                          // after half a second of silence
			at(t+b, beat)
		}
		at(t+m.wait, func(t float64) {
			pass(t, m.out.cores, m.out.result/2, m.leader.cores, m.leader.result/2+m.sum, offered)
		})
	}
	begin = func(t float64) {
		at(t+m.turn+m.broadcast, func(t float64) {
			for range m.n {
				pass(t, m.leader.cores, m.leader.lease/2, m.out.cores, m.out.lease/2, leased)
			}
		})
	}
	begin(0)
	for step < steps {
		e := heap.Pop(&a).(event)
		e.act(e.at)
	}
	return (ended[steps] - ended[1]) / (steps - 1)
}

// Measured with `warmstart bench dispatch`, as docs/SCALE.md says, on two cores that other programs used too.
var (
	measuredLeader = costs{lease: 20, result: 29, beat: 11}
	measuredRest   = costs{lease: 30, result: 38, beat: 33}
	measuredExcess = map[int]float64{100: 8.8, 250: 13.3, 500: 29.3, 1000: 45.7, 2000: 101.8} // ms a step of one second
	// busy is by how much longer than its processor time a message takes, since others wait for the cores too: the one
	// number that is fitted, at 1,000 workers.
	busy = 1.15
	// fanOut is what one NATS server delivers, in bytes a microsecond (FACTS: 256 KB to 64 subscribers in 8.6 ms).
	fanOut = 1900.0
	// perKB is the leader's processor time for a KB of results, in microseconds: hashed, checked, summed.
	perKB = 2.5
)

func (c costs) times(f float64) costs { return costs{c.lease * f, c.result * f, c.beat * f} }

// oneMachine is the bench: everything on two cores.
func oneMachine(n int, wait float64) fleetModel {
	cores := newStation(2)
	return fleetModel{n: n, wait: wait, leader: place{measuredLeader.times(busy), cores}, out: place{measuredRest.times(busy), cores}, turn: 4000, hop: 1000}
}

// cluster is a coordinator with two cores of its own, a NATS server with four, which takes half of what is not the
// coordinator's, and workers with cores of their own. A foreman is to its workers what the coordinator is to it.
func cluster(n int, wait float64, parameters int) fleetModel {
	return fleetModel{n: n, wait: wait, leader: place{measuredLeader, newStation(2)}, out: place{measuredRest.times(0.5), newStation(4)},
		sum: perKB * 4 * float64(parameters-1761) / 1024, turn: 2000, hop: 500, broadcast: 4 * float64(parameters) * float64(n) / fanOut}
}

// behind is the same fleet behind so many leaf nodes, each a server of its own: theta crosses to each once and from there to
// its share of the workers, all leaves at a time, and every message takes a hop more. What the coordinator's server and the
// coordinator do for a message stays: all of them still come there.
func (m fleetModel) behind(leaves, parameters int) fleetModel {
	if leaves > 0 && m.n > leaves {
		m.broadcast = 4 * float64(parameters) * float64(leaves+(m.n+leaves-1)/leaves) / fanOut
		m.hop *= 2
	}
	return m
}

// tree is a coordinator over so many foremen, each over so many, and so on down to the workers, each level behind leaf
// nodes where there are some: in overhead over wait.
func tree(widths []int, leaves int, wait float64, parameters int) float64 {
	step := wait
	for _, n := range slices.Backward(widths) {
		step = cluster(n, step, parameters).behind(leaves, parameters).step()
	}
	return 1 - wait/step
}

func TestModelAgreesWithWhatWasMeasured(t *testing.T) {
	for n, want := range measuredExcess {
		found := (oneMachine(n, 1e6).step() - 1e6) / 1000
		t.Logf("%5d workers: a step is longer by %.1f ms, measured %.1f", n, found, want)
		if math.Abs(found-want) > 0.25*want {
			t.Errorf("%d workers: found %.1f ms, measured %.1f, expected within 25 %%", n, found, want)
		}
	}
}

// The table of docs/SCALE.md: what limits many workers, and what foremen and leaf nodes lift.
func TestModelOfForemenAndLeafNodes(t *testing.T) {
	type row struct {
		widths             []int // from the coordinator down; one level is a flat fleet
		leaves, parameters int
		least, most        float64 // overhead
	}
	for _, r := range []row{
		{[]int{1_000}, 0, 1761, 0.01, 0.03}, {[]int{10_000}, 0, 1761, 0.10, 0.20}, {[]int{20_000}, 0, 1761, 0.20, 0.45},
		{[]int{10_000}, 100, 1761, 0.10, 0.20},
		{[]int{100, 100}, 0, 1761, 0, 0.02}, {[]int{316, 317}, 0, 1761, 0, 0.02}, {[]int{1000, 100}, 0, 1761, 0, 0.04},
		{[]int{1_000}, 0, 100_000, 0.38, 0.45}, {[]int{1_000}, 32, 100_000, 0.30, 0.37},
		{[]int{10_000}, 0, 100_000, 0.85, 0.90}, {[]int{10_000}, 100, 100_000, 0.80, 0.85},
		{[]int{100, 100}, 0, 100_000, 0.11, 0.15}, {[]int{100, 100}, 10, 100_000, 0.08, 0.11},
		{[]int{100_000}, 0, 100_000, 0.983, 0.99}, {[]int{100_000}, 316, 100_000, 0.97, 0.983},
		{[]int{316, 317}, 0, 100_000, 0.28, 0.35}, {[]int{316, 317}, 18, 100_000, 0.20, 0.28},
		{[]int{46, 47, 47}, 0, 100_000, 0.09, 0.12}, {[]int{46, 47, 47}, 7, 100_000, 0.06, 0.09},
	} {
		found := tree(r.widths, r.leaves, 1e6, r.parameters)
		t.Logf("%12v workers, %3d leaf nodes, %6d parameters: overhead %.1f %%", r.widths, r.leaves, r.parameters, 100*found)
		if found < r.least || found > r.most {
			t.Errorf("%+v: found overhead %.3f", r, found)
		}
	}
}
