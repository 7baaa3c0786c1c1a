package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

const (
	// keep is how many checkpoints a run leaves.
	keep = 2
	// secondsPerFault is how long, undisturbed, the run trains for each fault; disturbed it takes a quarter more. A machine that
	// is busy while the speed is measured and idle thereafter may take half of that; less, and the run is over too soon.
	secondsPerFault = 3
	// warmSteps is the length, per track, of the run that measures the speed.
	warmSteps = 400
	// runName is that of the run the faults are about.
	runName = "chaos"
)

// spec is a run of both tracks with small steps: what it exercises is the outer loop.
func spec(name string, steps int64) string {
	return fmt.Sprintf(`name: %s
family: {name: sinusoid, shots: [3, 5], query: 10}
model: {hidden: [24, 24]}
meta_batch: 64
steps: %d
checkpoint: {every: %d, keep: %d}
validation: {every: %d, tasks: 50}
evaluation: {pooled: true, tasks: 40, steps: [1]}
`, name, steps, max(20, min(200, steps/100)), keep, max(50, steps/20))
}

// outcome is what `warmstart train --json` ends with, as far as it is looked at.
type outcome struct {
	Run     string  `json:"run"`
	Model   string  `json:"model"`
	SHA256  string  `json:"sha256"`
	Seconds float64 `json:"seconds"`
}

// endure trains one run through all faults and checks what it left.
func endure(ctx context.Context, o *options, dir string, log *timeline) (err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	f, err := newFleet(ctx, o, dir, log, fail)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.dump()
		}
		err = errors.Join(err, f.stop())
	}()
	if err := f.start(ctx); err != nil {
		return err
	}
	watch, err := newObserver(ctx, f, runName)
	if err != nil {
		return err
	}
	defer watch.close()
	warm, err := f.trainToEnd(ctx, "warm", warmSteps)
	if err != nil {
		return err
	}
	if o.steps == 0 {
		o.steps = max(500, int64(warmSteps/warm.Seconds*secondsPerFault*float64(o.events)))
	}
	base, err := f.baseline(ctx, watch)
	if err != nil {
		return err
	}
	log.say("seed %d: %d faults over %d steps; before: %v", o.seed, o.events, 2*o.steps, base)
	go watch.follow(ctx)
	log.observe(watch)
	found, folded, err := f.disturbed(ctx, o, watch)
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	log.observe(nil)
	log.say("trained: %s sha256 %s; now undisturbed", found.Model, found.SHA256)
	want, err := f.reference(ctx, o.steps)
	if err != nil {
		return err
	}
	if found.SHA256 != want.SHA256 {
		return fmt.Errorf("found base model %s, expected %s, as of the undisturbed run", found.SHA256, want.SHA256)
	}
	objects, err := f.verify(ctx, found, want)
	if err != nil {
		return err
	}
	log.say("same bits; %d objects whole; looking for leaks", objects)
	if err := errors.Join(f.settled(ctx, watch, base), f.unblemished()); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	fmt.Fprintf(log.out, "chaos: ok events=%d steps=%d between=%d seed=%d seconds=%.0f sha256=%s\n", o.events, 2*o.steps, folded, o.seed, time.Since(log.began).Seconds(), found.SHA256)
	return nil
}

// disturbed trains the run while the faults happen, of which at least half of its steps must see some.
func (f *fleet) disturbed(ctx context.Context, o *options, watch *observer) (found outcome, folded int64, err error) {
	p, err := f.train(runName, spec(runName, o.steps))
	if err != nil {
		return found, 0, err
	}
	defer p.Kill()
	if err := poll(ctx, time.Minute, "the run to start", func() error {
		if s := watch.status(); s.Phase == "" {
			return errors.New("not yet")
		}
		return nil
	}); err != nil {
		return found, 0, err
	}
	in := &injector{fleet: f, watch: watch, steps: 2 * o.steps, calm: time.Now()}
	first, last, err := in.inject(ctx, plan(o.seed, o.events, way(o.only)))
	if err != nil {
		return found, 0, err
	}
	if folded = last - first; 2*folded < 2*o.steps {
		return found, 0, fmt.Errorf("found %d of %d steps folded between the first and the last fault, expected at least half", folded, 2*o.steps)
	}
	f.log.say("the last fault is over")
	found, err = in.finish(ctx, p)
	return found, folded, err
}

// finish waits for the end of the training.
func (in *injector) finish(ctx context.Context, p *testservers.Process) (outcome, error) {
	for {
		short, cancel := context.WithTimeout(ctx, time.Second)
		code, err := p.Wait(short)
		cancel()
		if err == nil {
			return readOutcome(p, code)
		}
		if ctx.Err() != nil {
			return outcome{}, context.Cause(ctx)
		}
		if err := in.stuck(); err != nil {
			return outcome{}, err
		}
	}
}

// train submits a run by the command line, which is cut off and finds its servers as all others do.
func (f *fleet) train(name, spec string) (*testservers.Process, error) {
	file, err := f.specFile(name, spec)
	if err != nil {
		return nil, err
	}
	p := &testservers.Process{Name: "train-" + name, Path: f.bin("warmstart"), Dir: f.dir, Env: clean(),
		Out: filepath.Join(f.dir, name+".json"), Log: filepath.Join(f.dir, "train-"+name+".log"),
		Args: []string{"train", file, "--cluster", "--json", "--nats", f.natsGates()}}
	f.net.Join(p)
	_, err = p.Launch()
	return p, err
}

func (f *fleet) specFile(name, spec string) (string, error) {
	file := filepath.Join(f.dir, name+".yaml")
	return file, os.WriteFile(file, []byte(spec), 0o644)
}

func (f *fleet) trainToEnd(ctx context.Context, name string, steps int64) (outcome, error) {
	p, err := f.train(name, spec(name, steps))
	if err != nil {
		return outcome{}, err
	}
	return ended(ctx, p)
}

// reference trains the same on the embedded stack of one machine.
func (f *fleet) reference(ctx context.Context, steps int64) (outcome, error) {
	file, err := f.specFile(runName, spec(runName, steps))
	if err != nil {
		return outcome{}, err
	}
	p := &testservers.Process{Name: "train-reference", Path: f.bin("warmstart"), Dir: f.dir, Env: clean(),
		Out: filepath.Join(f.dir, "reference.json"), Log: filepath.Join(f.dir, "train-reference.log"),
		Args: []string{"train", file, "--json", "--data-dir", filepath.Join(f.dir, "reference")}}
	if _, err := p.Launch(); err != nil {
		return outcome{}, err
	}
	return ended(ctx, p)
}

// ended waits for a training's end, and reads how it came out; one that is not over with ctx is killed.
func ended(ctx context.Context, p *testservers.Process) (outcome, error) {
	defer p.Kill()
	code, err := p.Wait(ctx)
	if err != nil {
		return outcome{}, err
	}
	return readOutcome(p, code)
}

func readOutcome(p *testservers.Process, code int) (o outcome, err error) {
	if code != 0 {
		return o, fmt.Errorf("%s: found exit status %d, expected 0: %s", p.Name, code, lastLines(p.Tail(), 1))
	}
	data, err := os.ReadFile(p.Out)
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return o, fmt.Errorf("%s: read its outcome: %w", p.Name, err)
	}
	return o, nil
}

// verify reads the whole store, and compares all files of the two versions.
func (f *fleet) verify(ctx context.Context, found, want outcome) (objects int, err error) {
	store, err := f.openStore(ctx)
	if err != nil {
		return 0, err
	}
	if objects, err = verifyStore(ctx, store, keep); err != nil {
		return 0, err
	}
	ours, err := checkpoint.VerifyVersion(ctx, store, runName, 1)
	if err != nil {
		return 0, err
	}
	dir, err := checkpoint.OpenDir(filepath.Join(f.dir, "reference", "store"))
	if err != nil {
		return 0, err
	}
	theirs, err := checkpoint.VerifyVersion(ctx, dir, runName, 1)
	if err != nil {
		return 0, err
	}
	if fmt.Sprint(ours.Files) != fmt.Sprint(theirs.Files) {
		return 0, fmt.Errorf("found files %v in version %s, expected %v, as in %s", ours.Files, found.Model, theirs.Files, want.Model)
	}
	return objects, nil
}
