package metatrain

import (
	"maps"
	"slices"
	"strings"
)

// reference is parameters that workers read from the store, by an address that holds all the access it needs (G8), so that
// the leader sends them once, however many workers there are. Who cannot reach the store has them from the leader.
type reference struct {
	url     string   // "" while they are on their way to the store
	waiting []uint64 // fetches that wait for it
}

// maxReferred bounds the fetches that wait for one reference: more are answered by the bytes.
const maxReferred = 4096

// share makes a phase's parameters available to workers: large ones in the store, others by a broadcast.
func (m *Machine) share(r *run, digest string, data []byte) {
	switch {
	case m.cfg.ShareBytes == 0 || len(data) < m.cfg.ShareBytes || m.clock.Mono < r.shareAt:
		m.emit(Broadcast{Digest: digest, Data: data})
		return
	case r.refs[digest] != nil:
		return // the phase before was about the same
	}
	if r.refs == nil {
		r.refs = map[string]*reference{}
	}
	r.sharing = true
	ref, id := &reference{}, m.nextID()
	r.refs[digest] = ref
	m.waiting[id] = func(d Done) {
		if r.refs[digest] == ref {
			m.shared(r, digest, data, d)
		}
	}
	m.emit(Share{ID: id, Key: ThetaObject(r.id, digest), Data: data})
}

// shareAgain is how long, in milliseconds, no more parameters are put into a store that did not take some.
const shareAgain = 60_000

// shared answers those who waited for a reference, and has the objects deleted that are no longer referred to.
func (m *Machine) shared(r *run, digest string, data []byte, d Done) {
	ref := r.refs[digest]
	if d.Outcome != OK {
		delete(r.refs, digest)
		r.shareAt = m.clock.Mono + shareAgain
		m.emit(Broadcast{Digest: digest, Data: data})
	}
	ref.url = d.Key
	for _, req := range ref.waiting {
		if d.Outcome != OK {
			m.chunk(req, data, 0)
		} else {
			m.refer(req, ref, len(data))
		}
	}
	if ref.waiting = nil; d.Outcome == OK {
		m.emit(DropThetas{Run: r.id, Keep: slices.Sorted(maps.Keys(r.refs))})
	}
}

func (m *Machine) refer(req uint64, ref *reference, total int) {
	m.reply(req, Chunk{Term: m.term, Total: total, URL: ref.url})
}

// serve answers a fetch of parameters.
func (m *Machine) serve(r *run, req uint64, f Fetch, data []byte) {
	ref := r.refs[f.Theta]
	switch {
	case ref == nil || !f.Ref || len(ref.waiting) >= maxReferred:
		m.chunk(req, data, f.Offset)
	case ref.url == "":
		ref.waiting = append(ref.waiting, req)
	default:
		m.refer(req, ref, len(data))
	}
}

// unrefer forgets the references to all parameters but keep's.
func (m *Machine) unrefer(r *run, keep ...string) {
	for digest, ref := range r.refs {
		if slices.Contains(keep, digest) {
			continue
		}
		for _, req := range ref.waiting {
			m.reply(req, Chunk{Term: m.term, Absent: true})
		}
		delete(r.refs, digest)
	}
}

// Share puts parameters into the store for workers to read. It ends in a Done whose Key is the address to read them at,
// which holds all the access that takes.
type Share struct {
	ID   uint64
	Key  string
	Data []byte
}

// DropThetas deletes the parameters that Plan names: of a run, all but those of the digests Keep; where Run is "", of all
// runs but Keep.
type DropThetas struct {
	Run  string
	Keep []string
}

// Plan gives the keys to delete among those of parameters. A plan carried out late may name what is read by then: that is
// had from the leader instead.
func (d DropThetas) Plan(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		rest, ok := strings.CutPrefix(key, ThetaFolder(d.Run))
		if d.Run == "" {
			rest, _, _ = strings.Cut(rest, "/")
		}
		return !ok || slices.Contains(d.Keep, rest)
	})
}

func (Share) effect()      {}
func (DropThetas) effect() {}

const thetaFolders = "thetas/"

// ThetaFolder is the prefix of a run's parameters in the store, which live as long as the work on them; of all where run
// is "".
func ThetaFolder(run string) string {
	if run == "" {
		return thetaFolders
	}
	return thetaFolders + run + "/"
}

// ThetaObject is the key of parameters in the store.
func ThetaObject(run, digest string) string { return ThetaFolder(run) + digest }
