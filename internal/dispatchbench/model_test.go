package dispatchbench

import (
	"container/heap"
	"math"
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
			pass(t, m.out.cores, m.out.result/2, m.leader.cores, m.leader.result/2, offered)
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

// overhead is 1 - ideal/actual.
func (m fleetModel) overhead() float64 { return 1 - m.wait/m.step() }

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
	leader := measuredLeader
	leader.result += perKB * 4 * float64(parameters-1761) / 1024
	return fleetModel{n: n, wait: wait, leader: place{leader, newStation(2)}, out: place{measuredRest.times(0.5), newStation(4)},
		turn: 2000, hop: 500, broadcast: 4 * float64(parameters) * float64(n) / fanOut}
}

// withForemen is a coordinator over so many foremen, each over its share of n workers, in overhead over wait.
func withForemen(n, foremen int, wait float64, parameters int) float64 {
	below := cluster((n+foremen-1)/foremen, wait, parameters)
	top := cluster(foremen, below.step(), parameters)
	return 1 - wait/top.step()
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

// The table of docs/SCALE.md: what limits many workers, and what foremen lift.
func TestModelOfForemen(t *testing.T) {
	type row struct {
		n, foremen, parameters int
		least, most            float64 // overhead
	}
	for _, r := range []row{
		{1_000, 0, 1761, 0.01, 0.03}, {10_000, 0, 1761, 0.10, 0.20}, {20_000, 0, 1761, 0.20, 0.45},
		{10_000, 100, 1761, 0, 0.02}, {100_000, 316, 1761, 0, 0.02}, {100_000, 1000, 1761, 0, 0.04},
		{1_000, 0, 100_000, 0.25, 0.45}, {10_000, 0, 100_000, 0.75, 0.95}, {10_000, 100, 100_000, 0.05, 0.15},
	} {
		found := 0.0
		if r.foremen == 0 {
			found = cluster(r.n, 1e6, r.parameters).overhead()
		} else {
			found = withForemen(r.n, r.foremen, 1e6, r.parameters)
		}
		t.Logf("%7d workers, %4d foremen, %6d parameters: overhead %.1f %%", r.n, r.foremen, r.parameters, 100*found)
		if found < r.least || found > r.most {
			t.Errorf("%+v: found overhead %.3f", r, found)
		}
	}
}
