package dispatchbench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

func TestValidateNamesTheFlag(t *testing.T) {
	sound := Config{Workers: 10, Steps: 5, Wait: time.Second, Parameters: 7}
	if err := sound.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *Config){
		"--workers":     func(c *Config) { c.Workers = 0 },
		"--connections": func(c *Config) { c.Connections = 11 },
		"--steps":       func(c *Config) { c.Steps = -1 },
		"--wait":        func(c *Config) { c.Wait = -time.Second },
		"--parameters":  func(c *Config) { c.Parameters = 0 },
		"--shard":       func(c *Config) { c.Shard = 3 },
		"--tasks":       func(c *Config) { c.Tasks = 1 << 17 },
		"--straggler":   func(c *Config) { c.Straggler = 0.5 },
	} {
		c := sound
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: found %v, expected an error that begins with it", name, err)
		}
	}
}

// The yardstick itself: a step of the serial loop is the sum of every task of that step, once.
func TestSerialStepKnowsEveryTask(t *testing.T) {
	c := Config{Workers: 5, Steps: 2, Parameters: 3}.withDefaults()
	theta := initial(c.Parameters)
	all, err := sum(theta, 1, metatrain.Node{Level: metatrain.RootLevel(c.Tasks)}, c.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	tree := metatrain.NewTree(c.Tasks)
	for _, task := range []int{3, 0, 4, 1, 2} {
		part, err := sum(theta, 1, metatrain.Node{Index: task}, c.Tasks)
		if err != nil {
			t.Fatal(err)
		}
		if total, done := tree.Add(metatrain.Node{Index: task}, part); done != (task == 2) || done && !slices.Equal(total.Vec, all.Vec) {
			t.Errorf("after task %d: done %v, found %v, expected %v", task, done, total.Vec, all.Vec)
		}
	}
	seen := map[float32]bool{}
	for step := range int64(50) {
		for task := range 100 {
			seen[gradient(theta, step, task)[0]] = true
		}
	}
	if len(seen) < 4900 {
		t.Errorf("found %d unlike gradients of 5,000 tasks, expected nearly all", len(seen))
	}
}

// What came out is compared: a run that lost or misplaced one result makes no report.
func TestReportRefusesOtherBits(t *testing.T) {
	c := Config{Workers: 2, Steps: 1, Parameters: 4}.withDefaults()
	model, err := c.serial()
	if err != nil {
		t.Fatal(err)
	}
	s, m := &site{cfg: c}, newMeter(c)
	m.began = time.Now()
	for range 2 {
		m.accepted(metatrain.Work{Kind: metatrain.Train}, m.began, m.began.Add(time.Second))
	}
	if r, err := s.report(m, memory{}, model); err != nil || !r.Verified || r.Results != 2 {
		t.Fatalf("found %+v, %v", r, err)
	}
	other := slices.Clone(model)
	other[len(other)-1] ^= 1
	if _, err := s.report(m, memory{}, other); err == nil || !strings.Contains(err.Error(), "bits were lost") {
		t.Errorf("another model: %v", err)
	}
	m.results--
	if _, err := s.report(m, memory{}, model); err == nil || !strings.Contains(err.Error(), "1 results counted, expected 2") {
		t.Errorf("a result not counted: %v", err)
	}
}

func TestQuantilesAndSteps(t *testing.T) {
	c := Config{Workers: 1, Steps: 3, Parameters: 1}.withDefaults()
	m := newMeter(c)
	m.began = time.Unix(100, 0)
	for i, end := range []int64{101, 104, 106} {
		m.sent[i], m.ended[i] = time.Unix(end-1, 0), time.Unix(end, 0)
	}
	if steps := m.stepTimes(); !slices.Equal(steps, []float64{1, 2, 3}) || quantile(steps, 0.5) != 2 || quantile(steps, 1) != 3 {
		t.Errorf("found steps %v", steps)
	}
	m.waiters = []*waiter{{grants: []sample{{0, time.Unix(100, 0)}, {1, time.Unix(100, 5e6)}, {2, time.Unix(103, 7e6)}}}}
	if grants := m.grantTimes(); !slices.Equal(grants, []float64{5, 7}) {
		t.Errorf("found grants after %v ms, expected 5 and 7", grants)
	}
}
