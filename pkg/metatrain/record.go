package metatrain

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// KV is one key of the small truth (etcd), without the cluster's prefix.
type KV struct {
	Key    string
	Value  []byte
	ModRev int64
}

// Expect is a comparison of a transaction: the key's modification revision, 0 = absent.
type Expect struct {
	Key    string
	ModRev int64
}

// Put is one write of a transaction.
type Put struct {
	Key   string
	Value []byte
}

// Txn changes state whole or not at all, and only while the leader that asks still leads (G4): whoever carries it out
// adds the comparison of the leader key's create revision.
type Txn struct {
	Expect  []Expect
	Puts    []Put
	Deletes []string
}

// How a transaction may end, for those who carry it out.
var (
	ErrDeposed   = errors.New("deposed")         // another leads: no effect, now or later
	ErrConflict  = errors.New("conflict")        // an expectation does not hold: no effect
	ErrAmbiguous = errors.New("outcome unknown") // it may or may not have happened
)

// RunState is the state of a run, as people see it.
type RunState string

// The states. Cancelled and finished are final; a failed or paused run can be resumed.
const (
	Active    RunState = "active"
	Paused    RunState = "paused"
	Cancelled RunState = "cancelled"
	Failed    RunState = "failed"
	Finished  RunState = "finished"
)

// may says which states follow which, whoever asks and whatever was in flight when they asked.
func (s RunState) may(next RunState) bool {
	switch s {
	case Active:
		return next == Paused || next == Failed || next == Cancelled || next == Finished
	case Paused, Failed:
		return next == Active || next == Cancelled
	}
	return false
}

// StatusRecord is runs/<id>/status.
type StatusRecord struct {
	State   RunState `json:"state"`
	Reason  string   `json:"reason,omitempty"`
	Created int64    `json:"created"` // Unix seconds
	Ended   int64    `json:"ended,omitempty"`
	Version int      `json:"version,omitempty"` // of the published model
	// Token is that of the request which started the run.
	Token string `json:"token,omitempty"`
	User  string `json:"user,omitempty"` // that it named
	// Weight is the one last asked for, 0 where none was.
	Weight int `json:"weight,omitempty"`
}

// PointerRecord is runs/<id>/pointer: the checkpoint that is durable. Ordered by (Rewinds, Step), it only rises. Key is ""
// after a rewind, until there is one again.
type PointerRecord struct {
	Rewinds int64  `json:"rewinds"`
	Step    int64  `json:"step"` // over all tracks
	Key     string `json:"key"`
}

// Skip is a recorded decision: this task of this step is left out.
type Skip struct {
	Track  int    `json:"track"`
	Step   int64  `json:"step"`
	Kind   Kind   `json:"kind"`
	Task   int    `json:"task"`
	Reason string `json:"reason"`
}

// DecisionsRecord is runs/<id>/decisions. With seed, spec and data it determines every bit of the base model (G1).
type DecisionsRecord struct {
	Skips   []Skip   `json:"skips,omitempty"`
	Rewinds []Rewind `json:"rewinds,omitempty"`
}

// Digest is "" while nothing was decided. Reasons are for people and stay outside, and so do rewinds: bits do not depend
// on them.
func (d DecisionsRecord) Digest() string {
	if len(d.Skips) == 0 {
		return ""
	}
	var b strings.Builder
	for _, s := range d.Skips {
		fmt.Fprintf(&b, "skip %d %d %s %d\n", s.Track, s.Step, s.Kind, s.Task)
	}
	return Digest([]byte(b.String()))
}

// before gives the decisions that a state rests on: those about work it has behind it, and all rewinds so far.
func (d DecisionsRecord) before(s *State) DecisionsRecord {
	out := DecisionsRecord{Rewinds: d.Rewinds}
	for _, k := range d.Skips {
		past := k.Track < s.Track || k.Track == s.Track && k.Step < s.Step
		if past || k.Track == s.Track && k.Step == s.Step && k.Kind == Validate && s.Validated {
			out.Skips = append(out.Skips, k)
		}
	}
	return out
}

// VersionRecord allots one version of a model to a run, with the time that stands in its files.
type VersionRecord struct {
	N         int    `json:"n"`
	Run       string `json:"run"`
	Created   int64  `json:"created"` // Unix seconds
	Published bool   `json:"published"`
	// Content is the digest of the version's files, in a run outside G1: a leader that comes to others takes another
	// number, so that a number has one content.
	Content string `json:"content,omitempty"`
}

// sameSkips says that a state was made under the decisions that it rests on now. Rewinds since then do not matter.
func (d DecisionsRecord) sameSkips(made string) bool {
	var m DecisionsRecord
	return json.Unmarshal([]byte(made), &m) == nil && string(mustJSON(m.Skips)) == string(mustJSON(d.Skips))
}

// VersionsRecord is models/<name>/versions.
type VersionsRecord struct {
	Versions []VersionRecord `json:"versions"`
}

func specKey(run string) string       { return "runs/" + run + "/spec" }
func statusKey(run string) string     { return "runs/" + run + "/status" }
func pointerKey(run string) string    { return "runs/" + run + "/pointer" }
func decisionsKey(run string) string  { return "runs/" + run + "/decisions" }
func versionsKey(model string) string { return "models/" + model + "/versions" }

// SpecObject is where a run's spec lies in the store.
func SpecObject(run string) string { return "runs/" + run + "/spec.yaml" }

// DataObject is where a packed data set lies in the store.
func DataObject(digest string) string { return "tasks/" + digest + "/series.safetensors" }

// cell is a record with the revision it was read or written at.
type cell[R any] struct {
	val R
	rev int64 // 0 = absent
}

func (c *cell[R]) load(kv KV) error {
	if err := json.Unmarshal(kv.Value, &c.val); err != nil {
		return fmt.Errorf("read state %s: %w", kv.Key, err)
	}
	c.rev = kv.ModRev
	return nil
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("metatrain: marshal %T: %v", v, err))
	}
	return data
}
