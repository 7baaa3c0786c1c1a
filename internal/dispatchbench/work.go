package dispatchbench

import (
	"encoding/json"
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// spec is the run of a bench. Its names say what is computed: nothing that a worker of this module knows.
func (c Config) spec() metatrain.RunSpec {
	never := int64(c.Steps)
	return metatrain.RunSpec{
		Name: "dispatch", Contract: metatrain.Contract, Seed: 1,
		Family: metatrain.Section{Name: "known"}, Model: metatrain.Section{Name: "vector"}, Learner: metatrain.Section{Name: "wait"},
		Inner: metatrain.LossSpec{Loss: "mse", Delta: 1}, Outer: metatrain.LossSpec{Loss: "mse", Delta: 1},
		Optimizer: metatrain.OptimizerSpec{Name: "adam", Rate: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Clip: 10, Schedule: "cosine", Final: 0.01},
		MetaBatch: c.Tasks, Steps: int64(c.Steps),
		Checkpoint: metatrain.CheckpointSpec{Every: 500, Keep: 2},
		Validation: metatrain.ValidationSpec{Every: never, Tasks: 1, Loss: "outer"},
		OnBadTask:  "stop", StallSeconds: 600,
	}
}

// layout names the parameters as one tensor.
func layout(parameters int) string {
	data, err := json.Marshal([]metatrain.View{{Name: "w", Shape: []int{parameters}}})
	if err != nil {
		panic(err) // plain data
	}
	return string(data)
}

// initial is theta_0.
func initial(parameters int) []float32 {
	theta := make([]float32, parameters)
	for j := range theta {
		theta[j] = float32(j%17) / 17
	}
	return theta
}

// score is the validation of a step: it falls, so that the model published is the last one.
func score(step int64) float64 { return 1 / float64(1+step) }

// gradient is task's vector: theta less a target that no two tasks of no two steps share, of two kinds in turn. It stays
// away from subnormal numbers, whose arithmetic is slow.
func gradient(theta []float32, step int64, task int) []float32 {
	seed := uint64(step)<<20 ^ uint64(task)
	seed = (seed ^ seed>>31) * 0x9e3779b97f4a7c15
	target := float32(seed>>40) / (1 << 24)
	targets := [2]float32{target, 1 - target}
	g := make([]float32, len(theta))
	for j, t := range theta {
		g[j] = t - targets[j&1]
	}
	return g
}

// sum folds a shard's tasks as a worker does.
func sum(theta []float32, step int64, node metatrain.Node, tasks int) (metatrain.Partial, error) {
	return metatrain.Fold(node, tasks, func(task int) (metatrain.Partial, error) {
		return metatrain.Partial{Vec: gradient(theta, step, task), Metrics: []float64{float64(task)}, Tasks: 1}, nil
	})
}

// serial is the base model that the run must come to, computed without any of the machinery under test.
func (c Config) serial() ([]byte, error) {
	spec := c.spec()
	theta, opt := initial(c.Parameters), metatrain.NewOptimizer(spec.Optimizer, c.Parameters)
	root := metatrain.Node{Level: metatrain.RootLevel(c.Tasks)}
	for step := range int64(c.Steps) {
		all, err := sum(theta, step, root, c.Tasks)
		if err != nil {
			return nil, err
		}
		kernel.Scale(all.Vec, 1/float32(all.Tasks), all.Vec)
		opt.Step(theta, all.Vec, step, spec.Steps)
	}
	data, err := metatrain.ModelBytes(layout(c.Parameters), theta)
	if err != nil {
		return nil, fmt.Errorf("encode the serial model: %w", err)
	}
	return data, nil
}
