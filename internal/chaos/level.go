package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// level is what a process of ours holds while it idles.
type level struct{ goroutines, files, subscriptions int }

// slack is what may come and go in an idle process: a connection kept for the next request, with its two goroutines.
var slack = level{goroutines: 6, files: 3, subscriptions: 0}

func (l level) String() string {
	return fmt.Sprintf("%d goroutines, %d open files, %d subscriptions", l.goroutines, l.files, l.subscriptions)
}

// within tells whether l is no more than base but for the slack.
func (l level) within(base level) bool {
	return l.goroutines <= base.goroutines+slack.goroutines && l.files <= base.files+slack.files && l.subscriptions <= base.subscriptions+slack.subscriptions
}

// role is what a process does, as far as what it holds depends on it.
func role(name, leader string) string {
	switch {
	case name == leader:
		return "leader"
	case strings.HasPrefix(name, "coordinator"):
		return "coordinator standing by"
	}
	return "worker"
}

// levels measures all processes of ours.
func (f *fleet) levels(ctx context.Context) (map[string]level, error) {
	connections, err := f.connections(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]level{}
	for _, m := range f.order {
		if m.debug == "" {
			continue
		}
		l := level{}
		if l.goroutines, err = goroutines(ctx, m.debug); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", m.PID()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		l.files = len(files)
		name := fmt.Sprintf("/%d", m.PID()) // of a worker's connection: worker HOST/PID
		if strings.HasPrefix(m.Name, "coordinator") {
			name = "coordinator " + m.Name
		}
		found := 0
		for _, c := range connections {
			if strings.HasSuffix(c.Name, name) {
				found, l.subscriptions = found+1, l.subscriptions+c.Subscriptions
			}
		}
		if found != 1 {
			return nil, fmt.Errorf("%s: found %d connections to NATS, expected 1", m.Name, found)
		}
		all[m.Name] = l
	}
	return all, nil
}

// goroutines reads the first line of a profile.
func goroutines(ctx context.Context, debug string) (n int, err error) {
	page, err := get(ctx, "http://"+debug+"/debug/pprof/goroutine?debug=1")
	if err == nil {
		_, err = fmt.Sscanf(string(page), "goroutine profile: total %d", &n)
	}
	return n, err
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: found status %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// connection is a client's of a nats-server, as its monitoring page shows it.
type connection struct {
	Name          string `json:"name"`
	Subscriptions int    `json:"subscriptions"`
}

// connections lists the clients of all nats-servers.
func (f *fleet) connections(ctx context.Context) (all []connection, err error) {
	for _, n := range f.nats {
		var page struct {
			Connections []connection `json:"connections"`
		}
		data, err := get(ctx, n.Monitor+"/connz?limit=10000")
		if err == nil {
			err = json.Unmarshal(data, &page)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		all = append(all, page.Connections...)
	}
	return all, nil
}

// leases counts those that etcd holds: the leader's, and nothing else.
func (f *fleet) leases(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var endpoints []string
	for _, e := range f.etcd {
		endpoints = append(endpoints, e.Own)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	all, err := c.Leases(ctx)
	if err != nil {
		return 0, err
	}
	return len(all.Leases), nil
}

// dump writes the stacks of our processes beside their logs, for whoever looks into a failure, and prints the ends of
// the logs, for whoever has nothing else, as of a failure in CI.
func (f *fleet) dump() {
	for _, m := range f.order {
		if m.debug == "" {
			continue
		}
		f.log.say("the log of %s ends:\n%s", m.Name, lastLines(m.Tail(), 5))
		if page, err := get(context.Background(), "http://"+m.debug+"/debug/pprof/goroutine?debug=2"); err == nil {
			_ = os.WriteFile(filepath.Join(f.dir, m.Name+".goroutines"), page, 0o644)
		}
	}
}

// lastLines are at most n, each cut to what a terminal shows in a few rows.
func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, l := range lines {
		lines[i] = l[:min(len(l), 300)]
	}
	return strings.Join(lines, "\n")
}

// unblemished is an error where a process of ours has told of a fault in the program: those that are killed say nothing.
func (f *fleet) unblemished() error {
	var errs []error
	for _, m := range f.order {
		data, err := os.ReadFile(m.Log)
		errs = append(errs, err)
		for _, sign := range []string{"\npanic: ", "\nfatal error: ", "WARNING: DATA RACE"} {
			if m.debug != "" && strings.Contains("\n"+string(data), sign) {
				errs = append(errs, fmt.Errorf("%s: found %q in its log", m.Name, strings.TrimSpace(sign)))
			}
		}
	}
	return errors.Join(errs...)
}

// settled waits until every process holds no more than base says of its role, and etcd the leader's lease alone.
func (f *fleet) settled(ctx context.Context, o *observer, base map[string]level) error {
	return poll(ctx, 3*time.Minute, "all processes to hold what they held before", func() error {
		leader, err := o.find(ctx)
		if err != nil {
			return err
		}
		now, err := f.levels(ctx)
		if err != nil {
			return err
		}
		for name, l := range now {
			if b := base[role(name, leader)]; !l.within(b) {
				return fmt.Errorf("%s (%s): found %v, expected at most %v", name, role(name, leader), l, b)
			}
		}
		n, err := f.leases(ctx)
		if err == nil && n != 1 {
			err = fmt.Errorf("found %d leases in etcd, expected the leader's alone", n)
		}
		return err
	})
}

// baseline is the highest level of each role now.
func (f *fleet) baseline(ctx context.Context, o *observer) (map[string]level, error) {
	leader, err := o.find(ctx)
	if err != nil {
		return nil, err
	}
	now, err := f.levels(ctx)
	if err != nil {
		return nil, err
	}
	base := map[string]level{}
	for name, l := range now {
		b := base[role(name, leader)]
		base[role(name, leader)] = level{max(b.goroutines, l.goroutines), max(b.files, l.files), max(b.subscriptions, l.subscriptions)}
	}
	return base, nil
}
