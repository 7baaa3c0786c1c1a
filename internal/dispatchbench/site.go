package dispatchbench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/warmstart-ml/warmstart/internal/localstack"
)

// site is the cluster under test: NATS and etcd in this process, listening on loopback, and a coordinator in its own.
type site struct {
	cfg         Config
	stack       *localstack.Stack
	coordinator *exec.Cmd
	gone        chan struct{} // closed when the coordinator's process has ended
	stop        func()
}

// startSite starts them. fail hears of a coordinator that ends by itself.
func startSite(ctx context.Context, c Config, dir string, fail func(error)) (*site, error) {
	stack, err := localstack.Start(ctx, localstack.Config{DataDir: dir, EtcdListen: "127.0.0.1:0"})
	if err != nil {
		return nil, err
	}
	s := &site{cfg: c, stack: stack, gone: make(chan struct{})}
	args := []string{"--etcd", stack.EtcdURL(), "--store-dir", filepath.Join(dir, "store"), "--shard-tasks", strconv.Itoa(c.Shard)}
	if c.Profile != "" {
		args = append(args, "--profile", c.Profile)
	}
	cmd := exec.Command(c.Coordinator[0], append(c.Coordinator[1:], args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WARMSTART_") }), "WARMSTART_NATS="+stack.NATSURL())
	log, err := os.Create(filepath.Join(stack.LogDir(), "coordinator.log"))
	if err == nil {
		cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, dependent()
		err = cmd.Start()
		_ = log.Close()
	}
	if err != nil {
		_ = stack.Stop()
		return nil, fmt.Errorf("start a coordinator: %w", err)
	}
	s.coordinator = cmd
	stopping := make(chan struct{})
	go func() {
		defer close(s.gone)
		err := cmd.Wait()
		select {
		case <-stopping:
		default:
			said, _ := os.ReadFile(log.Name())
			fail(fmt.Errorf("the coordinator ended: %v: %s", err, said[max(0, len(said)-1000):]))
		}
	}()
	s.stop = sync.OnceFunc(func() {
		close(stopping)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.gone:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-s.gone
		}
		_ = stack.Stop()
	})
	return s, nil
}
