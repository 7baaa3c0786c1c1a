package metatrain

import (
	"fmt"
	"strings"
)

// Term is the fencing number of a leadership: Epoch rises when etcd is rebuilt, Revision is the create revision of
// the leader key.
type Term struct {
	Epoch    int64 `json:"epoch"`
	Revision int64 `json:"revision"`
}

// Less orders terms: an older leadership is less.
func (t Term) Less(o Term) bool {
	return t.Epoch < o.Epoch || t.Epoch == o.Epoch && t.Revision < o.Revision
}

func (t Term) String() string { return fmt.Sprintf("%d-%d", t.Epoch, t.Revision) }

// Kind is what a lease asks for.
type Kind string

// The kinds of work.
const (
	Init     Kind = "init"     // make theta_0 and tell the parameters' names and shapes
	Train    Kind = "train"    // sum of meta-gradients over a shard of tasks
	Validate Kind = "validate" // sums of validation metrics over a shard of tasks
	Evaluate Kind = "evaluate" // the cold-start table, one piece of work
)

// Hello is what a worker says of itself when it asks for work.
type Hello struct {
	Worker string `json:"worker"` // unique to one life of one process
	// Process names what all lives and slots of one process share, "" where it has but one. Audits never ask a process to
	// check on itself, and a quarantine is for all of it.
	Process  string `json:"process,omitempty"`
	Host     string `json:"host,omitempty"`
	Protocol int    `json:"protocol"`
	Contract string `json:"contract"`
	// Bits is what the results are computed by: Contract, which "" means too, or BitsNone, which only runs with bits: any take.
	Bits   string `json:"bits,omitempty"`
	Skills Skills `json:"skills,omitzero"`
	Class  string `json:"class,omitempty"` // cpu, gpu, or a name of its operator's; a run may ask for one
	Engine string `json:"engine,omitempty"`
	// Memory is how many bytes this slot may use, 0 = as many as there are. Slots is how many its process has, each a
	// worker of its own. Release is the build it runs. All three are for people.
	Memory  int64  `json:"memory,omitempty"`
	Slots   int    `json:"slots,omitempty"`
	Release string `json:"release,omitempty"`
	// Holding lists leases in hand: the next one is a prefetch.
	Holding []uint64 `json:"holding,omitempty"`
	// Seq counts this worker's hellos from 1, so that a repeated or overtaken one is told from the latest. 0: not counted.
	Seq uint64 `json:"seq,omitempty"`
	// WaitMS is how long the worker is ready to wait for an answer.
	WaitMS int64 `json:"wait_ms"`
}

// Work identifies one piece of work by content: what the exactly-once rule counts by (G2).
type Work struct {
	Run       string `json:"run"`
	Spec      string `json:"spec"` // digest
	Kind      Kind   `json:"kind"`
	Track     int    `json:"track"` // 0 the base model, 1 the pooled comparator
	Step      int64  `json:"step"`
	Theta     string `json:"theta,omitempty"`     // digest of theta; "" for init
	Decisions string `json:"decisions,omitempty"` // digest of the recorded decisions
	Node      Node   `json:"node"`
}

// Lease grants one piece of work until Deadline.
type Lease struct {
	ID   uint64 `json:"id"`
	Work Work   `json:"work"`
	// Tasks is the step's number of tasks, which cuts the tree.
	Tasks int `json:"tasks"`
	// Skip lists tasks of this step left out by recorded decision.
	Skip []int `json:"skip,omitempty"`
	// Pooled is the digest of the pooled model's parameters (evaluate only).
	Pooled string `json:"pooled,omitempty"`
	// DeadlineMS is how long from the grant the leader waits before it gives the work to another.
	DeadlineMS int64 `json:"deadline_ms"`
}

// LeaseReply answers a Hello. No lease: nothing to do yet, ask again.
type LeaseReply struct {
	Term   Term    `json:"term"`
	Leases []Lease `json:"leases,omitempty"`
	// Refused says why this worker gets no work at all, and the remedy.
	Refused string `json:"refused,omitempty"`
}

// Result announces finished work. Payload: the float32 vector (train, init) or the blob (evaluate), in chunks.
type Result struct {
	Worker  string `json:"worker"`
	Process string `json:"process,omitempty"` // as in the sender's Hello
	Lease   uint64 `json:"lease"`
	Work    Work   `json:"work"`
	// Metrics are sums over the shard's tasks: of the outer loss (train), or of the loss after each of
	// validation.adapt's numbers of inner steps (validate).
	Metrics []float64 `json:"metrics,omitempty"`
	Bits    string    `json:"bits,omitempty"` // as in the sender's Hello
	Tasks   int       `json:"tasks"`          // tasks that contributed
	Micros  int64     `json:"micros"`         // time spent computing
	// Layout is the JSON list of named parameter views (init only).
	Layout string `json:"layout,omitempty"`
	// Offset and Total place this chunk of the payload; SHA256 is of the whole.
	Offset int    `json:"offset,omitempty"`
	Total  int    `json:"total"`
	SHA256 string `json:"sha256"`
}

// Verdict is the leader's answer to a result.
type Verdict string

// The verdicts. A worker forgets the result after each but Hold and More.
const (
	Accepted  Verdict = "accepted"
	Duplicate Verdict = "duplicate" // counted already: bits are the same, nothing lost
	Stale     Verdict = "stale"     // for another theta, step, spec or set of decisions; or others' bits came first
	Refused   Verdict = "refused"   // malformed: NaN, length, digest
	Hold      Verdict = "hold"      // no room in the leader's window: keep it, offer it again
	More      Verdict = "more"      // chunk taken, send the next
)

// ResultReply answers a Result.
type ResultReply struct {
	Term    Term    `json:"term"`
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason,omitempty"`
	// RetryMS is when to offer a held result again.
	RetryMS int64 `json:"retry_ms,omitempty"`
	// Offset is the next byte wanted (More).
	Offset int `json:"offset,omitempty"`
}

// Failure reports work that could not be done. Digest is the SHA-256 of what failed and how, without addresses or
// times: equal digests from two workers make it the task's own fault.
type Failure struct {
	Worker string `json:"worker"`
	Lease  uint64 `json:"lease"`
	Work   Work   `json:"work"`
	// Task is the step's task at fault, -1 where it is none's.
	Task   int    `json:"task"`
	Digest string `json:"digest"`
	Text   string `json:"text"`
	// Transient failures (time-out, memory, a theta not to be had) are never held against a task.
	Transient bool `json:"transient,omitempty"`
	// Unable: this worker can do none of the run's work, because of options or a release it does not know. The work goes
	// to others, and is not at fault.
	Unable bool `json:"unable,omitempty"`
}

// Beat says that a worker lives and what it holds.
type Beat struct {
	Worker string   `json:"worker"`
	Leases []uint64 `json:"leases"`
	// Leaving: the worker goes. It is granted nothing more; a lease that is not listed goes to another at once and counts
	// against nobody; when it holds none it is forgotten.
	Leaving bool `json:"leaving,omitempty"`
}

// Ack answers a beat or a failure. Drop lists leases that are no longer wanted.
type Ack struct {
	Term Term     `json:"term"`
	Drop []uint64 `json:"drop,omitempty"`
}

// Fetch asks the leader for bytes: a theta or spec by digest, or an object of the store by key.
type Fetch struct {
	Theta  string `json:"theta,omitempty"`
	Spec   string `json:"spec,omitempty"` // run id
	Object string `json:"object,omitempty"`
	List   string `json:"list,omitempty"` // prefix: payload is the JSON list of objects
	Offset int    `json:"offset,omitempty"`
	// Ref (theta only): an address to read them at will do, where there is one.
	Ref bool `json:"ref,omitempty"`
}

// Chunk answers a Fetch; the payload holds the bytes from Offset, unless URL says where all of them are to be read.
type Chunk struct {
	Term   Term   `json:"term"`
	Total  int    `json:"total"`
	Error  string `json:"error,omitempty"`
	Absent bool   `json:"absent,omitempty"` // there is no such thing (here, or any more)
	URL    string `json:"url,omitempty"`    // where to get the whole, by HTTP
}

// Upload brings a packed data set into the store, in chunks; the answer to the last one comes when it is durable.
type Upload struct {
	Digest string `json:"digest"`
	Offset int    `json:"offset"`
	Total  int    `json:"total"`
}

// Announce names the leader: the answer to a search for it, and broadcast when a leadership begins.
type Announce struct {
	Term   Term   `json:"term"`
	Leader string `json:"leader"`
	// Cluster tells clusters apart that share a prefix by mistake; "" on one machine's embedded stack.
	Cluster string `json:"cluster,omitempty"`
}

// Theta is the header of one broadcast chunk of parameters.
type Theta struct {
	Term   Term   `json:"term"`
	Digest string `json:"digest"`
	Offset int    `json:"offset"`
	Total  int    `json:"total"`
}

// Subjects of the wire form, below the cluster's prefix.
func Subject(prefix string, parts ...string) string {
	return strings.Join(append([]string{prefix}, parts...), ".")
}

// Submit asks for a run; the payload is the encoded spec. Fresh starts another generation of a run that is there.
type Submit struct {
	Fresh bool `json:"fresh,omitempty"`
	// Token makes a fresh start happen once, however often its request arrives: up to 64 characters of the sender's choice.
	Token string `json:"token,omitempty"`
	// User is who asks, as the asker says it: NATS names nobody to who answers. Quotas count by it, so they hold among
	// people who agree on them, not against one who lies.
	User string `json:"user,omitempty"`
}

// Control changes a run: cancel, pause, resume, weight; or lifts a quarantine.
type Control struct {
	Run    string `json:"run,omitempty"`
	Action string `json:"action"`
	Weight int    `json:"weight,omitempty"` // the new one, 1 to 1,000 (weight only)
	Worker string `json:"worker,omitempty"` // lift only: the process in quarantine, or the worker that it was found out as
}

// Answer answers Submit, Control and questions about runs.
type Answer struct {
	Term    Term   `json:"term"`
	Error   string `json:"error,omitempty"`
	Run     string `json:"run,omitempty"`
	Created bool   `json:"created,omitempty"`
	// Retry: the error is the coordinator's, which starts again from its recorded state; asking again is safe.
	Retry bool `json:"retry,omitempty"`
	// Offset is the next byte of an upload wanted; Durable says that all of it is in the store.
	Offset  int            `json:"offset,omitempty"`
	Durable bool           `json:"durable,omitempty"`
	Runs    []RunStatus    `json:"runs,omitempty"`
	Workers []WorkerStatus `json:"workers,omitempty"`
	// Quarantine lists the processes whose results count nowhere.
	Quarantine []Quarantined `json:"quarantine,omitempty"`
}

// Question asks about runs: one, or all where Run is "". With Host it asks for the workers of that host alone, and for no
// runs: what a health check needs, whatever the size of the cluster.
type Question struct {
	Run  string `json:"run,omitempty"`
	Host string `json:"host,omitempty"`
}
