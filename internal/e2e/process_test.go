//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a program: some twenty times what the slowest takes on an idle machine.
const patience = 4 * time.Minute

// process is one program under test, in a process group of its own, which ends with the test.
type process struct {
	t      *testing.T
	name   string // for messages: the command line
	cmd    *exec.Cmd
	stdout string // files, so that they can be read while it writes
	stderr string
	exited chan struct{}
}

// program says what to start: args[0] is one of the three programs, or a path.
type program struct {
	args []string
	env  []string // beside the test's own
	dir  string   // working folder; "" makes an empty one
}

// start runs a program. Variables that would lead it elsewhere are kept from it.
func (p program) start(t *testing.T) *process {
	t.Helper()
	logs := t.TempDir()
	pr := &process{t: t, name: strings.Join(p.args, " "), stdout: filepath.Join(logs, "stdout"), stderr: filepath.Join(logs, "stderr"), exited: make(chan struct{})}
	path := p.args[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(binaries, path)
	}
	pr.cmd = exec.Command(path, p.args[1:]...)
	pr.cmd.Dir = p.dir
	if p.dir == "" {
		pr.cmd.Dir = t.TempDir()
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "WARMSTART_") {
			pr.cmd.Env = append(pr.cmd.Env, v)
		}
	}
	pr.cmd.Env = append(pr.cmd.Env, p.env...)
	out, err := os.Create(pr.stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	errs, err := os.Create(pr.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	pr.cmd.Stdout, pr.cmd.Stderr = out, errs
	pr.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := pr.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", pr.name, err)
	}
	go func() {
		_ = pr.cmd.Wait() // its exit status is read from ProcessState
		close(pr.exited)
	}()
	t.Cleanup(func() {
		succeeded := pr.over() && pr.cmd.ProcessState.Success()
		pr.kill()
		if t.Failed() && !succeeded {
			t.Logf("%s\nstdout:\n%s\nstderr:\n%s", pr.name, tail(read(pr.stdout)), tail(read(pr.stderr)))
		}
	})
	return pr
}

// run runs a program to its end and returns its exit status, stdout and stderr.
func (p program) run(t *testing.T) (code int, stdout, stderr string) {
	t.Helper()
	pr := p.start(t)
	return pr.wait(), read(pr.stdout), read(pr.stderr)
}

// wait waits for the end and returns the exit status, -1 after a signal.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s: found it still running after %v", p.name, patience)
		return 0
	}
}

// kill ends the whole process group by SIGKILL and waits until the program is gone.
func (p *process) kill() {
	if err := syscall.Kill(-p.pid(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("kill %s: %v", p.name, err)
	}
	<-p.exited
}

// interrupt does what ^C in a terminal does.
func (p *process) interrupt() {
	if err := syscall.Kill(-p.pid(), syscall.SIGINT); err != nil {
		p.t.Errorf("interrupt %s: %v", p.name, err)
	}
}

// signal sends what neither ends the process nor is waited for.
func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("send %v to %s: %v", s, p.cmd.Path, err)
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) over() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// await waits until what holds; it fails the test when the program ends before, or at the deadline.
func (p *process) await(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if p.over() {
			p.t.Fatalf("%s: found it ended before %s", p.name, what)
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: waited %v for %s", p.name, patience, what)
		}
	}
}

// children lists the processes a process started.
func children(pid int) []int {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state ppid ...", where the name may hold anything.
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		if len(fields) > 1 && string(fields[1]) == strconv.Itoa(pid) && string(fields[0]) != "Z" {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = append(found, child)
		}
	}
	return found
}

func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// tail keeps a log readable.
func tail(s string) string {
	const most = 6 << 10
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}
