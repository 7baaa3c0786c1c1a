package dispatchbench

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Report is what a bench found. Fields that could not be measured are left out.
type Report struct {
	Workers     int     `json:"workers"`
	Connections int     `json:"connections"` // to NATS, shared by the workers
	Steps       int     `json:"steps"`
	Shards      int     `json:"shards"` // of a step
	Parameters  int     `json:"parameters"`
	WaitSeconds float64 `json:"wait_seconds"`
	Straggler   float64 `json:"straggler,omitempty"`

	// Seconds are from the message that let step 0 begin to the answer to the last result; IdealSeconds what waiting
	// alone takes; Overhead is 1 - ideal/actual, and left out where nobody waits.
	Seconds      float64  `json:"seconds"`
	IdealSeconds float64  `json:"ideal_seconds"`
	Overhead     *float64 `json:"overhead,omitempty"`
	StepsPerS    float64  `json:"steps_per_s"`
	StepP50      float64  `json:"step_p50_seconds"`
	StepWorst    float64  `json:"step_worst_seconds"`
	// Lengthened is by how many shards' time a straggler lengthens a step: its excess over the ideal in units of what a
	// shard takes the others.
	LengthenedP50   *float64 `json:"lengthened_p50_shards,omitempty"`
	LengthenedWorst *float64 `json:"lengthened_worst_shards,omitempty"`

	// Results counted, each once; Verified: the base model published is that of the serial loop, bit for bit.
	Results  int64  `json:"results"`
	Verified bool   `json:"verified"`
	SHA256   string `json:"sha256"` // of the model

	RequestsPerS float64 `json:"requests_per_s"`
	// Grant times run from the sending of a step's last result to the coming of a lease of the next.
	GrantP50 *float64 `json:"grant_p50_ms,omitempty"`
	GrantP99 *float64 `json:"grant_p99_ms,omitempty"`

	// CPUSeconds are the coordinator's over the measured time, FleetCPUSeconds those of all else: NATS, etcd, workers.
	CPUSeconds      float64  `json:"cpu_seconds"`
	FleetCPUSeconds float64  `json:"fleet_cpu_seconds"`
	RSSPeak         *float64 `json:"rss_mb_peak,omitempty"`
	// RSSWarm is the median over the steps from 5 to 15 %, RSSEnd over the last tenth, of the coordinator's memory.
	RSSWarm *float64 `json:"rss_mb_warm,omitempty"`
	RSSEnd  *float64 `json:"rss_mb_end,omitempty"`
}

// report compares the model that came out with the serial one and sums up.
func (s *site) report(m *meter, mem memory, model []byte) (Report, error) {
	c := s.cfg
	want, err := c.serial()
	if err != nil {
		return Report{}, err
	}
	if !bytes.Equal(model, want) {
		return Report{}, fmt.Errorf("the model published has SHA-256 %.12s, the serial loop's %.12s: bits were lost on the way", metatrain.Digest(model), metatrain.Digest(want))
	}
	if shards := int64(c.Steps) * int64(c.shards()); m.results != shards {
		return Report{}, fmt.Errorf("%d results counted, expected %d: the bench missed some", m.results, shards)
	}
	total := m.ended[c.Steps-1].Sub(m.began)
	if m.began.IsZero() || total <= 0 {
		return Report{}, errors.New("no step was seen to begin: the bench missed it")
	}
	steps, grants := m.stepTimes(), m.grantTimes()
	r := Report{
		Workers: c.Workers, Connections: c.Connections, Steps: c.Steps, Shards: c.shards(), Parameters: c.Parameters, WaitSeconds: c.Wait.Seconds(),
		Seconds: total.Seconds(), IdealSeconds: (time.Duration(c.Steps) * c.ideal()).Seconds(), StepsPerS: float64(c.Steps) / total.Seconds(),
		StepP50: quantile(steps, 0.5), StepWorst: steps[len(steps)-1],
		Results: m.results, Verified: true, SHA256: metatrain.Digest(model),
		RequestsPerS: float64(m.cost[1].requests-m.cost[0].requests) / total.Seconds(),
		GrantP50:     known(quantile(grants, 0.5)), GrantP99: known(quantile(grants, 0.99)),
		CPUSeconds: (m.cost[1].coordinator - m.cost[0].coordinator).Seconds(), FleetCPUSeconds: (m.cost[1].fleet - m.cost[0].fleet).Seconds(),
		RSSPeak: known(mem.peak), RSSWarm: known(mem.warm), RSSEnd: known(mem.end),
	}
	if c.Straggler > 1 && c.Wait > 0 {
		r.Straggler = c.Straggler
		lengthened := func(step float64) *float64 { return known((step - c.ideal().Seconds()) / c.Wait.Seconds()) }
		r.LengthenedP50, r.LengthenedWorst = lengthened(r.StepP50), lengthened(r.StepWorst)
	}
	if c.Wait > 0 {
		overhead := 1 - r.IdealSeconds/r.Seconds
		r.Overhead = &overhead
	}
	return r, nil
}

// known is nil for NaN, which JSON has no word for.
func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}
