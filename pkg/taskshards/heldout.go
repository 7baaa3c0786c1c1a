package taskshards

import "fmt"

// heldOutTasks is the number of tasks that images, or files that leave the draw
// open, are scored on.
const heldOutTasks = 600

// HeldOut builds a family on data that a model was not trained on, whose Test
// split alone is to be drawn from, and says how many tasks score it well.
//
// For arrays these are all files, or those in a folder test where the source has
// such folders; each is drawn once, and again and again where it leaves support
// and query open. For omniglot the characters are those that the configuration
// leaves for the test: the data is that of the training.
func HeldOut(c Config, ds *DataSet) (f Family, tasks int, err error) {
	if c.Name != "arrays" {
		f, err = New(c, ds)
		return f, heldOutTasks, err
	}
	if err := c.Validate(); err != nil {
		return nil, 0, err
	}
	if ds == nil || ds.Arrays == nil {
		return nil, 0, fmt.Errorf("build family arrays: found no data, expected a folder of .npz or .safetensors files")
	}
	a := &Arrays{set: ds.Arrays, shots: c.Shots, query: c.Query, domains: domains("arrays")}
	for k, t := range a.set.Tasks {
		if t.Split == Test || t.Split == Undivided {
			a.splits[Test] = append(a.splits[Test], k)
			if t.Support == Drawn {
				tasks = heldOutTasks
			}
		}
	}
	if len(a.splits[Test]) == 0 {
		return nil, 0, fmt.Errorf("build family arrays: found no folder test beside train or validate, expected one: the others may have been trained on")
	}
	return a, max(tasks, len(a.splits[Test])), nil
}
