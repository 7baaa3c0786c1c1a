package metatrain

import (
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// part splits the cluster in two for a while. Those on the far side reach none of the others, nor etcd and the store, but
// one another.
func (w *world) part() {
	w.parted = w.now + w.upTo(2*leaseTTL)
	w.tell("the network is parted for %d ms", w.parted-w.now)
	for _, p := range w.procs() {
		if p.far = w.rng.IntN(2) == 0; p.far {
			w.tell("%s is on the far side", p.name)
		}
	}
}

func (w *world) procs() []*proc {
	all := []*proc{&w.client.proc}
	for _, c := range w.coords {
		all = append(all, &c.proc)
	}
	for _, k := range w.workers {
		all = append(all, &k.proc)
	}
	return all
}

// beyond says that p is on the far side of a parted network.
func (w *world) beyond(p *proc) bool { return p.far && w.parted > w.now }

// jump sets a coordinator's clock on the wall off, by up to two hours either way. Nothing but what people read may depend
// on it.
func (c *coord) jump() {
	c.skew = c.w.upTo(14_400) - 7200
	c.w.tell("the clock of %s is off by %d s", c.name, c.skew)
}

// tear leaves half an object behind under a key, as some servers do that are stopped in the middle of a put. Not a spec's: a run that was never begun is begun under another id.
func (s *simStore) tear(key string, data []byte) bool {
	if s.objects[key] != nil || strings.HasSuffix(key, "/spec.yaml") {
		return false
	}
	s.w.tell("half of %s is written", brief([]byte(key)))
	s.objects[key] = data[:len(data)/2]
	s.torn[key] = true
	return true
}

// heals says that drivers replace what is torn under this key, which names its bytes. Under any other whoever puts there
// is told that other bytes are there.
func heals(key string) bool {
	_, _, _, err := checkpoint.ParseCheckpointKey(key)
	return err == nil
}
