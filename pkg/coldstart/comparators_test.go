package coldstart

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Fine-tuning a network with stored batch norm moves its statistics as training
// does, to the support's by a tenth a step, and not by Adam.
func TestFineTuningLetsStatisticsFollowTheSupport(t *testing.T) {
	c := loadConfig()
	c.Model = metatrain.Section{Name: "layers", Options: json.RawMessage(`{"layers":[{"kind":"flatten"},{"kind":"batchnorm","statistics":"stored"},{"kind":"dense","units":4},{"kind":"tanh"}]}`)}
	b := testBase(t, c)
	w, err := newWorkshop(b)
	if err != nil {
		t.Fatal(err)
	}
	in := b.Model.In()
	s := learner.Batch[float32]{N: 2, X: make([]float32, 2*in), Y: make([]float32, 2*b.Model.Out()), W: []float32{0.5, 0.5}}
	for i := range in {
		s.X[i], s.X[in+i] = float32(i)+2, float32(i) // mean i+1, variance 1
	}
	start := make([]float32, b.Model.NumParams())
	b.Model.Init(2, start)
	for _, p := range b.Model.Params() {
		if p.Name == "norm0.var" {
			start[p.Offset] = 11 // decays towards 1
		}
	}
	err = w.descend(start, s, Choice{Kind: network, Rate: 0.5, Steps: 7}, []int{3, 7}, func(steps int, theta []float32) error {
		left := math.Pow(0.9, float64(steps))
		for _, p := range b.Model.Params() {
			switch p.Name {
			case "norm0.mean":
				for i := range p.Size() {
					if want := float64(i+1) * (1 - left); !near(float64(theta[p.Offset+i]), want, 1e-4) {
						t.Errorf("%d steps: mean %d is %v, expected %v", steps, i, theta[p.Offset+i], want)
					}
				}
			case "norm0.var":
				if want := 1 + 10*left; !near(float64(theta[p.Offset]), want, 1e-4) {
					t.Errorf("%d steps: variance %v, expected %v", steps, theta[p.Offset], want)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
