package worker

import (
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// checked is a family of a program's own, whose tasks are not trusted: what would panic, or poison the base model, is
// refused with the task it stands in. Our own families check what they read at their door.
type checked struct {
	taskshards.Family
	name  string
	shape taskshards.Shape
}

// trusted wraps a family unless it is ours.
func trusted(name string, f taskshards.Family) taskshards.Family {
	switch f.(type) {
	case *taskshards.Load, *taskshards.Sinusoid, *taskshards.Omniglot, *taskshards.Arrays:
		return f
	}
	return &checked{f, name, f.Shape()}
}

// Sample draws a task and checks it.
func (c *checked) Sample(split taskshards.Split, seed, step, task uint64, into *taskshards.Task) error {
	if err := c.Family.Sample(split, seed, step, task, into); err != nil {
		return err
	}
	for _, part := range []struct {
		name  string
		batch *taskshards.Batch
		least int
	}{{"support", &into.Support, 0}, {"query", &into.Query, 1}} {
		if err := c.check(part.batch, part.least); err != nil {
			return fmt.Errorf("family %s: %v task %d of step %d: %s: %w", c.name, split, task, step, part.name, err)
		}
	}
	return nil
}

func (c *checked) check(b *taskshards.Batch, least int) error {
	in, out := c.shape.Size(), c.shape.Out
	if b.N < least || len(b.X) < b.N*in || len(b.Y) < b.N*out || len(b.W) < b.N {
		return fmt.Errorf("found %d samples with %d inputs, %d targets and %d weights, expected %d or more samples of %d inputs, %d targets and a weight",
			b.N, len(b.X), len(b.Y), len(b.W), least, in, out)
	}
	for _, a := range []struct {
		name string
		x    []float32
		of   int
	}{{"x", b.X[:b.N*in], in}, {"y", b.Y[:b.N*out], out}, {"w", b.W[:b.N], 1}} {
		if kernel.IsFinite(a.x) {
			continue
		}
		i := slices.IndexFunc(a.x, func(v float32) bool { return v-v != 0 })
		return fmt.Errorf("%s of sample %d: found %v, expected finite numbers", a.name, i/a.of, a.x[i])
	}
	if i := slices.IndexFunc(b.W[:b.N], func(w float32) bool { return w < 0 }); i >= 0 {
		return fmt.Errorf("w of sample %d: found %v, expected 0 or above", i, b.W[i])
	}
	for i := 0; c.shape.Classes && i < b.N; i++ {
		if row := b.Y[i*out:][:out]; !oneHot(row) {
			return fmt.Errorf("y of sample %d: found %v, expected one 1 among zeros: its class of %d", i, row, out)
		}
	}
	return nil
}

// oneHot reports whether row is a 1 among zeros.
func oneHot(row []float32) bool {
	ones := 0
	for _, v := range row {
		switch v {
		case 1:
			ones++
		case 0:
		default:
			return false
		}
	}
	return ones == 1
}
