package doctor

import (
	"fmt"
	"strings"
	"time"
)

// reading is another clock read beside this machine's.
type reading struct {
	who  string
	off  time.Duration // that clock less this one
	slop time.Duration // what the reading may be wrong by
}

// Bounds of what clocks may differ by. S3 servers refuse signatures from 15 minutes on.
const (
	clockOK   = 2 * time.Second
	clockFail = 5 * time.Minute
)

// suffers says what clocks apart do harm to.
const suffers = "S3 signatures are refused from 15 minutes apart, and presigned links, credentials, certificates and leases that end by a clock end at the wrong time"

// read takes in a clock that was at theirs when this one was at ours.
func (e *examiner) read(who string, theirs, ours time.Time, slop time.Duration) {
	e.clocks = append(e.clocks, reading{who, theirs.Sub(ours).Round(time.Millisecond), slop})
}

// judgeClocks says who is off: the one that the others, this machine among them, do not agree with.
func (r *Report) judgeClocks(all []reading) {
	const name = "clock"
	if len(all) == 0 {
		r.warn(name, "give --etcd or --s3, whose answers tell the time", "no other clock to compare this machine's with")
		return
	}
	off := apart(all)
	if len(off) == 0 {
		var who []string
		for _, c := range all {
			who = append(who, c.who)
		}
		r.ok(name, "this machine's agrees with %s within %v", strings.Join(who, ", "), worst(all).Abs())
		return
	}
	found, level := blame(all, off), Warn
	if worst(all).Abs() >= clockFail {
		level = Fail
	}
	r.add(level, name, "set it by NTP: "+suffers, "%s", found)
}

// apart gives those that differ from this machine's clock.
func apart(all []reading) []reading {
	var off []reading
	for _, c := range all {
		if c.off.Abs() > clockOK+c.slop {
			off = append(off, c)
		}
	}
	return off
}

func worst(all []reading) (most time.Duration) {
	for _, c := range all {
		if c.off.Abs() > most.Abs() {
			most = c.off
		}
	}
	return most
}

// blame words who is off. Where all others agree with each other, and there are several, it is this machine; where some
// agree with this machine, it is the rest; with one other it can't be told.
func blame(all, off []reading) string {
	var lines []string
	for _, c := range off {
		lines = append(lines, fmt.Sprintf("%s is %s this machine's", c.who, direction(c.off)))
	}
	text := strings.Join(lines, ", ")
	switch {
	case len(off) < len(all):
		return text + ", which others agree with: it is the one that is off"
	case len(all) > 1 && agree(all):
		return fmt.Sprintf("this machine's clock is the one that is off: %d others agree that it is %s theirs", len(all), direction(-all[0].off))
	case len(all) > 1:
		return text + ": no two clocks agree"
	}
	return text + ": one of the two is off"
}

// agree says that clocks differ from this machine's by the same.
func agree(all []reading) bool {
	for _, c := range all {
		if (c.off - all[0].off).Abs() > clockOK+c.slop+all[0].slop {
			return false
		}
	}
	return true
}

func direction(off time.Duration) string {
	unit := time.Second
	if off.Abs() > 10*time.Minute {
		unit = time.Minute
	}
	if off < 0 {
		return fmt.Sprintf("%v behind", (-off).Round(unit))
	}
	return fmt.Sprintf("%v ahead of", off.Round(unit))
}
