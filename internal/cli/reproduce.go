package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// reproduce computes alone, in this process, the work that stopped a run. It fails as the work did, or says that it does
// not fail here.
func reproduce(ctx context.Context, env *environment, args []string) error {
	var p place
	set := env.flags()
	p.add(set)
	to := set.String("to", "", "`file` (.safetensors) for the task's support and query, as family arrays reads them")
	positional, err := p.parse(set, args)
	if err != nil {
		return err
	}
	if len(positional) != 1 {
		return usage("found %q, expected one run; the reason it failed for names this command", positional)
	}
	fault, data, err := p.fault(ctx, positional[0])
	if err != nil {
		return err
	}
	w := fault.Lease.Work
	fmt.Fprintf(env.err, "%s of step %d, task %d; on the workers: %s\n", w.Kind, w.Step, fault.Task, fault.Text)
	if *to != "" {
		if err := saveInputs(env, fault, data, *to); err != nil {
			return err
		}
		fmt.Fprintf(env.err, "its support and query are in %s\n", *to)
	}
	if err := env.kinds.Reproduce(fault, data); err != nil {
		return fmt.Errorf("here: %w", err)
	}
	fmt.Fprintf(env.out, "%s of step %d, task %d does not fail here: programs or machines differ, or what it reads has changed\n", w.Kind, w.Step, fault.Task)
	return nil
}

// fault reads the work that stopped a run last, and the run's data.
func (p *place) fault(ctx context.Context, run string) (f metatrain.Fault, data *taskshards.DataSet, err error) {
	source, done, err := p.source(ctx)
	if err != nil {
		return f, nil, err
	}
	defer done()
	objects, err := source.List(ctx, metatrain.FaultFolder(run))
	if err != nil {
		return f, nil, err
	}
	if len(objects) == 0 {
		return f, nil, fmt.Errorf("no work of a run %q is on record as having stopped it; `warmstart runs show` says why it ended", run)
	}
	last := slices.MaxFunc(objects, func(a, b checkpoint.Object) int { return strings.Compare(a.Key, b.Key) })
	object, err := source.Get(ctx, last.Key)
	if err != nil {
		return f, nil, err
	}
	if f, err = metatrain.DecodeFault(object); err != nil {
		return f, nil, fmt.Errorf("%s: %w", last.Key, err)
	}
	if f.Spec.Data == "" {
		return f, nil, nil
	}
	packed, err := source.Get(ctx, metatrain.DataObject(f.Spec.Data))
	if err != nil {
		return f, nil, fmt.Errorf("the run's data: %w", err)
	}
	data, err = taskshards.Unpack(packed)
	return f, data, err
}

func saveInputs(env *environment, f metatrain.Fault, data *taskshards.DataSet, path string) error {
	arrays, err := env.kinds.Inputs(f, data)
	if err != nil {
		return fmt.Errorf("draw the task: %w", err)
	}
	file, err := checkpoint.EncodeTensors(map[string]string{"run": f.Lease.Work.Run, "failure": f.Text}, arrays)
	if err != nil {
		return err
	}
	return os.WriteFile(path, file, 0o644)
}
