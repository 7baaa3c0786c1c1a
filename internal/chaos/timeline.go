package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// timeline prints what happens, a line each: seconds since the start, how far the run is, what.
type timeline struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
	watch *observer // nil: no run yet
}

func (t *timeline) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	step := ""
	if t.watch != nil {
		step = fmt.Sprintf("step %d  ", t.watch.step())
	}
	fmt.Fprintf(t.out, "%7.1f s  %s%s\n", time.Since(t.began).Seconds(), step, fmt.Sprintf(format, args...))
}

// observe has lines tell the step that w sees.
func (t *timeline) observe(w *observer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch = w
}
