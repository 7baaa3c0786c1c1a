package metatrain

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
)

// world is a whole cluster in virtual time, all chance from one seed: coordinators, workers, a client, etcd, the
// store, and a network that loses, repeats, delays and reorders. Nothing in it runs beside anything else, so that a
// seed is a story that can be told again.
type world struct {
	seed  uint64
	rng   *rand.Rand
	now   int64 // milliseconds
	queue timetable
	calm  bool // faults have ceased
	// parted: the network is in two until then.
	parted int64
	// stubborn: coordinators keep their leadership when a transaction's outcome is unknown, against the rules; only
	// what transactions compare protects the truth then.
	stubborn bool

	etcd    *simEtcd
	store   *simStore
	coords  []*coord
	workers []*simWorker
	client  *simClient
	runs    []*plan
	counted []counted
	// due counts what a scenario wants to happen next, by name.
	due map[string]int
	// unspooled counts the resumes from a spool.
	unspooled int
	sent      map[string][]byte          // results, by digest
	lied      map[string]map[string]bool // run -> processes that answered wrongly
	spoilt    map[string]bool            // processes that sent what is malformed
	rewinds   int

	telling bool
	story   []string
	err     error // the first claim broken
}

// happening is something that will happen at an instant.
type happening struct {
	at   int64
	turn uint64 // those of one instant happen in the order they were planned
	do   func()
}

type timetable struct {
	list  []happening
	turns uint64
}

func (t *timetable) Len() int      { return len(t.list) }
func (t *timetable) Swap(i, j int) { t.list[i], t.list[j] = t.list[j], t.list[i] }
func (t *timetable) Push(x any)    { t.list = append(t.list, x.(happening)) }
func (t *timetable) Less(i, j int) bool {
	a, b := &t.list[i], &t.list[j]
	return a.at < b.at || a.at == b.at && a.turn < b.turn
}
func (t *timetable) Pop() any {
	last := t.list[len(t.list)-1]
	t.list = t.list[:len(t.list)-1]
	return last
}

func (w *world) after(ms int64, do func()) {
	w.queue.turns++
	heap.Push(&w.queue, happening{w.now + ms, w.queue.turns, do})
}

// step lets the next thing happen; false when there is none or a claim broke.
func (w *world) step() bool {
	if w.queue.Len() == 0 || w.err != nil {
		return false
	}
	h := heap.Pop(&w.queue).(happening)
	w.now = max(w.now, h.at)
	h.do()
	return w.err == nil
}

func (w *world) fail(format string, a ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %.3f s: "+format, append([]any{float64(w.now) / 1000}, a...)...)
	}
}

func (w *world) tell(format string, a ...any) {
	if w.telling {
		w.story = append(w.story, fmt.Sprintf("%9.3f  ", float64(w.now)/1000)+fmt.Sprintf(format, a...))
	}
}

// befalls is odds for what scenarios name: there it is true as often as one of them says "next".
func (w *world) befalls(what string, p float64) bool {
	if w.due[what] > 0 {
		w.due[what]--
		w.tell("# %s", what)
		return true
	}
	return w.odds(p)
}

// odds is true with probability p while faults last.
func (w *world) odds(p float64) bool { return w.rng.Float64() < p && !w.calm }

func (w *world) upTo(n int64) int64 { return w.rng.Int64N(n + 1) }

// proc is a process: it may be killed, begin another life, be stopped and woken, and be cut off the network.
type proc struct {
	w    *world
	name string
	life int
	up   bool
	wake int64 // stopped until then
	cut  int64 // off the network until then
	far  bool  // on the far side of a parted network
}

// do runs f in this process, if it still is in the life that f belongs to, once it is awake.
func (p *proc) do(life int, f func()) {
	switch {
	case !p.up || p.life != life:
	case p.wake > p.w.now:
		p.w.after(p.wake-p.w.now, func() { p.do(life, f) })
	default:
		f()
	}
}

func (p *proc) after(ms int64, f func()) {
	life := p.life
	p.w.after(ms, func() { p.do(life, f) })
}

func (p *proc) kill() {
	p.w.tell("%s dies", p.name)
	p.up = false
	p.life++
}

// send carries a message, at most twice, at least never.
func (w *world) send(from, to *proc, f func()) {
	copies := 1
	switch {
	case w.odds(0.02):
		copies = 0
	case w.odds(0.03):
		copies = 2
	}
	for range copies {
		delay := 1 + w.upTo(8)
		if w.odds(0.03) {
			delay += w.upTo(3000)
		}
		w.after(delay, func() {
			if max(from.cut, to.cut) <= w.now && w.beyond(from) == w.beyond(to) && to.up {
				to.do(to.life, f)
			}
		})
	}
}

// ask sends a request; got hears the first answer, lost that none came in time or nobody serves.
func (w *world) ask(from, to *proc, timeout int64, serve func(reply func(msg any, payload []byte)), got func(msg any, payload []byte), lost func()) {
	settled := false
	settle := func(f func()) {
		if !settled {
			settled = true
			f()
		}
	}
	life := from.life
	w.send(from, to, func() {
		serve(func(msg any, payload []byte) {
			w.send(to, from, func() {
				if from.life != life {
					return
				}
				if msg == nil {
					settle(lost)
					return
				}
				settle(func() { got(msg, payload) })
			})
		})
	})
	from.after(timeout, func() { settle(lost) })
}
