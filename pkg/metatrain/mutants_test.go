package metatrain

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is one way to break the package: in a file, old becomes new.
type mutant struct{ name, file, old, new string }

// mutants each break one guarantee. The text must be found exactly once, so that the list stays true.
var mutants = []mutant{
	{"rebuilt at the highest step, of before a rewind", "rebuild.go",
		"cmp.Compare(c.Rewinds, best.Rewinds), cmp.Compare(c.Step, best.Step)", "cmp.Compare(c.Step, best.Step)"},
	{"a coordinator leads by the etcd that was given up", "epoch.go",
		"case e.Epoch < store:", "case false:"},
	{"two clusters on one store", "cluster.go",
		"case stored != nil && ours.ID != theirs.ID:", "case false:"},
	{"sum in order of arrival", "tree.go",
		"for root := RootLevel(t.n); d.Level < root;", "lo, hi := d.Span(t.n)\n\tcount, sums := Node{-1, 0}, Node{-1, 1}\n\tcovered := t.held[count].Tasks + hi - lo\n\tt.held[count] = Partial{Tasks: covered}\n\tp = Join(t.held[sums], p)\n\tt.held[sums] = p\n\treturn p, covered == t.n\n\tfor root := RootLevel(t.n); d.Level < root;"},
	{"lone child doubled", "tree.go",
		"continue // a lone child passes unchanged", "p = Join(p, Partial{Vec: append([]float32{}, p.Vec...), Metrics: append([]float64{}, p.Metrics...), Tasks: p.Tasks}); continue"},
	{"no dedupe", "result.go",
		"case sh.done:", "case false:"},
	{"results for another theta count", "result.go",
		"if res.Work != work ||", "if work.Theta = res.Work.Theta; res.Work != work ||"},
	{"results for another step count", "result.go",
		"if res.Work != work ||", "if work.Step, work.Theta = res.Work.Step, res.Work.Theta; res.Work != work ||"},
	{"results under other decisions count", "result.go",
		"if res.Work != work ||", "if work.Decisions = res.Work.Decisions; res.Work != work ||"},
	{"NaN taken in", "frame.go",
		"if i := infinite(out); i >= 0 {", "if i := 0; false {"},
	{"digest of the payload not checked", "result.go",
		"d != res.SHA256", "false && d != res.SHA256"},
	{"number of tasks not checked", "result.go",
		"res.Tasks != want {", "false && res.Tasks != want {"},
	{"skipped tasks count as present", "phase.go",
		"if t >= lo && t < hi {", "if t >= lo && t < hi && false {"},
	{"mean over all tasks, skipped ones too", "result.go",
		"s.update(&r.spec, sum.Vec, sum.Tasks)", "s.update(&r.spec, sum.Vec, r.spec.MetaBatch)"},
	{"no new lease after a worker died", "ledger.go",
		"if m.clock.Mono-max(w.seen, l.granted) > 3*m.cfg.BeatMS {", "if false {"},
	{"results count while a decision is being recorded", "result.go",
		"case p.deciding:", "case false:"},
	{"decision counts before it is recorded", "fault.go",
		"p.deciding = true\n", "r.decisions.val.Skips = append(r.decisions.val.Skips, Skip{Track: f.Work.Track, Step: f.Work.Step, Kind: f.Work.Kind, Task: f.Task}); m.advance(r); return\n"},
	{"one failure is enough to skip", "fault.go",
		"if m.alike(r, sh, l.worker, f.Digest) {", "if true {"},
	{"two lives of a process are two workers, though there is another", "fault.go",
		"(f.process != w.process || !m.others(r, sh, w))", "true"},
	{"a process that failed is asked again before another", "fault.go",
		"sh.failedBy(w.process) && m.others(r, sh, w)", "false"},
	{"of a lone worker no second life counts", "fault.go",
		"itself || sh.failedBy(w.process) && m.others(r, sh, w)", "itself || sh.failedBy(w.process)"},
	{"decisions not compared", "commit.go",
		"{decisionsKey(r.id), r.decisions.rev},", ""},
	{"pointer not compared", "commit.go",
		"{pointerKey(r.id), r.pointer.rev},", ""},
	{"status not compared: cancelled comes back", "commit.go",
		"{statusKey(r.id), r.status.rev},", ""},
	{"any state follows any", "record.go",
		"case Paused, Failed:\n\t\treturn next == Active || next == Cancelled\n\t}\n\treturn false", "case Paused, Failed:\n\t\treturn next == Active || next == Cancelled\n\t}\n\treturn true"},
	{"pointer may go back", "save.go",
		"r.pointer.val.Key != \"\" && r.pointer.val.Step >= s.step", "false"},
	{"pointer moves before the object is durable", "save.go",
		"m.put(s.key, s.data, func(d Done) {\n", "m.point(r, s)\n\tm.put(s.key, s.data, func(d Done) {\n\t\treturn\n"},
	{"pointer moves though the store failed", "save.go",
		"if d.Outcome != OK { // the driver", "if false { // the driver"},
	{"a waiting save shares memory with training", "save.go",
		"r.nextSave = nil\n", "r.nextSave = nil\n\t\tc, _ := encodeState(&r.spec, r.digest, r.decisions.val.before(&r.state), &r.state)\n\t\tnext.data, _, _ = c.Encode()\n"},
	{"best model shares memory with training", "state.go",
		"slices.Clone(s.Theta), value", "slices.Clip(s.Theta), value"},
	{"validated not reset", "state.go",
		"s.Step++\n\ts.Validated = false", "s.Step++"},
	{"statistics go through the optimizer", "state.go",
		"spec.Optimizer.Settle(tracked, s.Theta, sum)", "_ = tracked"},
	{"statistics settled, and stepped on", "statistics.go",
		"\t\t\tgrad[i] = 0\n", ""},
	{"everything is a statistic", "statistics.go",
		"s.tracked, s.decoded = Tracked(views), s.Layout", "s.tracked = views"},
	{"moments not restored", "state.go",
		`M: byName["m"], V: byName["v"]}`, `M: make([]float32, len(s.Theta)), V: make([]float32, len(s.Theta))}`},
	{"best model not restored", "state.go",
		`s.Theta, s.Best = byName["theta"], byName["best"]`, `s.Theta = byName["theta"]`},
	{"a tie takes the later model", "state.go",
		"if s.Best == nil || value < s.BestScore {", "if s.Best == nil || value <= s.BestScore {"},
	{"checkpoint of other decisions resumed", "run.go",
		"!r.decisions.val.before(&r.state).sameSkips(ckpt.Meta[metaDecisions])", "false"},
	{"manifest before its files", "publish.go",
		"var put func(i int)\n", "entries[0], entries[len(entries)-1] = entries[len(entries)-1], entries[0]\n\tvar put func(i int)\n"},
	{"finished though the store failed", "publish.go",
		"if d.Outcome != OK {\n", "if false {\n"},
	{"a stopped run gets a number", "publish.go",
		"if r.life != life {\n\t\t\treturn Txn{}, false //", "if r.life != life && false {\n\t\t\treturn Txn{}, false //"},
	{"every leader takes a new number", "publish.go",
		"if v := c.val.of(r.id); v != nil && v.N != taken && v.Content == content {", "if v := c.val.of(r.id); v != nil && false {"},
	{"a publication outlives its run's life", "publish.go",
		"if r.life != life {\n\t\t\treturn //", "if r.life != life && false {\n\t\t\treturn //"},
	{"retention takes what a newer pointer names", "event.go",
		"return checkpoint.KeyOrder(o.Key) > checkpoint.KeyOrder(d.Pointer)", "return o.Key == \"\""},
	{"window ignored", "result.go",
		"case m.full(r.phase, sh) && (m.leaseOf(res) == nil || !m.makeRoom(r, sh)):", "case false:"},
	{"window ignored by announcements", "transfer.go",
		"return held && m.makeRoom(r, sh) || !held && len(sh.leases) == 0 && !m.full(r.phase, sh)", "return held || len(sh.leases) == 0"},
	{"what is on its way takes no room", "result.go",
		"(p.tree.Held()+len(p.transfers))", "p.tree.Held()"},
	{"room goes to who asked last", "transfer.go",
		"slices.Insert(p.parked, i, ", "slices.Insert(p.parked, 0*i, "},
	{"room that was made is given to nobody", "transfer.go",
		"if !m.room {", "if true {"},
	{"a transfer of the silent keeps its room", "transfer.go",
		"if m.clock.Mono-t.seen > idleTransfer {", "if t == nil {"},
	{"who holds no lease keeps who does waiting", "transfer.go",
		"case !held || m.leased(t):", "case true:"},
	{"who holds no lease keeps its room", "transfer.go",
		"if i > highest && !m.leased(t) {", "if i > highest && !m.leased(t) && i < 0 {"},
	{"what is announced takes the place of a lease", "transfer.go",
		"!held && len(sh.leases) == 0 && ", "!held && "},
	{"chunks that bring nothing keep a transfer", "transfer.go",
		"t.got > before {", "t.got >= before {"},
	{"an announcement of nobody's holds off copies", "transfer.go",
		" && m.leaseOf(a.res) != nil })", " })"},
	{"another's announcement takes the place of one that waits", "transfer.go",
		" && (m.leaseOf(res) != nil || m.leaseOf(a.res) == nil)", ""},
	{"chunks are taken in order of arrival", "transfer.go",
		"copy(t.data[at:], chunk)", "copy(t.data[t.got:], chunk)"},
	{"a copy's chunks mix with the first's", "transfer.go",
		"case t.worker == res.Worker && t.sha256 == res.SHA256 && t.total == res.Total && ", "case t.total == res.Total && "},
	{"an announcement outlives its work", "phase.go",
		"m.dropOffers(r.phase)\n", "\n"},
	{"the operator says what is rounded", "phase.go",
		"if kind == Train && r.spec.rounds() {", "if false {"},
	{"ties are rounded up", "bf16.go",
		"(u + 0x7fff + u>>16&1)", "(u + 0x8000)"},
	{"fetches that wait for an address are not answered", "reference.go",
		"m.reply(req, Chunk{Term: m.term, Absent: true})", "_ = req"},
	{"parameters in the store stay", "reference.go",
		"m.emit(DropThetas{Run: r.id, Keep:", "_ = (DropThetas{Run: r.id, Keep:"},
	{"what waits for room is computed again", "pace.go",
		"m.announced(p, i) || ", ""},
	{"no room for the lowest shard", "result.go",
		"&& p.lowest() != sh", ""},
	{"a transaction of unknown outcome is waited out under the same term", "commit.go",
		"d.Outcome != Conflict)", "false)"},
	{"a conflict is taken for success", "commit.go",
		"if d.Outcome != OK {\n", "if d.Outcome != OK && d.Outcome != Conflict {\n"},
	{"a deposed leader's transaction has effect", "sim_etcd_test.go",
		"if e.leader == nil || e.created != term.Revision || e.expires <= e.w.now {\n\t\treturn Done", "if false {\n\t\treturn Done"},
	{"workers obey an older leader", "message.go",
		"return t.Epoch < o.Epoch || t.Epoch == o.Epoch && t.Revision < o.Revision", "return o.Revision < t.Revision"},
	{"a none worker's result accepted by a contract run", "result.go",
		"case !r.allows(m.workers[res.Worker], res):", "case false:"},
	{"a none worker's word in its hello does not count", "outside.go",
		"&& (w == nil || w.bits != BitsNone)", ""},
	{"a none worker leased a contract run's work", "outside.go",
		"if w.bits == BitsNone && !r.spec.OutsideG1() {", "if false {"},
	{"work leased to who does not know it", "ledger.go",
		` || r.unfit(r.phase, p.worker) != ""`, ""},
	{"work goes again to who is unable", "outside.go",
		"delete(r.phase.unfit, w)", ""},
	{"unlike bits taken for the same", "result.go",
		`case sh.done && sh.mark != "" && sh.mark != res.mark():`, "case false:"},
	{"unlike results not recorded", "result.go",
		"s.Results = r.phase.chain(s.Results)", "s.Results = r.phase.chain(\"\")"},
	{"a version's number has two contents", "publish.go",
		"&& v.Content == content", ""},
	{"a file of a version that is torn fails the run", "publish.go",
		"if d.Outcome == Conflict {", "if d.Outcome == Conflict {\n\t\t\t\tm.end(r, Failed, d.Text); return\n\t\t\t}\n\t\t\tif false {"},
	{"a poll is passed over once its worker is idle again", "poll.go",
		"case before > 0 && after == 0:", "case false:"},
	{"the ledger loses count of what nobody does", "phase.go",
		"if !sh.done && len(sh.leases) == 0 {\n\t\tp.open++", "if false {\n\t\tp.open++"},
	{"memory of a sum that goes on is given to the next result", "tree.go",
		"t.spare(right.Vec)", "t.spare(left.Vec)"},
	{"a process is asked to check on itself", "audit.go",
		"&& !a.knows(w.process)", ""},
	{"who was not asked has a word in audits", "audit.go",
		"\tl := m.leaseOf(res)\n", "\tl := m.leaseOf(res)\n\tfor _, a := range r.audits {\n\t\tif l == nil && a.again.work == res.Work && !a.knows(m.sender(res)) {\n\t\t\ta.votes = append(a.votes, vote{m.sender(res), res.Worker, res.mark()})\n\t\t\tm.tally(r, a)\n\t\t\treturn ResultReply{Term: m.term, Verdict: Accepted}, true\n\t\t}\n\t}\n"},
	{"a process lends its lease to the name of another", "result.go",
		" || res.Process != \"\" && processOf(res.Process, res.Worker) != l.worker.process", ""},
	{"what is audited can be foretold", "audit.go",
		"hmac.New(sha256.New, m.cfg.AuditSecret)", "hmac.New(sha256.New, nil)"},
	{"of two that disagree the first is believed", "audit.go",
		"if seen[v.mark] {", "if seen[v.mark] || len(seen) > 0 {"},
	{"steps go on while two disagree", "audit.go",
		"if r.accusing || r.unlike > 0 {", "if false {"},
	{"parameters are kept for any number of audits", "audit.go",
		"return behind >= maxBehind ||", "return false &&"},
	{"what rests on an open audit is made durable", "audit.go",
		"return a.bound < step", "return false"},
	{"what rests on an open audit is published", "run.go",
		"if r.over = len(r.audits) > 0; r.over {", "if r.over = false; r.over {"},
	{"theta_0 counts as of the step after it", "audit.go",
		"bound-- //", "//"},
	{"a quarantine counts before it is recorded", "quarantine.go",
		"\tr.accusing = true\n", "\tfor _, v := range liars {\n\t\tm.quarantine.val.Processes = append(m.quarantine.val.Processes, Quarantined{Process: v.process, Worker: v.worker, Run: r.id})\n\t}\n\tm.expel()\n\treturn\n"},
	{"results of a process in quarantine count", "audit.go",
		"if why := m.turnAway(res); why != \"\" {", "if why := m.turnAway(res); why == \"?\" {"},
	{"a process in quarantine gets work", "ledger.go",
		"q != nil {\n\t\tm.reply(req, LeaseReply{Term: m.term, Refused: q.String()})", "q != nil && q.N < 0 {\n\t\tm.reply(req, LeaseReply{Term: m.term, Refused: q.String()})"},
	{"a process in quarantine keeps its leases", "quarantine.go",
		"if m.quarantine.val.of(w.process) == nil {\n\t\t\tcontinue", "if true {\n\t\t\tcontinue"},
	{"nothing is undone of who is found out", "rewind.go",
		"if len(who) == 0 || !r.active() {", "if true {"},
	{"the next leader does not ask who contributed", "run.go",
		"if m.purge(r) {", "if false {"},
	{"undone back to the last contribution alone", "rewind.go",
		"if _, known := s.Makers[process]; known {\n\t\treturn", "if _, known := s.Makers[process]; known {\n\t\ts.Makers[process] = bound\n\t\treturn"},
	{"checkpoints do not tell who contributed", "state.go",
		"`json:\"makers,omitempty\"`", "`json:\"-\"`"},
	{"a tainted checkpoint is resumed", "rewind.go",
		"step > d.Before {", "false {"},
	{"a save of before a rewind moves the pointer", "save.go",
		"s.rewinds != r.rewinds() || ", ""},
	{"after a rewind the pointer keeps its number", "save.go",
		"next := PointerRecord{Rewinds: s.rewinds, ", "next := PointerRecord{"},
	{"after a rewind nothing is put until it is due", "run.go",
		"m.saveIf(r, r.afresh() && !beyond && r.state.Theta != nil)", "m.saveIf(r, false)"},
	{"what was decided after the step gone back to stands", "rewind.go",
		".Global(spec) >= step", ".Global(spec) > 1<<40"},
	{"a skip forgets the rewinds", "fault.go",
		"\t\tnext = r.decisions.val\n", ""},
	{"a run ends though it is to go back", "publish.go",
		"if r.life != life || r.accusing {", "if r.life != life {"},
	{"audits of results of any bits", "spec.go",
		"case s.Audit > 0 && s.OutsideG1():", "case false:"},
	{"hellos are kept at any length", "hello.go",
		"if found <= most {", "if true {"},
	{"workers without number", "ledger.go",
		"w == nil && len(m.workers) >= maxKnown", "false"},
	{"an answer is longer than a frame", "control.go",
		"if left -= workers[i].room(); left < 0 {", "if false {"},
	{"a worker is forgotten at the end of its wait", "poll.go",
		"p.worker.answered = m.clock.Mono\n", "\n"},
	{"another's word that a worker leaves stands", "ledger.go",
		"if h.Seq > w.hello.Seq {", "if false {"},
	{"long work is taken from who is at it", "ledger.go",
		" && !l.patient() {", " {"},
	{"no lease ends by its deadline", "ledger.go",
		"return l.run.micros[l.Work.Kind] == 0 && l.phase.audit == nil", "return true"},
	{"nobody else is asked where nothing is known of how long it takes", "pace.go",
		"return l.deadline\n", "return 1 << 60\n"},
	{"nobody looks for late shards", "poll.go",
		"p.open > 0 || m.polls.idle > 0 && m.searches(r)", "p.open > 0"},
	{"a worker that leaves is granted more", "outside.go",
		"if w.leaving {", "if false {"},
	{"what a leaving worker hands back waits for its silence", "ledger.go",
		"(w.leaving || m.clock.Mono-l.granted > 2*m.cfg.BeatMS)", "m.clock.Mono-l.granted > 2*m.cfg.BeatMS"},
	{"weights count for nothing", "share.go",
		"r.used += micros / float64(r.weight())", "r.used += micros"},
	{"work of any class of worker", "outside.go",
		"class != \"\" && class != w.class", "false"},
	{"a pause makes room for one run more than the quota", "run.go",
		` || state == Active && m.quota(next.User, r.id) != ""`, ""},
	{"shards are late by their peers' pace alone", "pace.go",
		"own == 0 {", "true {"},
	{"copies wait for three times the usual", "pace.go",
		"overdue = 1.25", "overdue = 3.0"},
	{"copies without end", "pace.go",
		"m.barred(r, sh, w) || len(sh.leases) != 1 {", "m.barred(r, sh, w) || len(sh.leases) == 0 {"},
	{"an outage of the store has no limit", "save.go",
		"m.clock.Mono-r.unsaved > m.cfg.MaxStoreOutageMS", "false"},
	{"a state that could not be put is not tried again", "save.go",
		"r.saving, r.nextSave, r.saveAt = false, s, m.clock.Mono+saveAgain", "r.saving = false"},
	{"an outage is thought over while a newer state waits", "save.go",
		"if r.unsaved = 0; r.nextSave != nil && ", "if r.unsaved = 0; false && "},
	{"a spooled state of other decisions costs what is durable", "run.go",
		"if spooled && beyond {", "if false {"},
	{"a state resumed from the spool is not made durable", "run.go",
		"} else if beyond {", "} else if false {"},
	{"the spool is not asked where nothing is durable", "run.go",
		"r.pointer.rev == 0 && !m.cfg.Spools", "r.pointer.rev == 0"},
	{"a load that failed is not tried again", "run.go",
		"if r.retry != 0 && m.clock.Mono >= r.retry {", "if false {"},
}

// TestMutantsAreCaught breaks the package in each of these ways and holds that its tests notice.
func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped under -short: it builds the package once for each mutant")
	}
	if os.Getenv("WARMSTART_MUTANT") != "" {
		t.Skip("a mutant's own run")
	}
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			out, err := m.run(t)
			if err == nil {
				t.Errorf("the tests do not notice: %s", m.name)
			}
			if strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") {
				t.Errorf("this mutant does not build:\n%s", out)
			}
		})
	}
}

// run tests the package with the mutant in the file's place. No file of the tree changes.
func (m mutant) run(t *testing.T) (out string, err error) {
	path, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		t.Fatalf("%s holds the text to change %d times, expected once:\n%s", m.file, n, m.old)
	}
	dir := t.TempDir()
	broken, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-failfast", "-short", ".")
	cmd.Env = append(os.Environ(), "WARMSTART_MUTANT=1", "WARMSTART_SIM_SEEDS=1000")
	data, err := cmd.CombinedOutput()
	return string(data), err
}
