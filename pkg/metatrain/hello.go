package metatrain

import (
	"cmp"
	"fmt"
)

// Bounds of what is kept of workers (G6): 20,000 of them, as long as they may be, take less than 300 MB.
const (
	maxKnown      = 20_000 // workers
	maxName       = 200    // bytes of a worker's id, process, host, class, engine or release
	maxSkills     = 300    // names of what a worker can do
	maxSkillBytes = 4 << 10
	maxHeld       = 1000 // leases that a worker says it holds, older leaders' too
)

// refusal names why a worker can do nothing here.
func refusal(h Hello) string {
	if why := h.oversized(); why != "" {
		return "hello: " + why
	}
	switch {
	case h.Worker == "":
		return "hello: worker is empty, expected an id"
	case h.Protocol != Protocol:
		return fmt.Sprintf("worker %s speaks protocol %d, this coordinator %d: run the same release on both", h.Worker, h.Protocol, Protocol)
	case h.Bits == BitsNone: // by no contract
	case h.Bits != "" && h.Bits != Contract:
		return fmt.Sprintf("worker %s gives bits %q, expected %q or %q", h.Worker, h.Bits, Contract, BitsNone)
	case h.Contract != Contract:
		return fmt.Sprintf("worker %s computes by contract %q, this coordinator needs %q: run the same release on both", h.Worker, h.Contract, Contract)
	}
	return ""
}

// oversized names what of a hello is longer than is kept of any, "" where nothing is. It is told by length: the text
// itself would fill the log.
func (h *Hello) oversized() string {
	skills := len(h.Skills.Kinds) + len(h.Skills.Families) + len(h.Skills.Models) + len(h.Skills.Learners) + len(h.Skills.Engines)
	bytes := 0
	for _, kind := range h.Skills.Kinds {
		bytes += len(kind)
	}
	for _, names := range [][]string{h.Skills.Families, h.Skills.Models, h.Skills.Learners, h.Skills.Engines} {
		for _, name := range names {
			bytes += len(name)
		}
	}
	return cmp.Or(
		beyond("worker", "bytes", len(h.Worker), maxName), beyond("process", "bytes", len(h.Process), maxName),
		beyond("host", "bytes", len(h.Host), maxName), beyond("class", "bytes", len(h.Class), maxName),
		beyond("engine", "bytes", len(h.Engine), maxName), beyond("release", "bytes", len(h.Release), maxName),
		beyond("contract", "bytes", len(h.Contract), maxName), beyond("bits", "bytes", len(h.Bits), maxName),
		beyond("skills", "names", skills, maxSkills), beyond("skills", "bytes", bytes, maxSkillBytes),
		beyond("holding", "leases", len(h.Holding), maxHeld),
	)
}

// beyond words that something is more than it may be, "" where it is not.
func beyond(what, unit string, found, most int) string {
	if found <= most {
		return ""
	}
	return fmt.Sprintf("%s of %d %s, expected at most %d", what, found, unit, most)
}

// keep notes a worker's latest hello, but for its lists: skills are those of the first, and leases are in the books.
func (w *worker) keep(h Hello) {
	w.hello = h
	w.hello.Skills, w.hello.Holding = Skills{}, nil
}
