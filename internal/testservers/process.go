package testservers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// readyWithin bounds the wait for a started server. Its usual time is well
	// under two seconds; a machine busy with other tests needs more.
	readyWithin = 30 * time.Second
	// stopWithin bounds the wait after SIGTERM before SIGKILL follows.
	stopWithin = 10 * time.Second
	// pauseWithin bounds the wait for every thread to stop after SIGSTOP.
	pauseWithin = 10 * time.Second
	// logTail is how much of a process's log Tail returns, in bytes.
	logTail = 8 << 10
)

// Process is a program that can be started, ended and suspended any number of
// times, always by the same command line. It dies with the process that started
// it. Fill in the exported fields before the first Start; the methods may then be
// called from any goroutine.
type Process struct {
	Name string // in errors
	Path string // of the binary
	Args []string
	Env  []string // beside the parent's own
	Dir  string   // working folder; "" is the parent's
	Out  string   // file that stdout is appended to; "" is Log
	Log  string   // file that stderr is appended to

	// Ready says by nil that the program can be used; Start asks until then. nil
	// stands for a program that is ready once started.
	Ready func(context.Context) error

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil while ended by a method here
	exited chan struct{} // closed when cmd has ended
}

// Start runs the program and waits until it is ready, has ended, or is late: then
// it is killed.
func (p *Process) Start() error {
	exited, err := p.Launch()
	if err != nil {
		return err
	}
	if err := p.awaitReady(exited); err != nil {
		p.Kill()
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	return nil
}

// Launch runs the program without waiting for it to be ready. The channel closes
// when it has ended.
func (p *Process) Launch() (exited <-chan struct{}, err error) {
	cmd, closeFiles, err := p.command()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer closeFiles()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // that it ended is what counts; why stands in its log
		close(ended)
	}()
	p.mu.Lock()
	p.cmd, p.exited = cmd, ended
	p.mu.Unlock()
	return ended, nil
}

// command opens the files that the program writes to.
func (p *Process) command() (cmd *exec.Cmd, closeFiles func(), err error) {
	cmd = exec.Command(p.Path, p.Args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.Dir, append(os.Environ(), p.Env...), dieWithParent()
	log, err := appendTo(p.Log)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if p.Out == "" {
		return cmd, func() { _ = log.Close() }, nil
	}
	out, err := appendTo(p.Out)
	if err != nil {
		_ = log.Close()
		return nil, nil, err
	}
	cmd.Stdout = out
	return cmd, func() { _, _ = log.Close(), out.Close() }, nil
}

func appendTo(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

func (p *Process) awaitReady(exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for p.Ready != nil {
		err := p.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("found that it ended before it was ready; see its log")
		case <-ctx.Done():
			return fmt.Errorf("found it not ready after %v: %w", readyWithin, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Kill ends the program by SIGKILL, as a crash would, and waits until it is gone.
// One that has ended stays so.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop ends the program by SIGTERM, by SIGKILL where that takes too long, and
// waits until it is gone.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

func (p *Process) end(sig syscall.Signal) {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.cmd = nil
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	// A signal to a process that has just ended fails; that is what was wanted.
	_ = cmd.Process.Signal(sig)
	select {
	case <-exited:
	case <-time.After(stopWithin):
		_ = cmd.Process.Kill()
		<-exited
	}
}

// Pause suspends the program (SIGSTOP) without closing its connections, and
// returns once each of its threads has stopped: the signal reaches them one by one,
// and until then a server still answers. An answer already sent may still come.
func (p *Process) Pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(pauseWithin); !p.stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("pause %s: found a thread running %v after SIGSTOP", p.Name, pauseWithin)
		}
	}
	return nil
}

// Resume lets a suspended program go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("send %v to %s: found it ended", sig, p.Name)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("send %v to %s: %w", sig, p.Name, err)
	}
	return nil
}

// stopped tells whether every thread of the process is in state T (proc(5), the
// field after the name in parentheses). One that has ended counts as stopped.
func (p *Process) stopped() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // the thread has ended
		}
		if _, rest, _ := strings.Cut(string(text), ") "); !strings.HasPrefix(rest, "T") && !strings.HasPrefix(rest, "Z") {
			return false
		}
	}
	return true
}

// PID is the number of the process, or 0 where it was never started or has ended.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	select {
	case <-p.exited:
		return 0
	default:
		return p.cmd.Process.Pid
	}
}

// Wait waits for the end of a started program and returns its exit status, -1
// after a signal, or ctx's error.
func (p *Process) Wait(ctx context.Context) (code int, err error) {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return 0, fmt.Errorf("wait for %s: found it never started, or ended", p.Name)
	}
	select {
	case <-exited:
		return cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Tail returns the end of what the program has written to its log.
func (p *Process) Tail() string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	if len(data) > logTail {
		data = data[len(data)-logTail:]
	}
	return string(bytes.TrimSpace(data))
}
