package metatrain

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestScenarios plays the files of testdata/scenarios: what once went wrong, or would without one mechanism, as a world
// without chance but for what the file says. Each run must end as the random worlds' must. A file has comments (#), settings
// (coordinators N, workers N, steps N, keep N, spool) and events by virtual time in milliseconds:
//
//	at 900 kill coordinator0 for 700         dies, and starts again
//	at 900 stop worker1 for 4000             is stopped, and wakes
//	at 900 cut coordinator0 for 4000         is off the network
//	at 900 part for 4000 coordinator0 ...    the network is parted; those named are on the far side
//	at 900 store for 4000                    the store is down
//	at 900 clock coordinator0 by -7200       its clock on the wall is off, in seconds
//	at 900 ask pause                         the client asks for it
//	at 900 next WHAT                         the next time that WHAT may happen, it does: see befalls
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s, err := readScenario(file)
			if err != nil {
				t.Fatal(err)
			}
			w := s.play()
			if w.err == nil {
				w.err = s.unplayed(w)
			}
			if w.err != nil {
				t.Errorf("%v\n%s", w.err, strings.Join(w.story, "\n"))
			}
		})
	}
}

// scenario is what a file says.
type scenario struct {
	settings map[string]int64
	spool    bool
	events   []scripted
}

// scripted is one event.
type scripted struct {
	line string
	at   int64
	verb string
	args []string
	ms   int64 // how long, or by how much
	done bool
}

func readScenario(file string) (*scenario, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &scenario{settings: map[string]int64{"coordinators": 2, "workers": 2, "steps": 20, "keep": 2}}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if word := strings.Fields(text); len(word) > 0 {
			if err := s.line(word, strings.TrimSpace(text)); err != nil {
				return nil, fmt.Errorf("%s:%d: %q: %w", file, n, text, err)
			}
		}
	}
	return s, lines.Err()
}

func (s *scenario) line(word []string, text string) (err error) {
	if word[0] == "spool" {
		s.spool = true
		return nil
	}
	if _, ok := s.settings[word[0]]; ok && len(word) == 2 {
		s.settings[word[0]], err = strconv.ParseInt(word[1], 10, 64)
		return err
	}
	if word[0] != "at" || len(word) < 3 {
		return fmt.Errorf("expected a setting or an event")
	}
	e := scripted{line: text, verb: word[2]}
	if e.at, err = strconv.ParseInt(word[1], 10, 64); err != nil {
		return err
	}
	for rest := word[3:]; len(rest) > 0; rest = rest[1:] {
		if (rest[0] == "for" || rest[0] == "by") && len(rest) > 1 {
			if e.ms, err = strconv.ParseInt(rest[1], 10, 64); err != nil {
				return err
			}
			rest = rest[1:]
			continue
		}
		e.args = append(e.args, rest[0])
	}
	s.events = append(s.events, e)
	return nil
}

// play lives the world of a scenario to its end.
func (s *scenario) play() *world {
	w := emptyWorld(1)
	w.calm, w.telling, w.due = true, true, map[string]int{}
	for i := range s.settings["coordinators"] {
		w.coords = append(w.coords, &coord{proc: proc{w: w, name: fmt.Sprint("coordinator", i)}, cfg: Config{Spools: s.spool}, trust: leaseTTL - 300, spool: spool{}})
	}
	for i := range s.settings["workers"] {
		w.workers = append(w.workers, &simWorker{proc: proc{w: w, name: fmt.Sprint("worker", i)}, kind: "sound", pace: 40})
	}
	p := &plan{params: 3, bad: map[string]int{}, flaky: map[string]int{}, spec: testSpec()}
	p.spec.Steps, p.spec.Checkpoint.Keep = s.settings["steps"], int(s.settings["keep"])
	p.id = p.spec.RunID(0)
	w.runs = []*plan{p}
	for i := range s.events {
		e := &s.events[i]
		w.after(e.at, func() { w.enact(e) })
	}
	w.live()
	for !w.client.over && w.step() {
		if w.now > 400_000 {
			w.fail("the run did not end")
		}
	}
	w.settle()
	return w
}

// enact lets an event of a scenario happen. One that comes after the run's end, or is about nobody, proves nothing.
func (w *world) enact(e *scripted) {
	w.tell("# %s", e.line)
	var c *coord
	var p *proc
	for _, one := range w.coords {
		if len(e.args) > 0 && one.name == e.args[0] {
			c, p = one, &one.proc
		}
	}
	var k *simWorker
	for _, one := range w.workers {
		if len(e.args) > 0 && one.name == e.args[0] {
			k, p = one, &one.proc
		}
	}
	e.done = true
	switch {
	case e.verb == "kill" && c != nil:
		p.kill()
		c.m = nil
		c.pass++
		w.after(e.ms, c.start)
	case e.verb == "kill" && k != nil:
		p.kill()
		w.after(e.ms, k.start)
	case e.verb == "stop" && p != nil:
		p.wake = w.now + e.ms
	case e.verb == "cut" && p != nil:
		p.cut = w.now + e.ms
	case e.verb == "part":
		w.parted = w.now + e.ms
		for _, one := range w.procs() {
			one.far = false
			for _, name := range e.args {
				one.far = one.far || one.name == name
			}
		}
	case e.verb == "store":
		w.store.down = w.now + e.ms
	case e.verb == "clock" && c != nil:
		c.skew = e.ms
	case e.verb == "ask" && len(e.args) == 1:
		w.client.control(w.runs[0].id, e.args[0])
	case e.verb == "next":
		w.due[strings.Join(e.args, " ")]++
	default:
		e.done = false
	}
}

// unplayed says what of a scenario did not happen.
func (s *scenario) unplayed(w *world) error {
	for _, e := range s.events {
		if !e.done {
			return fmt.Errorf("%q did not happen: the run was over, or it is about nobody", e.line)
		}
	}
	for what, n := range w.due {
		if n > 0 {
			return fmt.Errorf("%q did not happen %d times: what it befalls did not come", what, n)
		}
	}
	return nil
}
