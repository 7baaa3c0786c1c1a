package metatrain

// quick is a header that reads itself: those of the messages that a thousand workers send each second. It takes what our
// own encoder writes; anything else, well-formed or not, it leaves to encoding/json, and the header as it was. So both
// give the same wherever this one gives anything (FuzzQuickHeaders).
type quick interface{ quick(s *scanner) }

// readQuick reads a header at several times the speed of encoding/json; false: that must do it.
func readQuick[T any, P interface {
	*T
	quick
}](data []byte, into P) bool {
	s := scanner{rest: data}
	var fresh T
	P(&fresh).quick(&s)
	if s.odd || len(s.rest) > 0 {
		return false
	}
	*into = fresh
	return true
}

// decodeQuick is readQuick for those headers that have it.
func decodeQuick(data []byte, header any) bool {
	switch h := header.(type) {
	case *Hello:
		return readQuick(data, h)
	case *Beat:
		return readQuick(data, h)
	case *Result:
		return readQuick(data, h)
	case *LeaseReply:
		return readQuick(data, h)
	}
	return false
}

func (h *Hello) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "worker":
			h.Worker = s.text()
			return 0
		case "host":
			h.Host = s.text()
			return 1
		case "process":
			h.Process = s.text()
			return 14
		case "protocol":
			h.Protocol = s.int()
			return 2
		case "contract":
			h.Contract = s.text()
			return 3
		case "bits":
			h.Bits = s.text()
			return 4
		case "skills":
			h.Skills.quick(s)
			return 5
		case "class":
			h.Class = s.text()
			return 6
		case "engine":
			h.Engine = s.text()
			return 7
		case "memory":
			h.Memory = s.int64()
			return 11
		case "slots":
			h.Slots = s.int()
			return 12
		case "release":
			h.Release = s.text()
			return 13
		case "holding":
			h.Holding = listOf(s, s.unsigned)
			return 8
		case "seq":
			h.Seq = s.unsigned()
			return 9
		case "wait_ms":
			h.WaitMS = s.int64()
			return 10
		}
		return -1
	})
}

func (k *Skills) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "kinds":
			k.Kinds = listOf(s, func() Kind { return Kind(s.text()) })
			return 0
		case "families":
			k.Families = listOf(s, s.text)
			return 1
		case "models":
			k.Models = listOf(s, s.text)
			return 2
		case "learners":
			k.Learners = listOf(s, s.text)
			return 3
		case "engines":
			k.Engines = listOf(s, s.text)
			return 4
		}
		return -1
	})
}

func (b *Beat) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "worker":
			b.Worker = s.text()
			return 0
		case "leases":
			b.Leases = listOf(s, s.unsigned)
			return 1
		}
		return -1
	})
}

func (w *Work) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "run":
			w.Run = s.text()
			return 0
		case "spec":
			w.Spec = s.text()
			return 1
		case "kind":
			w.Kind = Kind(s.text())
			return 2
		case "track":
			w.Track = s.int()
			return 3
		case "step":
			w.Step = s.int64()
			return 4
		case "theta":
			w.Theta = s.text()
			return 5
		case "decisions":
			w.Decisions = s.text()
			return 6
		case "node":
			w.Node.quick(s)
			return 7
		}
		return -1
	})
}

func (d *Node) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "l":
			d.Level = s.int()
			return 0
		case "i":
			d.Index = s.int()
			return 1
		}
		return -1
	})
}

func (r *Result) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "worker":
			r.Worker = s.text()
			return 0
		case "process":
			r.Process = s.text()
			return 10
		case "lease":
			r.Lease = s.unsigned()
			return 1
		case "work":
			r.Work.quick(s)
			return 2
		case "metrics":
			r.Metrics = listOf(s, s.float)
			return 3
		case "bits":
			r.Bits = s.text()
			return 4
		case "tasks":
			r.Tasks = s.int()
			return 5
		case "micros":
			r.Micros = s.int64()
			return 6
		case "offset":
			r.Offset = s.int()
			return 7
		case "total":
			r.Total = s.int()
			return 8
		case "sha256":
			r.SHA256 = s.text()
			return 9
		}
		return -1 // a layout too: it is escaped, and comes once
	})
}

func (r *LeaseReply) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "term":
			r.Term.quick(s)
			return 0
		case "leases":
			r.Leases = listOf(s, func() (l Lease) { l.quick(s); return l })
			return 1
		}
		return -1
	})
}

func (l *Lease) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "id":
			l.ID = s.unsigned()
			return 0
		case "work":
			l.Work.quick(s)
			return 1
		case "tasks":
			l.Tasks = s.int()
			return 2
		case "deadline_ms":
			l.DeadlineMS = s.int64()
			return 3
		}
		return -1
	})
}

func (t *Term) quick(s *scanner) {
	s.object(func(key string) int {
		switch key {
		case "epoch":
			t.Epoch = s.int64()
			return 0
		case "revision":
			t.Revision = s.int64()
			return 1
		}
		return -1
	})
}
