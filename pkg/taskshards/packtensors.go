package taskshards

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Kinds of packed data beside traces, each with its layout's version.
const (
	packImages = "warmstart images 1"
	packArrays = "warmstart arrays 1"
)

// packImageSet lays out images: `pixels` [images][size][size] of bytes, class
// after class, `images` [classes] = how many each has; names and levels stand in
// the metadata.
func packImageSet(s *ImageSet) (map[string]string, []checkpoint.Tensor) {
	var names []string
	counts := make([]float64, len(s.Classes))
	total := 0
	for k, c := range s.Classes {
		names = append(names, c.Name)
		counts[k] = float64(s.Images(k))
		total += s.Images(k)
	}
	pixels := make([]byte, 0, total*s.Size*s.Size)
	for _, c := range s.Classes {
		pixels = append(pixels, c.Pixels...)
	}
	meta := map[string]string{"kind": packImages, "names": jsonList(names), "levels": strconv.Itoa(s.Levels)}
	return meta, []checkpoint.Tensor{
		{Name: "images", Shape: []int{len(counts)}, F64: counts},
		{Name: "pixels", Shape: []int{total, s.Size, s.Size}, U8: pixels},
	}
}

// packArraySet lays out arrays: `tasks` [tasks][4] = rows, rows of support (-1:
// drawn), split (-1: undivided), whether it has weights; `x` [rows][in...], `y`
// [rows][out] or [rows] labels, `w` [weights], task after task; names, groups and
// the number of classes stand in the metadata.
func packArraySet(s *ArraySet) (map[string]string, []checkpoint.Tensor) {
	var names, groups []string
	tasks := []float64{}
	x, y, w := []float32{}, []float32{}, []float32{}
	for k, t := range s.Tasks {
		names, groups = append(names, t.Name), append(groups, t.Group)
		tasks = append(tasks, float64(s.Rows(k)), float64(t.Support), float64(t.Split), float64(btoi(t.W != nil)))
		x, y, w = append(x, t.X...), append(y, t.Y...), append(w, t.W...)
	}
	rows := len(x) / s.features()
	shape := []int{rows, s.Out}
	meta := map[string]string{"kind": packArrays, "names": jsonList(names), "groups": jsonList(groups), "classes": "0"}
	if s.Classes {
		shape, meta["classes"] = []int{rows}, strconv.Itoa(s.Out)
	}
	return meta, []checkpoint.Tensor{
		{Name: "tasks", Shape: []int{len(s.Tasks), 4}, F64: tasks},
		{Name: "w", Shape: []int{len(w)}, F32: w},
		{Name: "x", Shape: append([]int{rows}, s.In...), F32: x},
		{Name: "y", Shape: shape, F32: y},
	}
}

// tensorsByName takes exactly the tensors named.
func tensorsByName(tensors []checkpoint.Tensor, names ...string) (map[string]checkpoint.Tensor, error) {
	by := make(map[string]checkpoint.Tensor, len(tensors))
	for _, t := range tensors {
		by[t.Name] = t
	}
	for _, n := range names {
		if _, ok := by[n]; !ok || len(by) != len(names) {
			return nil, fmt.Errorf("found %d tensors, expected %v", len(by), names)
		}
	}
	return by, nil
}

func unpackImageSet(meta map[string]string, tensors []checkpoint.Tensor) (*ImageSet, error) {
	by, err := tensorsByName(tensors, "images", "pixels")
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal([]byte(meta["names"]), &names); err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	levels, err := strconv.Atoi(meta["levels"])
	if err != nil {
		return nil, fmt.Errorf("read levels: %w", err)
	}
	counts, pixels := by["images"].F64, by["pixels"].U8
	shape := by["pixels"].Shape
	if len(names) != len(counts) || pixels == nil || len(shape) != 3 || shape[1] != shape[2] || shape[1] < 1 || shape[1] > maxImageSize {
		return nil, fmt.Errorf("found %d names, %d classes, pixels of shape %v, expected a name a class and bytes of [images][size][size]", len(names), len(counts), shape)
	}
	s := &ImageSet{Size: shape[1], Levels: levels, Classes: make([]ImageClass, len(names))}
	for k, n := range counts {
		if !(n >= 1 && n <= float64(len(pixels)/(s.Size*s.Size))) || n != math.Trunc(n) {
			return nil, fmt.Errorf("class %q: found %g images, expected 1 to the %d that are left", names[k], n, len(pixels)/(s.Size*s.Size))
		}
		size := int(n) * s.Size * s.Size
		s.Classes[k] = ImageClass{Name: names[k], Pixels: pixels[:size:size]}
		pixels = pixels[size:]
	}
	if len(pixels) > 0 {
		return nil, fmt.Errorf("found %d pixels more than the classes hold, expected none", len(pixels))
	}
	return s, nil
}

func unpackArraySet(meta map[string]string, tensors []checkpoint.Tensor) (*ArraySet, error) {
	by, err := tensorsByName(tensors, "tasks", "w", "x", "y")
	if err != nil {
		return nil, err
	}
	var names, groups []string
	if err := json.Unmarshal([]byte(meta["names"]), &names); err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	if err := json.Unmarshal([]byte(meta["groups"]), &groups); err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	classes, err := strconv.Atoi(meta["classes"])
	if err != nil {
		return nil, fmt.Errorf("read classes: %w", err)
	}
	tasks, x, y, w := by["tasks"].F64, by["x"], by["y"], by["w"].F32
	if len(groups) != len(names) || len(tasks) != 4*len(names) || x.F32 == nil || y.F32 == nil || w == nil || len(x.Shape) < 2 || len(y.Shape) < 1 {
		return nil, fmt.Errorf("found %d names, %d groups, %d numbers of tasks, x of shape %v, y of shape %v, expected four numbers and a row or more a task", len(names), len(groups), len(tasks), x.Shape, y.Shape)
	}
	s := &ArraySet{In: x.Shape[1:], Out: classes, Classes: classes > 0}
	if !s.Classes && len(y.Shape) == 2 {
		s.Out = y.Shape[1]
	}
	features, targets := s.features(), s.targets()
	if features < 1 || targets < 1 {
		return nil, fmt.Errorf("found x of shape %v, y of shape %v, expected features and targets", x.Shape, y.Shape)
	}
	left := map[string][]float32{"x": x.F32, "y": y.F32, "w": w}
	for k := range names {
		t := ArrayTask{Name: names[k], Group: groups[k]}
		n := tasks[4*k : 4*k+4]
		for i, v := range n {
			if lo := map[int]float64{1: -1, 2: -1}[i]; !(v >= lo && v <= maxArrayBytes) || v != math.Trunc(v) {
				return nil, fmt.Errorf("task %q: found %g, expected a whole number from %g", t.Name, v, lo)
			}
		}
		t.Support, t.Split = int(n[1]), Split(n[2])
		counts := map[string]int{"x": int(n[0]) * features, "y": int(n[0]) * targets, "w": int(n[0]) * int(min(n[3], 1))}
		for name, size := range counts {
			if size > len(left[name]) {
				return nil, fmt.Errorf("task %q: found %d numbers left of %s, expected %d", t.Name, len(left[name]), name, size)
			}
		}
		t.X, t.Y = left["x"][:counts["x"]:counts["x"]], left["y"][:counts["y"]:counts["y"]]
		if n[3] > 0 {
			t.W = left["w"][:counts["w"]:counts["w"]]
		}
		for name, size := range counts {
			left[name] = left[name][size:]
		}
		s.Tasks = append(s.Tasks, t)
	}
	if len(left["x"])+len(left["y"])+len(left["w"]) > 0 {
		return nil, fmt.Errorf("found more numbers than the tasks hold, expected none")
	}
	return s, nil
}
