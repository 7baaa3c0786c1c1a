package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// progress shows a run getting on: one line that changes on a terminal, plain lines now and then elsewhere.
type progress struct {
	w     io.Writer
	live  bool
	began time.Time
	shown time.Time

	at   time.Time // of the last sample of done
	done int64     // outer steps over all tracks when first seen
	last metatrain.RunStatus
	seen time.Time // when last came
}

// plainEvery is how often a line is printed where lines do not overwrite each other.
const plainEvery = 2 * time.Second

func newProgress(w io.Writer) *progress {
	live := false
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			live = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return &progress{w: w, live: live, began: time.Now()}
}

func (p *progress) begin(s metatrain.RunStatus, created bool) {
	what := "resuming"
	switch {
	case created:
		what = "new"
	case s.State == metatrain.Finished:
		what = "finished before (--fresh trains anew)"
	}
	if s.OutsideG1 {
		what += ", outside G1 (bits: any)"
	}
	fmt.Fprintf(p.w, "run %s: %s, %d steps\n", s.Run, what, s.Steps*int64(max(1, s.Tracks)))
}

// see takes a status in and shows it when it is time.
func (p *progress) see(s metatrain.RunStatus) {
	if s.State != metatrain.Active {
		return
	}
	if p.at.IsZero() {
		p.at, p.done = time.Now(), position(s)
	}
	p.last, p.seen = s, time.Now()
	interval := plainEvery
	if p.live {
		interval = 100 * time.Millisecond
	}
	if time.Since(p.shown) < interval {
		return
	}
	p.shown = time.Now()
	p.print(s)
}

// position is how many outer steps are done over all tracks.
func position(s metatrain.RunStatus) int64 { return int64(s.Track)*s.Steps + s.Step }

func (p *progress) print(s metatrain.RunStatus) {
	what := string(s.Phase)
	if a := s.Audits; what == "" && a != nil && a.Outstanding > 0 {
		what = "audits"
	}
	if s.Track == 1 && s.Tracks == 2 {
		what = "pooled " + what
	}
	line := fmt.Sprintf("%-15s step %d/%d", what, position(s), s.Steps*int64(max(1, s.Tracks)))
	if s.TasksPerS > 0 && s.Phase != metatrain.Evaluate {
		line += fmt.Sprintf("  %.0f tasks/s  loss %.4f", s.TasksPerS, s.Loss)
	}
	if s.Score != nil && s.Phase != metatrain.Evaluate {
		line += fmt.Sprintf("  best %.4f at %d", s.BestScore, s.BestStep)
	}
	line += p.left(s)
	if s.Workers == 0 {
		line += "  waiting for a worker"
	}
	if s.Audits != nil && s.Audits.Disputed > 0 {
		line += "  workers disagree: a third process is to say who is wrong"
	}
	if s.Note != "" {
		line += "  (" + s.Note + ")"
	}
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[2K%s", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

func (p *progress) left(s metatrain.RunStatus) string {
	gained, total := position(s)-p.done, s.Steps*int64(max(1, s.Tracks))
	if gained <= 0 || s.Phase == metatrain.Evaluate {
		return ""
	}
	left := time.Duration(float64(time.Since(p.at)) / float64(gained) * float64(total-position(s)))
	return fmt.Sprintf("  %s left", left.Round(time.Second))
}

// rate is the training tasks per second over what was followed, with metaBatch tasks in a step. 0: nothing was.
func (p *progress) rate(metaBatch int) float64 {
	if seconds := p.seen.Sub(p.at).Seconds(); seconds > 0 {
		return float64(position(p.last)-p.done) * float64(metaBatch) / seconds
	}
	return 0
}

func (p *progress) end() {
	if p.live && !p.shown.IsZero() {
		fmt.Fprintln(p.w)
	}
}
