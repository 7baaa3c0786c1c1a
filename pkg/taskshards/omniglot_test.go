package taskshards

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// glyphs is a set of images that are all different: pixel levels by class, image and place.
func glyphs(classes, images, size int) *DataSet {
	s := &ImageSet{Size: size, Levels: 225}
	for k := range classes {
		c := ImageClass{Name: fmt.Sprintf("set/%06d", k)}
		st := NewStream(uint64(k), "glyphs", 0, 0)
		for range images * size * size {
			c.Pixels = append(c.Pixels, byte(st.Intn(226)))
		}
		s.Classes = append(s.Classes, c)
	}
	return &DataSet{Images: s}
}

func omniglotConfig(edit func(*Config)) Config {
	c, _ := Default("omniglot")
	c.Size, c.Characters = 6, CharactersConfig{Train: 20, Validate: 8, Seed: 1}
	c.Shots = []int{1, 3}
	if edit != nil {
		edit(&c)
	}
	return c
}

func mustOmniglot(tb testing.TB, c Config, ds *DataSet) *Omniglot {
	tb.Helper()
	f, err := NewOmniglot(c, ds)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestG1_OmniglotTasksAreKeyed(t *testing.T) {
	ds := glyphs(40, 8, 6)
	checkKeyed(t, func() Family { return mustOmniglot(t, omniglotConfig(nil), ds) })
	checkSteadyStateAllocatesNothing(t, mustOmniglot(t, omniglotConfig(nil), ds))
}

// Pinned bits of drawn sets: a change here changes every base model trained on them.
func TestG1_ImageAndArrayTaskBitsArePinned(t *testing.T) {
	for _, c := range []struct {
		name, want string
		family     Family
	}{
		{"omniglot", "53658726a50f40ef7fdab7551af82dde5d9d911f0f164f9cf241204605c97727", mustOmniglot(t, omniglotConfig(nil), glyphs(40, 8, 6))},
		{"omniglot plain", "da96600d3424f0d5398ed901a90cc2c1eff9128a3e0ce6442d1855f87b1dabef", mustOmniglot(t, omniglotConfig(func(c *Config) { c.Rotations, c.Invert, c.Query = false, false, 2 }), glyphs(40, 8, 6))},
		{"arrays", "11b1eb3a4875c47b9ccd51c79ce38392344f1feea0823f322bc813dbf13dc282", mustArrays(t, nil, drawnArrays(20, true))},
		{"arrays weighted", "717ad2e28d0937faa306bef72ed7fbd6ca8e766f89d287ee3fe8275a024ba6ba", mustArrays(t, nil, drawnArrays(20, false))},
	} {
		if got := familyDigest(t, c.family); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Unseen tasks may have other shots than those trained on, as Reptile's do: then as many images score them.
func TestOmniglotShotsOfUnseenTasks(t *testing.T) {
	config := omniglotConfig(func(c *Config) { c.Shots, c.TestShots = []int{4}, []int{2} })
	f := mustOmniglot(t, config, glyphs(40, 8, 6))
	var task Task
	for split, shots := range map[Split]int{Train: 4, Validate: 2, Test: 2} {
		if mustSample(t, f, split, 1, 0, 1, &task); task.Support.N != 5*shots || task.Query.N != 5*shots {
			t.Errorf("split %v: %d and %d samples, expected %d of each", split, task.Support.N, task.Query.N, 5*shots)
		}
	}
	config.TestShots = []int{5}
	if _, err := NewOmniglot(config, glyphs(40, 8, 6)); err == nil || !strings.Contains(err.Error(), "found 8 images, expected 10 or more") {
		t.Errorf("%v, expected more images to be asked for", err)
	}
	config.TestShots = []int{0}
	if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "test_shots") {
		t.Errorf("%v, expected test_shots to be refused", err)
	}
}

// A task holds each of its characters once, its drawings once, and says of each which class it is.
func TestOmniglotTasksAreEpisodes(t *testing.T) {
	ds := glyphs(40, 8, 6)
	f := mustOmniglot(t, omniglotConfig(func(c *Config) { c.Shots = []int{3}; c.Query = 5 }), ds)
	origin := map[string][3]int{} // content -> class, drawing, turns
	var buffer [36]float32
	for k, c := range ds.Images.Classes {
		for d := range ds.Images.Images(k) {
			for turns := range 4 {
				f.turn(buffer[:], c.Pixels[d*36:(d+1)*36], turns)
				origin[fmt.Sprint(buffer)] = [3]int{k, d, turns}
			}
		}
	}
	var task Task
	turned := map[int]int{}
	classAt := map[[2]int]int{} // class, way -> times
	for k := range uint64(400) {
		mustSample(t, f, Train, 1, 0, k, &task)
		drawn := map[[3]int]bool{}
		way := map[int]int{} // class -> way
		for _, b := range []*Batch{&task.Support, &task.Query} {
			if want := map[*Batch]int{&task.Support: 15, &task.Query: 25}[b]; b.N != want {
				t.Fatalf("got %d samples, want %d", b.N, want)
			}
			for i := range b.N {
				from, ok := origin[fmt.Sprint([36]float32(b.X[i*36:(i+1)*36]))]
				if !ok {
					t.Fatal("a sample is no image of the set")
				}
				if drawn[from] {
					t.Fatalf("drawing %v stands twice in a task", from)
				}
				drawn[from] = true
				y := b.Y[i*5 : (i+1)*5]
				label := slices.Index(y, 1)
				if sum(y) != 1 || label < 0 || b.W[i] != 1/float32(b.N) {
					t.Fatalf("got target %v, weight %g", y, b.W[i])
				}
				if w, seen := way[from[0]]; seen && w != label {
					t.Fatalf("class %d is labelled %d and %d in one task", from[0], w, label)
				}
				way[from[0]] = label
				turned[from[2]]++
				classAt[[2]int{from[0], label}]++
			}
		}
		if len(way) != 5 {
			t.Fatalf("a task has %d characters, want 5", len(way))
		}
	}
	if len(turned) != 4 || turned[1] < 3000 {
		t.Errorf("drawings came turned so: %v, want all four alike", turned)
	}
	if len(classAt) != 20*5 {
		t.Errorf("%d pairs of character and label were seen, want each of 20 characters as each of 5 classes", len(classAt))
	}
}

func sum(v []float32) (s float32) {
	for _, x := range v {
		s += x
	}
	return s
}

func TestSplitsShareNoCharacter(t *testing.T) {
	ds := glyphs(40, 8, 6)
	f := mustOmniglot(t, omniglotConfig(nil), ds)
	seen := map[string]Split{}
	for s, want := range []int{20, 8, 12} {
		names := f.Characters(Split(s))
		if len(names) != want {
			t.Errorf("split %v has %d characters, want %d", Split(s), len(names), want)
		}
		for _, n := range names {
			if other, twice := seen[n]; twice {
				t.Errorf("character %s is in %v and %v", n, other, Split(s))
			}
			seen[n] = Split(s)
		}
	}
	other := mustOmniglot(t, omniglotConfig(func(c *Config) { c.Characters.Seed = 2 }), ds)
	if slices.Equal(other.Characters(Train), f.Characters(Train)) {
		t.Error("another seed trains on the same characters")
	}
	// The content agrees: no image of a validation task is one of a training task.
	var task Task
	train := map[string]bool{}
	for k := range uint64(300) {
		mustSample(t, f, Train, 1, 0, k, &task)
		for i := range task.Support.N {
			train[fmt.Sprint(task.Support.X[i*36:(i+1)*36])] = true
		}
	}
	for _, s := range []Split{Validate, Test} {
		for k := range uint64(100) {
			mustSample(t, f, s, 1, 0, k, &task)
			for i := range task.Support.N {
				if train[fmt.Sprint(task.Support.X[i*36:(i+1)*36])] {
					t.Fatalf("an image of split %v was trained on", s)
				}
			}
		}
	}
}

// Turning four times by a right angle, or twice by two, gives the image again; once moves the upper right corner to the
// upper left (counter-clockwise).
func TestTurns(t *testing.T) {
	f := mustOmniglot(t, omniglotConfig(nil), glyphs(40, 8, 6))
	pixels := make([]byte, 36)
	for i := range pixels {
		pixels[i] = byte(i)
	}
	var x [36]float32
	f.turn(x[:], pixels, 1)
	if x[0] != f.ink[5] || x[5] != f.ink[35] || x[35] != f.ink[30] || x[1] != f.ink[11] {
		t.Errorf("a quarter turn gives corners %g %g, want the pixels 5 and 35", x[0]*225, x[5]*225)
	}
	turn := func(p []byte, n int) []byte {
		var x [36]float32
		f.turn(x[:], p, n)
		out := make([]byte, 36)
		for i, v := range x {
			out[i] = byte(math.Round(float64(v) * 225))
		}
		return out
	}
	once := turn(pixels, 1)
	twice, thrice := turn(once, 1), turn(turn(once, 1), 1)
	if !bytes.Equal(turn(pixels, 2), twice) || !bytes.Equal(turn(pixels, 3), thrice) || !bytes.Equal(turn(thrice, 1), pixels) {
		t.Error("turns do not add up")
	}
	plain := mustOmniglot(t, omniglotConfig(func(c *Config) { c.Invert = false }), glyphs(40, 8, 6))
	if f.ink[225] != 1 || f.ink[0] != 0 || plain.ink[225] != 0 || plain.ink[0] != 1 {
		t.Error("ink is not 1, or with invert: false not 0")
	}
}

// The area filter against its definition: the share of ink in a target pixel's square, sampled on the common grid.
func TestResizeIsByArea(t *testing.T) {
	for _, c := range [][2]int{{105, 28}, {6, 4}, {5, 5}, {14, 28}, {7, 1}, {40, 3}} {
		r := newResizer(c[0], c[1])
		st := NewStream(1, "resize", uint64(c[0]), uint64(c[1]))
		source := make([]byte, c[0]*c[0])
		for i := range source {
			source[i] = byte(255 * st.Intn(2))
		}
		got := r.resize(nil, source)
		fine := c[0] * c[1] // both sides' common grid
		for v := range c[1] {
			for u := range c[1] {
				ink := 0
				for y := v * c[0]; y < (v+1)*c[0]; y++ {
					for x := u * c[0]; x < (u+1)*c[0]; x++ {
						if source[y/c[1]*c[0]+x/c[1]] == 0 {
							ink++
						}
					}
				}
				share := float64(ink) / float64(c[0]*c[0])
				if want := math.Floor(share*float64(r.levels) + 0.5); math.Abs(float64(got[v*c[1]+u])-want) > 1e-9 {
					t.Fatalf("%v, pixel %d,%d of a grid of %d: got %d, want %g", c, v, u, fine, got[v*c[1]+u], want)
				}
			}
		}
	}
	if r := newResizer(105, 28); r.levels != 225 {
		t.Errorf("105 to 28 has %d levels, want 225: exact", r.levels)
	}
}

func imagesFile(tb testing.TB, shape string, data []byte) []byte {
	return npzOf(tb, map[string][]byte{"images": npy(header("|b1", false, shape), data), "labels": npy(header("<i8", false, "1,"), int64(1))})
}

func TestImagesAreRead(t *testing.T) {
	paper := bytes.Repeat([]byte{255}, 3*2*4)
	paper[0], paper[23] = 0, 0
	fsys := fstest.MapFS{
		"b/two.npz": {Data: imagesFile(t, "3, 2, 2, 2", paper)}, "a.npz": {Data: imagesFile(t, "1, 2, 2, 2", bytes.Repeat([]byte{1}, 8))},
		"labels.npz": {Data: npzOf(t, map[string][]byte{"labels": npy(header("<i8", false, "1,"), int64(1))})},
		"README":     {Data: []byte("text")}, ".hidden.npz": {Data: []byte("text")},
	}
	ds, report, err := IngestImages([]Source{{FS: fsys, Root: "."}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.String(); report.Files != 2 || report.Images != 8 || report.PassedOver != 2 || !strings.Contains(s, "4 classes") {
		t.Errorf("got %s", s)
	}
	var names []string
	for _, c := range ds.Images.Classes {
		names = append(names, c.Name)
	}
	if want := []string{"a/000000", "b/two/000000", "b/two/000001", "b/two/000002"}; !slices.Equal(names, want) || !slices.Equal(ds.Groups(), want) {
		t.Errorf("got classes %v, want %v", names, want)
	}
	if c := ds.Images.Classes; ds.Images.Levels != 4 || c[0].Pixels[0] != 0 || c[1].Pixels[0] != 1 || c[1].Pixels[1] != 0 || c[3].Pixels[1] != 1 {
		t.Errorf("got %+v, want a quarter of ink where one pixel of four is", c)
	}
	back, err := Unpack(mustPack(t, ds))
	if err != nil || Digest(mustPack(t, back)) != Digest(mustPack(t, ds)) {
		t.Errorf("packed and unpacked: %v", err)
	}
}

func TestG7_ImagesAreRefusedByName(t *testing.T) {
	ok := bytes.Repeat([]byte{255}, 8)
	for want, file := range map[string][]byte{
		"a.npz: array images: found shape [1 2 2]":   imagesFile(t, "1, 2, 2", ok),
		"found shape [1 1 2 4]":                      imagesFile(t, "1, 1, 2, 4", ok),
		"class 0, image 1: found 7":                  imagesFile(t, "1, 2, 2, 2", []byte{0, 255, 255, 0, 7, 0, 0, 0}),
		"class 1: found the end of the data":         imagesFile(t, "2, 2, 2, 2", ok),
		"more data than":                             imagesFile(t, "1, 1, 2, 2", ok),
		"elements of type f4":                        npzOf(t, map[string][]byte{"images": npy(header("<f4", false, "1, 1, 2, 2"), make([]float32, 4))}),
		"found no file with an array images":         npzOf(t, map[string][]byte{"pictures": npy(header("|b1", false, "1, 1, 2, 2"), make([]byte, 4))}),
		"expected 3 by 3 as in the first file":       nil,
		"column-major true":                          npzOf(t, map[string][]byte{"images": npy(header("|b1", true, "1, 2, 2, 2"), ok)}),
		"with sides of at most 4096 pixels":          imagesFile(t, "1, 1, 5000, 5000", nil),
		"images.npz: read npz: zip: not a valid zip": []byte("zip"),
	} {
		fsys := fstest.MapFS{"a.npz": {Data: file}}
		switch {
		case file == nil:
			fsys = fstest.MapFS{"0.npz": {Data: imagesFile(t, "1, 1, 3, 3", make([]byte, 9))}, "a.npz": {Data: imagesFile(t, "1, 2, 2, 2", ok)}}
		case string(file) == "zip":
			fsys = fstest.MapFS{"images.npz": {Data: file}}
		}
		if _, _, err := IngestImages([]Source{{FS: fsys, Root: "."}}, 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestG7_OmniglotIsRefusedByField(t *testing.T) {
	ds := glyphs(40, 8, 6)
	for want, edit := range map[string]func(*Config){
		"family.ways: found 1":                func(c *Config) { c.Ways = 1 },
		"family.shots: found 0":               func(c *Config) { c.Shots = []int{1, 0} },
		"family.query":                        func(c *Config) { c.Query = -1 },
		"family.size":                         func(c *Config) { c.Size = 300 },
		"found images of 6 by 6":              func(c *Config) { c.Size = 28 },
		"found 40 characters, expected more":  func(c *Config) { c.Characters.Train = 32 },
		"8 characters to validate on":         func(c *Config) { c.Ways = 9 },
		"found 8 images, expected 9 or more":  func(c *Config) { c.Query = 6 },
		"found 8 images, expected 10 or more": func(c *Config) { c.Shots = []int{5} },
	} {
		if _, err := NewOmniglot(omniglotConfig(edit), ds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if _, err := New(omniglotConfig(nil), nil); err == nil || !strings.Contains(err.Error(), "family.path") {
		t.Errorf("without data: got %v", err)
	}
	f := mustOmniglot(t, omniglotConfig(func(c *Config) { c.Characters.Validate = 0 }), ds)
	if err := f.Sample(Validate, 1, 0, 0, new(Task)); err == nil || !strings.Contains(err.Error(), "family.characters.validate") {
		t.Errorf("without characters to validate on: got %v", err)
	}
}

// The data set itself: 1,623 characters of 20 drawings.
func TestRealOmniglot(t *testing.T) {
	ds, report, err := IngestImages([]Source{realData(t, "omniglot")}, 28)
	if err != nil {
		t.Fatal(err)
	}
	if report.Images != 32460 || report.Classes != 1623 || report.From != 105 || ds.Images.Levels != 225 {
		t.Errorf("got %+v", report)
	}
	const want = "085f2645c4df49cb51293ecec8f9bf05c83cba161ba408b0effeb0b4715c32db"
	if got := Digest(mustPack(t, ds)); got != want {
		t.Errorf("packed images have digest %s, want %s", got, want)
	}
	c, _ := Default("omniglot")
	f := mustOmniglot(t, c, ds)
	const tasks = "99c8e12b274430a7f9d802f8945f5ce56ede6094b8aab793b067e4e4bcb184c7"
	if got := familyDigest(t, f); got != tasks {
		t.Errorf("tasks have digest %s, want %s", got, tasks)
	}
	var task Task
	ink, n := 0.0, 0
	for k := range uint64(50) {
		mustSample(t, f, Train, 1, 0, k, &task)
		for _, x := range task.Support.X {
			ink += float64(x)
			n++
		}
	}
	if share := ink / float64(n); share < 0.05 || share > 0.12 {
		t.Errorf("%.3f of the pixels is ink, want some 8 in a hundred", share)
	}
}
