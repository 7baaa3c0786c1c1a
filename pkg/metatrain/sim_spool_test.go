package metatrain

import (
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// spool is a coordinator's disk: the newest state of each run that the store did not take, which outlives the process.
type spool map[string]PutObject

// spooling keeps a state that the store did not take, before the machine hears of it.
func (c *coord) spooling(e PutObject, done func(Done)) func(Done) {
	return func(d Done) {
		run, _, _, err := checkpoint.ParseCheckpointKey(e.Key)
		if err == nil && c.cfg.Spools && d.Outcome == Failing && checkpoint.KeyOrder(e.Key) >= checkpoint.KeyOrder(c.spool[run].Key) {
			c.w.tell("%s spools %s", c.name, e.Key)
			c.spool[run] = e
		}
		done(d)
	}
}

// drop forgets what is durable.
func (s spool) drop(e DropCheckpoints) {
	if checkpoint.KeyOrder(s[e.Run].Key) <= checkpoint.KeyOrder(e.Pointer) {
		delete(s, e.Run)
	}
}

// load is what a driver with a spool does for LoadCheckpoint.
func (c *coord) load(e LoadCheckpoint) Done {
	kept, ok := c.spool[e.Run]
	switch {
	case e.Spooled && ok && e.Beyond(kept.Key):
		if c.w.store.down > c.w.now || c.w.beyond(&c.proc) || c.w.odds(0.05) {
			return Done{Outcome: Failing, Text: "store unreachable"}
		}
		c.w.unspooled++
		c.w.store.land(kept.Key, kept.Data)
		return Done{Key: kept.Key, Data: kept.Data}
	case e.Pointer == "" && len(e.Rewinds) == 0:
		return Done{Outcome: Absent}
	}
	return c.w.store.load(e)
}

// The worlds of the simulation do resume from spools.
func TestSimulation_SpoolsAreUsed(t *testing.T) {
	for seed := uint64(0); seed < 400; seed += 2 {
		if simulate(seed, false).unspooled > 0 {
			return
		}
	}
	t.Error("no coordinator of 200 worlds resumed a run from its spool")
}
