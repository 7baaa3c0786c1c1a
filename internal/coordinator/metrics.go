package coordinator

import (
	"cmp"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Metrics serves what the watch has seen, and the process's own memory and time, as Prometheus text (G5).
func (w *Watch) Metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(w, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 5 * time.Second})
}

// series is one metric of a coordinator.
func series(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("warmstart_"+name, help, labels, nil)
}

var (
	leading   = series("leading", "1 while this coordinator leads, 0 while it stands by. All but this one, the store's and the process's are of leaders only.")
	epoch     = series("term_epoch", "Epoch of the term led under: it rises when etcd is rebuilt.")
	revision  = series("term_revision", "Revision of the leader key, the second part of the term.")
	lookAge   = series("observation_age_seconds", "Age of what the other metrics say. More than a few seconds: the leader does not get on.")
	runsBy    = series("runs", "Runs by state, of the latest 200 or what an answer has room for.", "state")
	step      = series("run_step", "Steps done of an active run, over all its tracks.", "run")
	steps     = series("run_steps", "Steps of an active run, over all its tracks.", "run")
	durable   = series("run_durable_step", "Step of the durable checkpoint of an active run, over all its tracks.", "run")
	tasks     = series("run_tasks_per_second", "Tasks that counted in the last seconds, of an active run.", "run")
	hands     = series("run_workers", "Workers that may do the work at hand of an active run.", "run")
	oldest    = series("run_oldest_wait_seconds", "Age of the oldest wait of an active run: what for, and whom.", "run", "kind", "whom")
	workers   = series("workers", "Workers known: up to 1,500, or what an answer has room for; more where a run counts them.")
	banned    = series("quarantined_processes", "Processes in quarantine.")
	refused   = series("refused_requests_total", "Requests refused in this term, by operation.", "op")
	storeDown = series("store_outage_seconds", "For how long the store has not taken what is put; 0 while it does.")
)

// Describe implements prometheus.Collector.
func (w *Watch) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leading, epoch, revision, lookAge, runsBy, step, steps, durable, tasks, hands, oldest, workers, banned, refused, storeDown} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (w *Watch) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(storeDown, w.store.outage().Seconds())
	o := w.latest.Load()
	if o == nil {
		gauge(leading, 0)
		return
	}
	gauge(leading, 1)
	gauge(epoch, float64(o.term.Epoch))
	gauge(revision, float64(o.term.Revision))
	gauge(lookAge, time.Since(o.taken).Seconds())
	if o.known == nil { // the term has just begun
		return
	}
	gauge(workers, float64(o.workers))
	gauge(banned, float64(o.quarantined))
	for op, n := range o.refused {
		to <- prometheus.MustNewConstMetric(refused, prometheus.CounterValue, float64(n), op)
	}
	o.collectRuns(gauge)
}

// unreadable stands for the state of a run whose recorded state cannot be read.
const unreadable metatrain.RunState = "unreadable"

// collectRuns gives the metrics of runs.
func (o *observation) collectRuns(gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	by := map[metatrain.RunState]int{metatrain.Active: 0, metatrain.Paused: 0, metatrain.Failed: 0, metatrain.Cancelled: 0, metatrain.Finished: 0}
	for i := range o.runs {
		r := &o.runs[i]
		by[cmp.Or(r.State, unreadable)]++
		if r.State != metatrain.Active {
			continue
		}
		gauge(step, float64(int64(r.Track)*r.Steps+r.Step), r.Run)
		gauge(steps, float64(int64(r.Tracks)*r.Steps), r.Run)
		gauge(durable, float64(r.Durable), r.Run)
		gauge(tasks, r.TasksPerS, r.Run)
		gauge(hands, float64(r.Workers), r.Run)
		if w, waits := oldestWait(r); waits {
			gauge(oldest, (time.Duration(w.Since)*time.Millisecond + time.Since(o.taken)).Seconds(), r.Run, string(w.Kind), o.whom(w))
		}
	}
	for state, n := range by {
		gauge(runsBy, float64(n), string(state))
	}
}
