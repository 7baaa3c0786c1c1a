package metatrain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Config holds what a leader is told by its operator. The zero value is filled by NewMachine.
type Config struct {
	// Window bounds the bytes of partial sums held for one run (G6). Default 256 MiB.
	Window int
	// ShardTasks fixes the tasks of a shard (rounded down to a power of two); 0 sizes them from observed durations.
	// It never changes bits.
	ShardTasks int
	// BeatMS is how often workers that hold leases beat; three missed free their leases. Default 500.
	BeatMS int64
	// FirstDeadlineMS is the deadline of a lease before any duration was observed. Default 120 s.
	FirstDeadlineMS int64
	// MaxStoreOutageMS bounds how far a run trains on while its state cannot be made durable: from then on its work is
	// granted to nobody until the store takes it. Default 10 minutes.
	MaxStoreOutageMS int64
	// Spools: the driver keeps states that the store does not take on its machine's disk, from where a run resumes with
	// less to compute again.
	Spools bool
	// MaxRunsPerUser bounds the active runs of one user, as Submit names them; 0 = as many as they like.
	MaxRunsPerUser int
	// ShareBytes is how many bytes parameters must have for workers to read them from the store; smaller ones are broadcast.
	// 0: all are.
	ShareBytes int
	// AuditSecret is the key by which the leader chooses what is audited: 32 bytes of chance that no worker, spec or seed
	// tells. Runs whose spec says audit need it.
	AuditSecret []byte
	// AfterID is LastID of the machine this one replaces under the same term.
	AfterID uint64
}

func (c Config) withDefaults() Config {
	c.Window = cmp.Or(c.Window, 256<<20)
	c.BeatMS = cmp.Or(c.BeatMS, 500)
	c.MaxStoreOutageMS = cmp.Or(c.MaxStoreOutageMS, 600_000)
	c.FirstDeadlineMS = cmp.Or(c.FirstDeadlineMS, 120_000)
	return c
}

// Machine is the outer loop of all runs under one leadership: events in, effects out. It does no I/O, reads no clock
// and starts no goroutine; one goroutine owns it. See doc.go for the caller's duties.
type Machine struct {
	cfg     Config
	term    Term
	clock   Clock
	effects []Effect
	lastID  uint64
	waiting map[uint64]func(Done)

	runs     map[string]*run
	order    []string // run ids, who gets the next lease first
	served   float64  // of the run that got the last lease: what it had used
	versions map[string]*cell[VersionsRecord]
	// quarantine is who is found out; turned counts the results they were refused since, by process.
	quarantine cell[QuarantineRecord]
	turned     map[string]int64
	workers    map[string]*worker
	polls      polls
	leases     map[uint64]*lease
	// queue holds transactions: one at a time, so that each expects the revisions that the one before left.
	queue      []func()
	committing bool
	open       map[uint64]bool // requests of people not answered yet
	room       bool            // some was made for results that wait
	stopped    bool            // reload or deposition asked for: nothing has effect any more
}

// NewMachine starts a leadership from the truth it read after winning: all keys of the cluster.
func NewMachine(cfg Config, term Term, clock Clock, truth []KV) (*Machine, []Effect, error) {
	m := &Machine{
		cfg: cfg.withDefaults(), term: term, clock: clock,
		waiting: map[uint64]func(Done){}, runs: map[string]*run{}, versions: map[string]*cell[VersionsRecord]{},
		turned: map[string]int64{}, workers: map[string]*worker{}, leases: map[uint64]*lease{}, open: map[uint64]bool{},
	}
	// Ids carry the term, so that what belongs to an older leader's lease is never mistaken for one of ours.
	m.lastID = max(uint64(term.Revision)<<32, cfg.AfterID)
	for _, kv := range truth {
		if err := m.read(kv); err != nil {
			return nil, nil, err
		}
	}
	for id, r := range m.runs {
		if r.broken == nil && (r.specRev == 0 || r.status.rev == 0) {
			delete(m.runs, id) // creation is one transaction: this is no run of ours
			continue
		}
		if r.broken == nil {
			m.order = append(m.order, id)
		}
	}
	slices.Sort(m.order)
	if m.cfg.ShareBytes > 0 { // a leader before may have died on the way to it
		m.emit(DropThetas{Keep: slices.DeleteFunc(slices.Clone(m.order), func(id string) bool { return !m.runs[id].active() })})
	}
	for _, id := range m.order {
		if r := m.runs[id]; r.active() {
			m.load(r)
		}
	}
	return m, m.take(), nil
}

// Resumable says that a run may go on, now or when somebody resumes it: a state kept of it may be of use.
func (m *Machine) Resumable(run string) bool {
	r := m.runs[run]
	return r != nil && (r.broken != nil || r.active() || r.status.val.State.may(Active))
}

func (m *Machine) read(kv KV) error {
	parts := strings.Split(kv.Key, "/")
	switch {
	case len(parts) == 3 && parts[0] == "runs":
		r := m.runs[parts[1]]
		if r == nil {
			r = &run{id: parts[1]}
			m.runs[parts[1]] = r
		}
		if err := r.read(kv, parts[2]); err != nil {
			r.broken = err // what one run's keys hold must not stop the others
		}
		return nil
	case kv.Key == quarantineKey:
		return m.quarantine.load(kv)
	case len(parts) == 3 && parts[0] == "models" && parts[2] == "versions":
		c := &cell[VersionsRecord]{}
		m.versions[parts[1]] = c
		return c.load(kv)
	}
	return nil // the leader key and what later versions keep here
}

// Step takes one event in and gives the effects to carry out, in order.
func (m *Machine) Step(clock Clock, ev Event) []Effect {
	m.clock = clock
	if m.stopped {
		return nil
	}
	switch ev := ev.(type) {
	case Tick:
		m.tick()
	case Asked:
		m.asked(ev)
	case Done:
		if then := m.waiting[ev.ID]; then != nil {
			delete(m.waiting, ev.ID)
			then(ev)
		}
	default:
		panic(fmt.Sprintf("metatrain: unknown event %T", ev))
	}
	if !m.stopped {
		m.admitAll()
		m.grant()
	}
	return m.take()
}

func (m *Machine) asked(a Asked) {
	switch msg := a.Msg.(type) {
	case Hello:
		m.hello(a.Req, msg)
	case Beat:
		m.reply(a.Req, Ack{Term: m.term, Drop: m.beat(msg)})
	case Result:
		m.offered(a.Req, msg, a.Payload)
	case Failure:
		m.failure(msg)
		m.reply(a.Req, Ack{Term: m.term})
	case Fetch:
		m.fetch(a.Req, msg)
	case Submit:
		m.open[a.Req] = true
		m.submit(a.Req, msg, a.Payload)
	case Control:
		m.open[a.Req] = true
		m.control(a.Req, msg)
	case Question:
		m.question(a.Req, msg)
	default:
		panic(fmt.Sprintf("metatrain: unknown request %T", msg))
	}
}

func (m *Machine) take() []Effect {
	out := m.effects
	m.effects = nil
	return out
}

func (m *Machine) emit(e Effect) { m.effects = append(m.effects, e) }

func (m *Machine) reply(req uint64, msg any) {
	delete(m.open, req)
	m.emit(Reply{Req: req, Msg: msg})
}

func (m *Machine) nextID() uint64 {
	m.lastID++
	return m.lastID
}

// put writes an object; then runs when it is durable or failing.
func (m *Machine) put(key string, data []byte, then func(Done)) {
	id := m.nextID()
	m.waiting[id] = then
	m.emit(PutObject{ID: id, Key: key, Data: data})
}

// tick frees what silent or late workers hold, ends polls that waited long enough, and looks for runs that stall.
func (m *Machine) tick() {
	m.expirePolls()
	m.expireWorkers()
	m.expireLeases()
	for _, id := range m.order {
		if r := m.runs[id]; r.phase != nil {
			m.expireTransfers(r)
		}
		m.watch(m.runs[id])
	}
}

// LastID is the highest id given out so far.
func (m *Machine) LastID() uint64 { return m.lastID }

// Stopped says whether the machine asked to be replaced.
func (m *Machine) Stopped() bool { return m.stopped }
