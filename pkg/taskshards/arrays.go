package taskshards

import (
	"fmt"
	"slices"
)

// Arrays is the family of the user's own tasks, read from files (see
// IngestArrays). A training task is one of its split's files, drawn at random;
// those of the other splits go through theirs in order, round and round. A file
// with support and query of its own gives these; of one with rows alone, Shots of
// them make the support and up to Query of the others the query. Targets are as
// in the file, or one-hot. Weights are the file's, scaled to a sum of 1, or 1/N.
type Arrays struct {
	set     *ArraySet
	shots   []int
	query   int
	domains [3]string
	splits  [3][]int // tasks of the set
}

var _ Family = (*Arrays)(nil)

// NewArrays builds the family over the arrays of a data set.
func NewArrays(c Config, ds *DataSet) (*Arrays, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if ds == nil || ds.Arrays == nil {
		return nil, fmt.Errorf("build family arrays: found no data; expected family.path to name a folder of .npz or .safetensors files, one a task")
	}
	f := &Arrays{set: ds.Arrays, shots: c.Shots, query: c.Query, domains: domains("arrays")}
	if c.Classes != 0 && (!f.set.Classes || c.Classes != f.set.Out) {
		return nil, fmt.Errorf("build family arrays: found data of %d targets or classes (classes: %v), expected the %d of family.classes", f.set.Out, f.set.Classes, c.Classes)
	}
	least := slices.Min(f.shots)
	for k, t := range f.set.Tasks {
		if rows := f.set.Rows(k); t.Support == Drawn && rows <= least {
			return nil, fmt.Errorf("build family arrays: %s: found %d rows, expected more than the %d of family.shots: the support takes those, and the query others", t.Name, rows, least)
		}
	}
	if f.set.Tasks[0].Split != Undivided {
		for k, t := range f.set.Tasks {
			f.splits[t.Split] = append(f.splits[t.Split], k)
		}
	} else {
		d := Divide(ds.Groups(), c.Division)
		if d.ByTime {
			return nil, fmt.Errorf("build family arrays: found %d groups of files, expected %d or more to divide, or folders train, validate and test", len(ds.Groups()), fewestGroups)
		}
		for k, t := range f.set.Tasks {
			s := d.of[t.Group]
			f.splits[s] = append(f.splits[s], k)
		}
	}
	if len(f.splits[Train]) == 0 {
		return nil, fmt.Errorf("build family arrays: found no task to train on among %d; expected a folder train with some", len(f.set.Tasks))
	}
	return f, nil
}

// Shape is that of the files.
func (f *Arrays) Shape() Shape {
	return Shape{In: f.set.In, Out: f.set.Out, Classes: f.set.Classes}
}

// Draws reports whether any task leaves its support and query to be drawn.
func (f *Arrays) Draws() bool {
	return slices.ContainsFunc(f.set.Tasks, func(t ArrayTask) bool { return t.Support == Drawn })
}

// LacksClass says which file's own support has no sample of which class; "" where none lacks any.
func (f *Arrays) LacksClass() (name string, class int) {
	for _, t := range f.set.Tasks {
		for class := 0; f.set.Classes && t.Support != Drawn && class < f.set.Out; class++ {
			if !slices.Contains(t.Y[:t.Support], float32(class)) {
				return t.Name, class
			}
		}
	}
	return "", 0
}

// Tasks lists the names of a split's tasks, ascending.
func (f *Arrays) Tasks(split Split) []string {
	var names []string
	for _, k := range f.splits[split] {
		names = append(names, f.set.Tasks[k].Name)
	}
	return names
}

// Sample draws a file, and what it leaves open.
func (f *Arrays) Sample(split Split, seed, step, task uint64, into *Task) error {
	tasks := f.splits[split]
	if len(tasks) == 0 {
		return fmt.Errorf("sample task: found no task in split %v; expected a larger share of family.split for it, or files in a folder %v", split, split)
	}
	st := NewStream(seed, f.domains[split], step, task)
	k := tasks[task%uint64(len(tasks))]
	if split == Train {
		k = tasks[st.Intn(len(tasks))]
	}
	t, rows := &f.set.Tasks[k], f.set.Rows(k)
	shots, query := t.Support, rows-t.Support
	if t.Support == Drawn {
		shots = f.shots[st.Intn(len(f.shots))]
		if shots >= rows {
			shots = fittingShots(f.shots, rows)
		}
		query = min(f.query, rows-shots)
	}
	into.picks = grow(into.picks, shots+query)
	if t.Support == Drawn {
		st.choose(into.picks, rows)
	} else {
		for i := range into.picks {
			into.picks[i] = i
		}
	}
	f.fill(&into.Support, t, into.picks[:shots])
	f.fill(&into.Query, t, into.picks[shots:])
	return nil
}

// fill writes rows of a task.
func (f *Arrays) fill(b *Batch, t *ArrayTask, rows []int) {
	in, out, targets := f.set.features(), f.set.Out, f.set.targets()
	b.Resize(len(rows), in, out)
	if f.set.Classes {
		clear(b.Y)
	}
	sum := 0.0
	for i, r := range rows {
		copy(b.X[i*in:(i+1)*in], t.X[r*in:])
		if f.set.Classes {
			b.Y[i*out+int(t.Y[r])] = 1
		} else {
			copy(b.Y[i*out:(i+1)*out], t.Y[r*targets:])
		}
		if t.W != nil {
			sum += float64(t.W[r])
		}
	}
	for i, r := range rows {
		b.W[i] = 1 / float32(len(rows))
		if sum > 0 {
			b.W[i] = float32(float64(t.W[r]) / sum)
		}
	}
}
