package metatrain

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// crooks gives some worlds audits, and most of those workers that answer wrongly, in good form: now and then, or always.
// They do not agree on what to answer.
func (w *world) crooks() {
	rng := rand.New(rand.NewPCG(w.seed, 13)) // apart, so that worlds without audits stay as they are
	if rng.IntN(3) > 0 {
		return
	}
	for _, c := range w.coords {
		for range 4 {
			c.cfg.AuditSecret = binary.BigEndian.AppendUint64(c.cfg.AuditSecret, rng.Uint64())
		}
	}
	for _, p := range w.runs {
		if !p.spec.OutsideG1() {
			p.spec.Audit = []float64{1, 1, 0.5}[rng.IntN(3)]
		}
	}
	for i := range rng.IntN(3) {
		w.workers = append(w.workers, &simWorker{proc: proc{w: w, name: fmt.Sprint("crook", i)}, kind: "sound", pace: 5 + rng.Int64N(40),
			crooked: []float64{0.3, 1}[rng.IntN(2)], quirk: uint32(1 + 100*i), slots: rng.IntN(2) == 0})
	}
}

// lie makes a result that is wrong in bits of this process's own, and as well formed as a right one.
func (k *simWorker) lie(res *Result, payload []byte) []byte {
	quirk := k.quirk + uint32(k.births)%100
	if !k.slots { // each life passes for a process
		quirk = k.quirk + uint32(k.lives)%100
	}
	switch {
	case res.Work.Kind == Validate && len(res.Metrics) > 0:
		res.Metrics[0] = math.Float64frombits(math.Float64bits(res.Metrics[0]) ^ uint64(quirk))
	case res.Work.Kind == Evaluate:
		payload = append(slices.Clone(payload), strings.Repeat(" ", int(quirk))...)
	case len(payload) >= 4:
		payload = slices.Clone(payload)
		payload[0] ^= byte(quirk)
	default: // no task contributed: there is nothing to be wrong about
		return payload
	}
	if k.w.lied[res.Work.Run] == nil {
		k.w.lied[res.Work.Run] = map[string]bool{}
	}
	k.w.lied[res.Work.Run][processOf(k.process(), k.id)] = true
	k.w.tell("%s lies about %v %v", k.id, res.Work.Kind, res.Work.Node)
	return payload
}

// process is what all slots and lives of a process share; a worker of an older release does not tell.
func (k *simWorker) process() string {
	if !k.slots {
		return ""
	}
	return fmt.Sprintf("%s/%d", k.name, k.births)
}

// turnedAway ends a process that may give nothing; whoever keeps it running may start another.
func (k *simWorker) turnedAway(why string) {
	k.w.tell("%s is turned away: %s", k.id, why)
	if k.crooked == 0 && !k.w.spoilt[processOf(k.process(), k.id)] {
		k.w.fail("%s, which never lied, is turned away: %s", k.id, why)
	}
	k.kill()
	if k.w.odds(0.5) {
		k.w.after(100+k.w.upTo(3000), k.start)
	}
}

// holdQuarantine: who is in it lied, or sent nonsense whose digest alone was looked at.
func (w *world) holdQuarantine(now QuarantineRecord) {
	for _, q := range now.Processes {
		if !w.lied[q.Run][q.Process] && !w.spoilt[q.Process] {
			w.fail("%s is in quarantine for run %s, and did not lie", q.Process, q.Run)
		}
	}
}

// holdDecisions: one more task is skipped, or the run goes back and what it decided later is open again.
func (w *world) holdDecisions(run string, before, now DecisionsRecord) {
	spec := &w.planOf(run).spec
	one := len(now.Skips) == len(before.Skips)+1 && len(now.Rewinds) == len(before.Rewinds) && fmt.Sprint(now.Skips[:len(before.Skips)]) == fmt.Sprint(before.Skips)
	if n := len(before.Rewinds); !one && len(now.Rewinds) == n+1 && fmt.Sprint(now.Rewinds[:n]) == fmt.Sprint(before.Rewinds) {
		one = fmt.Sprint(now.Skips) == fmt.Sprint(before.upTo(spec, now.Rewinds[n].Before).Skips)
		w.rewinds++
	}
	if !one {
		w.fail("decisions of %s go from %v to %v", run, before, now)
	}
}

// holdPointer: it only rises, and names a checkpoint of as many rewinds that is there, or after a rewind none.
func (w *world) holdPointer(run string, p, q PointerRecord, first bool) {
	if q.Key == "" {
		if q.Rewinds != p.Rewinds+1 {
			w.fail("pointer of %s goes from %v to none", run, p)
		}
		return
	}
	if !first && (q.Rewinds != p.Rewinds || q.Step < p.Step || q.Step == p.Step && p.Key != "") {
		w.fail("pointer of %s goes from %v to %v", run, p, q)
	}
	w.store.holdWhole(q.Key)
	if want := checkpoint.CheckpointKey(run, q.Rewinds, q.Step, ""); !strings.HasPrefix(q.Key, strings.TrimSuffix(want, ".safetensors")) {
		w.fail("pointer %v of %s names a checkpoint of other rewinds or another step", q, run)
	}
}

// caught notes, as a run finishes, whether somebody lied to it who was not found out: where only some results are
// audited that may be.
func (w *world) caught(run string) {
	quarantine := read[QuarantineRecord](w.etcd.keys[quarantineKey].Value)
	p := w.planOf(run)
	for process := range w.lied[run] {
		p.fooled = p.fooled || p.spec.Audit < 1 && quarantine.of(process) == nil
	}
}

// newest is the checkpoint that a load without a pointer takes.
func newest(objects map[string][]byte, e LoadCheckpoint) Done {
	best := Done{Outcome: Absent}
	for key, data := range objects {
		if !strings.HasPrefix(key, checkpoint.CheckpointFolder(e.Run)) {
			continue
		}
		c, err := checkpoint.DecodeCheckpoint(key, data, Contract, e.Spec)
		if err == nil && e.Takes(c.Rewinds, c.Step) == nil && (best.Key == "" || checkpoint.KeyOrder(key) > checkpoint.KeyOrder(best.Key) ||
			checkpoint.KeyOrder(key) == checkpoint.KeyOrder(best.Key) && key > best.Key) {
			best = Done{Key: key, Data: data}
		}
	}
	return best
}
