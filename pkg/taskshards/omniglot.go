package taskshards

import (
	"fmt"
	"slices"
)

// CharactersConfig divides the classes of omniglot. The order is a shuffle of its
// own, so that runs that differ in their seed alone learn from the same ones.
type CharactersConfig struct {
	// Train is the number of characters trained on, 1,200 in the MAML paper.
	Train int `yaml:"train" json:"train"`

	// Validate is how many of the rest the published model is chosen on. Those
	// left are for the test.
	Validate int `yaml:"validate" json:"validate"`

	// Seed selects the shuffle.
	Seed uint64 `yaml:"seed" json:"seed"`
}

// Omniglot is few-shot image classification (Lake et al. 2015; the episodes of
// Vinyals et al. 2016 and of the MAML paper, section 5.2): a task is Ways
// characters, its support so many drawings of each, its query others of the same
// characters. Inputs are [size][size][1] with ink 1 (or 0), targets one-hot by a
// numbering that is the task's own, weights 1/N. No character is in two splits.
//
// With Rotations each character in each of four rotations is a class of its own
// (Santoro et al. 2016); a task never holds one character twice, as in the MAML
// paper's code, since some look alike turned.
type Omniglot struct {
	set       *ImageSet
	ways      int
	shots     [3][]int // by split
	query     int      // 0: as many as shots
	rotations int
	ink       [256]float32 // value of a level
	domains   [3]string
	splits    [3][]int // classes of the set
}

var _ Family = (*Omniglot)(nil)

// NewOmniglot builds the family over the images of a data set.
func NewOmniglot(c Config, ds *DataSet) (*Omniglot, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if ds == nil || ds.Images == nil {
		return nil, fmt.Errorf("build family omniglot: found no images; expected family.path to name the folder of images_background.npz and images_evaluation.npz")
	}
	set := ds.Images
	if set.Size != c.Size {
		return nil, fmt.Errorf("build family omniglot: found images of %d by %d pixels, expected %d by %d (family.size)", set.Size, set.Size, c.Size, c.Size)
	}
	f := &Omniglot{set: set, ways: c.Ways, shots: c.shotsBySplit(), query: c.Query, rotations: 1, domains: domains("omniglot")}
	if c.Rotations {
		f.rotations = 4
	}
	for l := range set.Levels + 1 {
		f.ink[l] = float32(l) / float32(set.Levels)
		if !c.Invert {
			f.ink[l] = float32(set.Levels-l) / float32(set.Levels)
		}
	}
	if err := f.divide(c.Characters); err != nil {
		return nil, fmt.Errorf("build family omniglot: %w", err)
	}
	return f, nil
}

// divide shuffles the classes and gives each split its own.
func (f *Omniglot) divide(c CharactersConfig) error {
	n := len(f.set.Classes)
	if c.Train+c.Validate >= n {
		return fmt.Errorf("found %d characters, expected more than the %d of family.characters.train and the %d of validate: some are left for the test", n, c.Train, c.Validate)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	st := NewStream(c.Seed, "omniglot/characters", 0, 0)
	st.shuffle(order)
	f.splits = [3][]int{Train: order[:c.Train], Validate: order[c.Train : c.Train+c.Validate], Test: order[c.Train+c.Validate:]}
	for s, classes := range f.splits {
		slices.Sort(classes)
		if n := len(classes); n < f.ways && !(Split(s) == Validate && n == 0) {
			return fmt.Errorf("found %d characters to %v on, expected %d or more for tasks of %d ways", n, Split(s), f.ways, f.ways)
		}
	}
	most := 0
	for _, shots := range f.shots {
		k := slices.Max(shots)
		most = max(most, k+f.scored(k))
	}
	for k := range f.set.Classes {
		if have := f.set.Images(k); have < most {
			return fmt.Errorf("class %s: found %d images, expected %d or more for family.shots, family.test_shots and family.query", f.set.Classes[k].Name, have, most)
		}
	}
	return nil
}

// scored is how many images of each class a task of so many shots is scored on.
func (f *Omniglot) scored(shots int) int {
	if f.query > 0 {
		return f.query
	}
	return shots
}

// Shape is an image of one channel and a class of Ways.
func (f *Omniglot) Shape() Shape {
	return Shape{In: []int{f.set.Size, f.set.Size, 1}, Out: f.ways, Classes: true}
}

// Characters lists the names of a split's characters, ascending.
func (f *Omniglot) Characters(split Split) []string {
	var names []string
	for _, k := range f.splits[split] {
		names = append(names, f.set.Classes[k].Name)
	}
	return names
}

// Sample draws the number of shots, the characters, and for each its rotation and
// its drawings. Samples stand by class, in the order of the task's numbering.
func (f *Omniglot) Sample(split Split, seed, step, task uint64, into *Task) error {
	classes := f.splits[split]
	if len(classes) < f.ways {
		return fmt.Errorf("sample task: found no characters in split %v, expected %d or more: family.characters.%v", split, f.ways, split)
	}
	st := NewStream(seed, f.domains[split], step, task)
	sizes := f.shots[split]
	shots := sizes[st.Intn(len(sizes))]
	query := f.scored(shots)
	in := f.set.Size * f.set.Size
	into.Support.Resize(f.ways*shots, in, f.ways)
	into.Query.Resize(f.ways*query, in, f.ways)
	into.picks = grow(into.picks, f.ways+shots+query)
	characters, drawings := into.picks[:f.ways], into.picks[f.ways:]
	st.choose(characters, len(classes))
	for way, c := range characters {
		class := classes[c]
		turns := st.Intn(f.rotations)
		st.choose(drawings, f.set.Images(class))
		f.fill(&into.Support, way, shots, class, turns, drawings[:shots])
		f.fill(&into.Query, way, query, class, turns, drawings[shots:])
	}
	return nil
}

// fill writes the samples of one class: rows way*n on.
func (f *Omniglot) fill(b *Batch, way, n, class, turns int, drawings []int) {
	in := f.set.Size * f.set.Size
	for i, d := range drawings {
		row := way*n + i
		f.turn(b.X[row*in:(row+1)*in], f.set.Classes[class].Pixels[d*in:(d+1)*in], turns)
		y := b.Y[row*f.ways : (row+1)*f.ways]
		clear(y)
		y[way] = 1
		b.W[row] = 1 / float32(b.N)
	}
}

// turn writes an image turned counter-clockwise by so many right angles.
func (f *Omniglot) turn(x []float32, pixels []byte, turns int) {
	n := f.set.Size
	// The pixel at row r, column c comes from place origin + r*down + c*right.
	origin, down, right := 0, n, 1
	switch turns {
	case 1:
		origin, down, right = n-1, -1, n
	case 2:
		origin, down, right = n*n-1, -n, -1
	case 3:
		origin, down, right = n*(n-1), 1, -n
	}
	for r := range n {
		at := origin + r*down
		for c := range n {
			x[r*n+c] = f.ink[pixels[at+c*right]]
		}
	}
}
