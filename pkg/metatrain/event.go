package metatrain

import (
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Clock is the time an event is seen at. The machine reads no clock of its own.
type Clock struct {
	Mono int64 // milliseconds, monotonic within a process
	Wall int64 // Unix seconds, only for records people read
}

// Event is something that happened: Tick, Asked or Done.
type Event interface{ event() }

// Tick says that time passed; the driver sends one at least every 100 ms.
type Tick struct{}

// Asked is a request that arrived: Hello, Result, Failure, Beat, Fetch, Submit, Control or Question, decoded. The
// machine answers each with one Reply, at once or later.
type Asked struct {
	Req     uint64
	Msg     any
	Payload []byte
}

// Outcome is how an effect ended.
type Outcome int

// The outcomes.
const (
	OK        Outcome = iota
	Absent            // there is no such object
	Failing           // the store did not do it within the driver's patience; it may be asked again
	Conflict          // of a Commit: a comparison failed, state is not what the machine thinks; of a Put: other bytes are there
	Ambiguous         // the transaction may or may not have happened
	Deposed           // another leads
)

// Done reports the end of the effect with this ID.
type Done struct {
	ID      uint64
	Outcome Outcome
	Rev     int64  // of a Commit
	Key     string // of a Load: the checkpoint found
	Data    []byte
	Text    string // what went wrong, or what was passed over
}

func (Tick) event()  {}
func (Asked) event() {}
func (Done) event()  {}

// Effect is something the driver is to do. Effects are carried out in order; Put, Share, Load and Commit end in a Done.
type Effect interface{ effect() }

// Reply answers the request Req.
type Reply struct {
	Req     uint64
	Msg     any
	Payload []byte
}

// PutObject writes one object. Data is the effect's own: the machine never writes to it again.
type PutObject struct {
	ID   uint64
	Key  string
	Data []byte
}

// LoadCheckpoint reads the newest whole checkpoint of a run that it Takes: the one Pointer names, if that is whole, else the
// newest that is, saying what it passed over; Absent where there never was one: Pointer is empty, and Rewinds too.
type LoadCheckpoint struct {
	ID      uint64
	Run     string
	Spec    string // digest
	Pointer string
	Rewinds []Rewind
	// Spooled: take before it a state Beyond Pointer that the spool of this driver's machine kept, and put it to the store
	// first.
	Spooled bool
}

// Commit carries out a transaction under this leadership.
type Commit struct {
	ID  uint64
	Txn Txn
}

// DropCheckpoints deletes the checkpoints that Plan names.
type DropCheckpoints struct {
	Run     string
	Keep    int
	Pointer string
}

// Plan gives the keys to delete among a run's objects: of those up to the one the pointer named when the plan was
// asked for, all but the newest Keep. Newer ones stay: the pointer only rises, so that a plan carried out late, even
// by a leader since deposed, never takes away what it names by then (G3, G4).
func (d DropCheckpoints) Plan(objects []checkpoint.Object) ([]string, error) {
	upTo := slices.DeleteFunc(slices.Clone(objects), func(o checkpoint.Object) bool {
		return checkpoint.KeyOrder(o.Key) > checkpoint.KeyOrder(d.Pointer)
	})
	return checkpoint.PlanRetention(upTo, d.Keep, d.Pointer)
}

// Broadcast makes parameters available to workers before they ask. Data is read-only.
type Broadcast struct {
	Digest string
	Data   []byte
}

// Publish tells followers how a run gets on.
type Publish struct {
	Run   string
	Event RunStatus
	// Milestone marks what no follower should miss; others may be thinned.
	Milestone bool
}

// Reload asks the driver to drop this machine and start another from the truth.
type Reload struct {
	Reason string
	// Resign: give the leadership up first, and campaign again. A transaction of unknown outcome may still be on its
	// way; under a new term it can no longer take effect behind the back of who read the truth before it.
	Resign bool
}

func (Reply) effect()           {}
func (PutObject) effect()       {}
func (LoadCheckpoint) effect()  {}
func (Commit) effect()          {}
func (DropCheckpoints) effect() {}
func (Broadcast) effect()       {}
func (Publish) effect()         {}
func (Reload) effect()          {}

// Digest is the SHA-256 of data in hex.
func Digest(data []byte) string { return checkpoint.Digest(data) }
