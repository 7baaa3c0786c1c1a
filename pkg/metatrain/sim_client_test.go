package metatrain

import (
	"strings"
)

// simClient is a person with a command line: it submits, interferes while faults last, and afterwards sees every run
// to its end.
type simClient struct {
	proc
	over bool
}

// ask sends to whoever leads, as the client library does.
func (c *simClient) ask(msg any, payload []byte, got func(Answer), lost func()) {
	leaders := c.w.leaders()
	if len(leaders) == 0 {
		c.after(200, lost)
		return
	}
	to := leaders[c.w.rng.IntN(len(leaders))]
	term := to.term
	c.w.ask(&c.proc, &to.proc, 4000, func(reply func(any, []byte)) { to.serve(term, msg, payload, reply) },
		func(msg any, _ []byte) { got(msg.(Answer)) }, lost)
}

// submit asks for a run until it is there; a repeated request is one run all the same.
func (c *simClient) submit(p *plan) {
	again := func() { c.after(300, func() { c.submit(p) }) }
	c.ask(Submit{}, EncodeSpec(p.spec), func(a Answer) {
		switch {
		case a.Error != "":
			c.w.tell("submit: %s", a.Error)
			again()
		case a.Run != p.id:
			c.w.fail("submitted %s, got run %s", p.id, a.Run)
		default:
			p.asked = true
		}
	}, again)
}

func (c *simClient) control(run, action string) {
	c.w.tell("the client asks to %s %s", action, run)
	c.ask(Control{Run: run, Action: action}, nil, func(a Answer) {
		c.w.tell("%s of %s: %q", action, run, a.Error)
		state := read[StatusRecord](c.w.etcd.keys[statusKey(run)].Value).State
		if action == "cancel" && a.Error == "" && state != Cancelled {
			c.w.fail("the cancel of %s was confirmed, and it is %s", run, state)
		}
	}, func() {})
}

// meddle pauses, resumes and now and then cancels.
func (c *simClient) meddle() {
	if c.w.calm {
		return
	}
	p := c.w.runs[c.w.rng.IntN(len(c.w.runs))]
	for range 1 + c.w.upTo(2) { // several at once, so that they meet in the queue
		action := []string{"pause", "resume"}[c.w.upTo(1)]
		if c.w.odds(0.08) {
			action = "cancel"
		}
		c.control(p.id, action)
	}
	c.after(500+c.w.upTo(4000), c.meddle)
}

// attend resumes what stands still until all has come to its end.
func (c *simClient) attend() {
	c.after(1000, c.attend)
	if !c.w.calm {
		return
	}
	left := len(c.w.runs)
	for _, p := range c.w.runs {
		s := read[StatusRecord](c.w.etcd.keys[statusKey(p.id)].Value)
		switch {
		case s.State == Finished, s.State == Cancelled, s.State == Failed && p.stops && strings.Contains(s.Reason, "is bad"):
			left--
		case s.State == Paused, s.State == Failed:
			c.control(p.id, "resume")
		}
	}
	c.over = left == 0
}
