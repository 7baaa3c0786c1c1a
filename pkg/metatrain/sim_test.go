package metatrain

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// TestSimulation_SameBitsWhateverFails runs whole clusters in virtual time, one for each seed: coordinators and
// workers that die, stop and wake, a network that loses, repeats, reorders and delays, a store that fails and writes
// late, transactions lost sight of, people who pause, resume and cancel. Each run must end, with the bytes of a serial
// loop (G1, G2), nothing torn (G3), nothing done by who no longer leads (G4), nothing stuck (G5), within the window
// (G6), and nothing malformed taken in (G7).
//
// WARMSTART_SIM_SEEDS=n runs so many seeds, WARMSTART_SIM_SEED=s one of them, with its story.
func TestSimulation_SameBitsWhateverFails(t *testing.T) {
	if one := os.Getenv("WARMSTART_SIM_SEED"); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w := simulate(seed, true)
		t.Log(strings.Join(w.story, "\n"))
		if w.err != nil {
			t.Fatal(w.err)
		}
		return
	}
	seeds := 2000
	if testing.Short() {
		seeds = 200
	}
	if n, err := strconv.Atoi(os.Getenv("WARMSTART_SIM_SEEDS")); err == nil {
		seeds = n
	}
	ends, rewinds, broken := simulateAll(uint64(seeds))
	if len(broken) > 0 {
		tellStory(t, slices.Min(broken))
	}
	t.Logf("%d seeds: runs %v, %d rewinds", seeds, ends, rewinds)
	if seeds >= 200 && (ends[Finished] < seeds/2 || ends[Cancelled] == 0 || ends[Failed] == 0 || rewinds < seeds/20) {
		t.Errorf("the worlds have become too tame or too rough to prove anything: %v, %d rewinds", ends, rewinds)
	}
}

// simulateAll lives the seeds below n, as many side by side as there are processors, up to the first that breaks a claim.
// It counts how runs ended, and how often they went back.
func simulateAll(n uint64) (ends map[RunState]int, rewinds int, broken []uint64) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // worlds are small and short
	ends = map[RunState]int{}
	var next atomic.Uint64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1) - 1; seed < n; seed = next.Add(1) - 1 {
				w := simulate(seed, false)
				mu.Lock()
				if w.err != nil {
					broken = append(broken, seed)
					next.Store(n)
				}
				rewinds += w.rewinds
				for _, p := range w.runs {
					ends[read[StatusRecord](w.etcd.keys[statusKey(p.id)].Value).State]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return ends, rewinds, broken
}

// tellStory lives a failing seed again and tells its last part.
func tellStory(t *testing.T, seed uint64) {
	w := simulate(seed, true)
	t.Logf("the story of seed %d, its last lines:\n%s", seed, strings.Join(w.story[max(0, len(w.story)-60):], "\n"))
	t.Fatalf("seed %d: %v\nall of it: WARMSTART_SIM_SEED=%d go test -v -run TestSimulation ./pkg/metatrain", seed, w.err, seed)
}

func simulate(seed uint64, telling bool) *world {
	w := newWorld(seed)
	w.telling = telling
	w.live()
	w.client.meddle()
	w.trouble()
	faults := 4000 + w.upTo(12_000)
	w.after(faults, w.heal)
	for !w.client.over && w.step() {
		if w.now > faults+400_000 {
			w.fail("not all runs ended long after faults ceased")
		}
	}
	w.settle()
	return w
}

// live starts everybody.
func (w *world) live() {
	for _, c := range w.coords {
		c.start()
	}
	for _, k := range w.workers {
		k.start()
	}
	for _, p := range w.runs {
		w.after(w.upTo(1500), func() { w.client.submit(p) })
	}
	w.client.attend()
}

// emptyWorld has etcd, a store and a client.
func emptyWorld(seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), sent: map[string][]byte{}, lied: map[string]map[string]bool{}, spoilt: map[string]bool{}}
	w.etcd = &simEtcd{w: w, keys: map[string]KV{}}
	w.store = &simStore{w: w, objects: map[string][]byte{}, made: map[string]bool{}, torn: map[string]bool{}}
	w.client = &simClient{proc: proc{w: w, name: "client", up: true}}
	return w
}

func newWorld(seed uint64) *world {
	w := emptyWorld(seed)
	w.stubborn = w.rng.IntN(4) == 0
	cfg := Config{ShardTasks: []int{0, 0, 1, 2, 4}[w.upTo(4)], FirstDeadlineMS: 3000, Window: []int{0, 1, 30, 60}[w.upTo(3)], ShareBytes: []int{0, 12, 1}[seed%3], MaxStoreOutageMS: []int64{0, 1500}[w.upTo(1)], Spools: seed%2 == 0}
	for i := range 2 + w.upTo(1) {
		trust := []int64{leaseTTL - 300, leaseTTL + 2000}[w.upTo(1)]
		w.coords = append(w.coords, &coord{proc: proc{w: w, name: fmt.Sprint("coordinator", i)}, cfg: cfg, trust: trust, spool: spool{}})
	}
	for i := range 1 + w.upTo(3) {
		kind := []string{"sound", "frail"}[w.upTo(1)]
		w.workers = append(w.workers, &simWorker{proc: proc{w: w, name: fmt.Sprint("worker", i)}, kind: kind, pace: 5 + w.upTo(80), liar: w.rng.IntN(3) == 0, foreman: (seed+uint64(i))%3 == 0, chunk: []int{0, 4, 7}[(seed/3+uint64(i))%3], slots: (seed/7+uint64(i))%3 == 0})
	}
	for i := range 1 + w.rng.IntN(5)/3 {
		w.runs = append(w.runs, newPlan(w, i))
	}
	w.unlike()
	w.crooks()
	return w
}

func newPlan(w *world, i int) *plan {
	rng := w.rng
	p := &plan{params: 2 + rng.IntN(4), bad: map[string]int{}, flaky: map[string]int{}}
	p.spec = RunSpec{
		Name: "base", Seed: w.seed*2 + uint64(i), Contract: Contract,
		Family: Section{Name: "sim"}, Model: Section{Name: "mlp"}, Learner: Section{Name: "maml"},
		Optimizer: OptimizerSpec{Name: []string{"adam", "sgd"}[rng.IntN(2)], Rate: 0.05, Momentum: 0.9, Beta1: 0.9, Beta2: 0.999,
			Epsilon: 1e-8, Schedule: []string{"constant", "cosine"}[rng.IntN(2)], Warmup: int64(rng.IntN(3)), Final: 0.1},
		MetaBatch: 3 + rng.IntN(7), Steps: int64(2 + rng.IntN(7)),
		Checkpoint: CheckpointSpec{Every: int64(1 + rng.IntN(3)), Keep: 1 + rng.IntN(2)},
		Validation: ValidationSpec{Every: int64(1 + rng.IntN(3)), Tasks: 3 + rng.IntN(4), Patience: rng.IntN(3)},
		Evaluation: EvaluationSpec{Table: rng.IntN(2) == 0, Pooled: rng.IntN(2) == 0},
		OnBadTask:  "skip", StallSeconds: 12,
	}
	if w.seed%5 == 0 {
		p.spec.Results = ResultsSpec{Form: "bf16", ShardTasks: 1 << (w.seed / 5 % 3)}
	}
	if rng.IntN(3) == 0 {
		p.spec.Validation.Adapt, p.spec.Validation.Targets = []int{1, 5}, []float64{0.5, 2}
	}
	mark := func(tasks map[string]int) {
		p.decisions = true
		kind, n := Train, p.spec.MetaBatch
		if rng.IntN(4) == 0 {
			kind, n = Validate, p.spec.Validation.Tasks
		}
		for track := range p.spec.Tracks() {
			tasks[place(kind, track, rng.Int64N(p.spec.Steps))] = rng.IntN(n)
		}
	}
	if rng.IntN(3) == 0 {
		mark(p.bad)
	}
	if rng.IntN(3) == 0 {
		mark(p.flaky)
	}
	if p.decisions && rng.IntN(4) == 0 {
		p.spec.OnBadTask, p.stops = "stop", true
	}
	p.id = p.spec.RunID(0)
	return p
}

// trouble lets something go wrong now and then.
func (w *world) trouble() {
	if w.calm {
		return
	}
	w.after(200+w.upTo(1500), w.trouble)
	c := w.coords[w.rng.IntN(len(w.coords))]
	if l := w.leaders(); len(l) > 0 && w.odds(0.6) {
		c = l[0]
	}
	k := w.workers[w.rng.IntN(len(w.workers))]
	switch w.rng.IntN(11) {
	case 10:
		w.part()
	case 9:
		c.jump()
	case 8:
		w.store.down = w.now + w.upTo(6000)
		w.tell("the store is down for %d ms", w.store.down-w.now)
	case 7:
		k.leave()
	case 0:
		w.bringDown(&c.proc, func() { c.m = nil; c.pass++ }, c.start)
	case 1, 2:
		w.bringDown(&k.proc, func() {}, k.start)
	case 3:
		c.wake = w.now + w.upTo(2*leaseTTL)
		w.tell("%s is stopped for %d ms", c.name, c.wake-w.now)
	case 4:
		k.wake = w.now + w.upTo(5000)
		w.tell("%s is stopped for %d ms", k.name, k.wake-w.now)
	case 5:
		c.cut = w.now + w.upTo(2*leaseTTL)
		w.tell("%s is cut off for %d ms", c.name, c.cut-w.now)
	case 6:
		k.cut = w.now + w.upTo(5000)
		w.tell("%s is cut off for %d ms", k.name, k.cut-w.now)
	}
}

func (w *world) bringDown(p *proc, clear, start func()) {
	if !p.up {
		return
	}
	p.kill()
	clear()
	w.after(100+w.upTo(3000), start)
}

// heal ends all faults; two sound workers join, so that what the others may no longer do is done.
func (w *world) heal() {
	w.tell("faults cease")
	w.calm, w.parted, w.store.down = true, 0, 0
	for _, c := range w.coords {
		c.wake, c.cut = min(c.wake, w.now), 0
		if w.stubborn { // once all late transactions have landed, the truth is read again
			w.after(6000, func() { w.bringDown(&c.proc, func() { c.m = nil; c.pass++ }, c.start) })
		}
	}
	for _, k := range w.workers {
		k.wake, k.cut = min(k.wake, w.now), 0
	}
	for i := range 2 {
		k := &simWorker{proc: proc{w: w, name: fmt.Sprint("late", i)}, kind: "sound", pace: 10}
		w.workers = append(w.workers, k)
		k.start()
	}
}

// settle lets the latest writes land and checks what became of every run.
func (w *world) settle() {
	if w.err != nil {
		return
	}
	w.tell("all is over; the latest writes land")
	for _, land := range w.store.late {
		land()
	}
	for _, p := range w.runs {
		if err := w.outcome(p); err != nil {
			w.fail("run %s: %v", p.id, err)
		}
	}
}

func (w *world) outcome(p *plan) error {
	status := read[StatusRecord](w.etcd.keys[statusKey(p.id)].Value)
	if pointer, ok := w.etcd.keys[pointerKey(p.id)]; ok && read[PointerRecord](pointer.Value).Key != "" {
		w.store.holdWhole(read[PointerRecord](pointer.Value).Key)
	}
	var mine []VersionRecord
	for _, v := range read[VersionsRecord](w.etcd.keys[versionsKey(p.spec.Name)].Value).Versions {
		if v.Run == p.id {
			mine = append(mine, v)
		}
	}
	if status.State != Finished {
		if len(mine) > 0 && mine[0].Published {
			return fmt.Errorf("is %s and version %d published", status.State, mine[0].N)
		}
		return nil
	}
	if len(mine) != 1 || !mine[0].Published || mine[0].N != status.Version {
		return fmt.Errorf("finished with version %d, recorded %v", status.Version, mine)
	}
	man, err := checkpoint.VerifyVersion(context.Background(), w.store, p.spec.Name, int64(status.Version))
	if err != nil || man.Run != p.id {
		return fmt.Errorf("version %d is of run %q: %v", status.Version, man.Run, err)
	}
	if p.spec.OutsideG1() {
		return w.outside(p, man)
	}
	if man.OutsideG1 != "" || man.Results != "" {
		return fmt.Errorf("the manifest says %q, %q", man.OutsideG1, man.Results)
	}
	if p.fooled {
		return nil
	}
	decisions := read[DecisionsRecord](w.etcd.keys[decisionsKey(p.id)].Value)
	models, table := p.serial(decisions)
	files := map[string][]byte{checkpoint.ModelFile: models[0]}
	if len(models) > 1 {
		files[checkpoint.PooledFile] = models[1]
	}
	if table != nil {
		files[EvaluationFile] = table
	}
	folder := checkpoint.VersionFolder(p.spec.Name, int64(status.Version))
	for name, want := range files {
		if !bytes.Equal(w.store.objects[folder+name], want) {
			return fmt.Errorf("%s differs from that of a serial run", name)
		}
	}
	if len(man.Files) != len(files)+1 {
		return fmt.Errorf("version of %d files, expected %d", len(man.Files), len(files)+1)
	}
	return nil
}
