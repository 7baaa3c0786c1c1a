//go:build linux

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/testpython"
)

// mixed is a short training that a worker in Python may share in. Its table shows the error before and after a step.
const mixed = `
name: mixed
family: {name: sinusoid, shots: [5], query: 10}
model: {hidden: [32, 32], skip: false}
learner: {name: maml, steps: 1, rate: 0.02}
optimizer: {rate: 0.003}
meta_batch: 16
steps: 6000
bits: any
checkpoint: {every: 200}
validation: {every: 200, tasks: 50, adapt: [], targets: []}
evaluation: {pooled: false, tasks: 200, steps: [0, 1]}
`

// pythonWorker starts python/worker.py on the cluster.
func (c *cluster) pythonWorker() *process {
	c.t.Helper()
	script, err := filepath.Abs("../../python/worker.py")
	if err != nil {
		c.t.Fatal(err)
	}
	python := testpython.Find(c.t, script)
	return program{args: []string{python, "-B", script}, env: c.access()}.start(c.t)
}

// contributed is how many tasks the workers in Python and the others contributed.
func (c *cluster) contributed() (python, others int64) {
	c.t.Helper()
	var list struct {
		Workers []struct {
			Bits  string `json:"bits"`
			Tasks int64  `json:"tasks"`
		} `json:"workers"`
	}
	if err := json.Unmarshal([]byte(c.say("runs", "ls", "--json")), &list); err != nil {
		c.t.Fatal(err)
	}
	for _, w := range list.Workers {
		if w.Bits == "none" {
			python += w.Tasks
		} else {
			others += w.Tasks
		}
	}
	return python, others
}

// holdUntilPythonHelps stops a worker that would leave the one in Python nothing to do, until that has contributed; it
// goes on for a moment now and then, for work that the one in Python does not do.
func (c *cluster) holdUntilPythonHelps(fast *process) {
	c.t.Helper()
	for range 20 {
		fast.signal(syscall.SIGSTOP)
		for range 20 {
			if python, _ := c.contributed(); python > 0 {
				fast.signal(syscall.SIGCONT)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		fast.signal(syscall.SIGCONT)
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Error("the worker in Python contributed nothing though the other one stood still")
}

// A worker in Python shares in a run that allows its bits, through a change of leadership; the run trains and says that it
// is outside G1; a run that does not allow them waits for another worker, names why, and is finished without it.
func TestPythonWorkerSharesInARunThatAllowsIt(t *testing.T) {
	c := newCluster(t)
	snake := c.pythonWorker()
	coordinator := c.coordinator()
	coordinator.await("leadership", func() bool { return leading(coordinator) })

	contract := c.command("train", write(t, "contract.yaml", strings.NewReplacer("bits: any\n", "", "steps: 6000", "steps: 20").Replace(mixed)), "--json").start(t)
	c.awaitRun("that waits for a worker by the contract", waitsFor("none can", "gives bits none"))
	fast := c.worker("--slots", "1")
	finished(t, contract)
	if python, others := c.contributed(); python != 0 || others == 0 {
		t.Errorf("a run by the contract counted %d tasks from Python and %d from others", python, others)
	}

	train := c.command("train", write(t, "mixed.yaml", mixed), "--json").start(t)
	c.awaitRun("at step 300", func(s status) bool { return s.total() >= 300 })
	fast.signal(syscall.SIGSTOP)           // or it is done before the change
	second := c.coordinator("--id", "two") // the first one's end is for both workers to notice
	coordinator.kill()
	second.await("leadership", func() bool { return leading(second) })
	c.holdUntilPythonHelps(fast)
	o := finished(t, train)
	python, others := c.contributed() // to the second coordinator
	t.Logf("tasks: %d from Python, %d from others; rows %+v", python, others, o.Table.Rows)
	if python == 0 || others == 0 {
		t.Errorf("tasks: %d from Python and %d from others, expected both to share", python, others)
	}
	if snake.over() {
		t.Errorf("the worker in Python ended: %s", read(snake.stderr))
	}
	if rows := o.adapted(); len(rows) != 2 || !(rows[1].MSE < 3) || !(rows[1].MSE < 0.8*rows[0].MSE) {
		t.Errorf("mean squared errors %+v, expected one step to bring it below 3, and below 0.8 of no step", rows)
	}
	if !strings.Contains(read(train.stderr), "outside G1") {
		t.Errorf("the command does not say that the run is outside G1:\n%s", read(train.stderr))
	}
	if shown := c.say("models", "show", o.Model); !strings.Contains(shown, `"outside_g1": "bits: any`) || !strings.Contains(shown, `"results": "`) {
		t.Errorf("the manifest does not say that the version is outside G1:\n%s", shown)
	}
	if shown := c.say("runs", "show", o.Run); !strings.Contains(shown, `"outside_g1": true`) {
		t.Errorf("the run does not say that it is outside G1:\n%s", shown)
	}
	snake.interrupt()
	<-snake.exited
	if ws, ok := snake.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.ExitStatus() != 130 {
		t.Errorf("interrupted, the worker in Python ended with %v: %s", snake.cmd.ProcessState, read(snake.stderr))
	}
}
