package metatrain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Score is one validation: the criterion (lower is better) at a step.
type Score struct {
	Track int     `json:"track"`
	Step  int64   `json:"step"`
	Value float64 `json:"value"`
}

// State is what a run's next bits depend on: the content of a checkpoint.
type State struct {
	Track int   `json:"track"`
	Step  int64 `json:"step"` // outer steps done in this track
	// Validated: the base model at Step has its score.
	Validated bool    `json:"validated"`
	BestScore float64 `json:"best_score"`
	BestStep  int64   `json:"best_step"`
	// Since counts validations since the best.
	Since  int    `json:"since"`
	Last   *Score `json:"last,omitempty"` // the latest validation
	Layout string `json:"layout,omitempty"`
	// BestScores and BestSteps belong to the tracks that ended, as Bests do.
	BestScores []float64 `json:"best_scores,omitempty"`
	BestSteps  []int64   `json:"best_steps,omitempty"`
	// Results is the digest of all results that counted so far, in a run outside G1: phase.chain.
	Results string `json:"results,omitempty"`
	// Makers are the processes whose results the state rests on, each with the last step over all tracks at which it did
	// not, in a run with audits; "" stands for those beyond maxMakers, none of which was in quarantine when there had been
	// OthersAfter of them. Audits counts those that came out well.
	Makers      map[string]int64 `json:"makers,omitempty"`
	OthersAfter int64            `json:"others_after,omitempty"`
	Audits      int64            `json:"audits,omitempty"`

	Theta []float32   `json:"-"` // nil before init
	Opt   *Optimizer  `json:"-"`
	Best  []float32   `json:"-"` // nil before the first validation
	Bests [][]float32 `json:"-"`

	tracked []View // of the layout in decoded
	decoded string
}

const metaDecisions = "decisions" // of a checkpoint: those its state rests on

// Global is the step over all tracks, by which checkpoints are ordered.
func (s *State) Global(spec *RunSpec) int64 { return int64(s.Track)*(spec.Steps+1) + s.Step }

func (s *State) validationDue(spec *RunSpec) bool {
	return !s.Validated && (s.Step%spec.Validation.Every == 0 || s.Step == spec.Steps)
}

// exhausted says that patience ran out.
func (s *State) exhausted(spec *RunSpec) bool {
	return spec.Validation.Patience > 0 && s.Since >= spec.Validation.Patience
}

// score takes a validation in. A tie keeps the earlier model.
func (s *State) score(value float64) {
	s.Validated = true
	s.Last = &Score{s.Track, s.Step, value}
	if s.Best == nil || value < s.BestScore {
		s.Best, s.BestScore, s.BestStep, s.Since = slices.Clone(s.Theta), value, s.Step, 0
		return
	}
	s.Since++
}

// endTrack closes a track with its best model; the next one starts from theta_0 again.
func (s *State) endTrack() {
	s.Bests = append(s.Bests, s.Best)
	s.BestScores = append(s.BestScores, s.BestScore)
	s.BestSteps = append(s.BestSteps, s.BestStep)
	s.Track++
	s.Step, s.Validated, s.BestScore, s.BestStep, s.Since = 0, false, 0, 0, 0
	s.Theta, s.Opt, s.Best = nil, nil, nil
}

// calmer is the remedy where training leaves bounds. Which learners take inner steps is not known here.
const calmer = "lower optimizer.rate, or learner.rate where the learner takes steps, or set a smaller optimizer.clip (0 is none)"

// update applies the mean meta-gradient: one outer step. sum is overwritten.
func (s *State) update(spec *RunSpec, sum []float32, tasks int) error {
	kernel.Scale(sum, 1/float32(tasks), sum)
	tracked, err := s.statistics()
	if err != nil {
		return fmt.Errorf("step %d: %w", s.Step, err)
	}
	spec.Optimizer.Settle(tracked, s.Theta, sum)
	s.Opt.Step(s.Theta, sum, s.Step, spec.Steps)
	s.Step++
	s.Validated = false
	if i := infinite(s.Theta); i >= 0 {
		return fmt.Errorf("step %d: parameter %d became %v; %s", s.Step, i, s.Theta[i], calmer)
	}
	return nil
}

// encodeState gives the checkpoint of a state. Its bytes are a function of the state: no clock, host or term.
func encodeState(spec *RunSpec, digest string, decisions DecisionsRecord, s *State) (checkpoint.Checkpoint, error) {
	meta, err := json.Marshal(s)
	if err != nil {
		return checkpoint.Checkpoint{}, fmt.Errorf("encode state: %w", err)
	}
	c := checkpoint.Checkpoint{
		Contract: Contract, SpecDigest: digest, Rewinds: int64(len(decisions.Rewinds)), Step: s.Global(spec),
		Meta: map[string]string{"state": string(meta), metaDecisions: string(mustJSON(decisions)), "optimizer": string(mustJSON(spec.Optimizer))},
	}
	add := func(name string, v []float32) {
		if v != nil {
			c.Tensors = append(c.Tensors, checkpoint.Tensor{Name: name, Shape: []int{len(v)}, F32: v})
		}
	}
	add("theta", s.Theta)
	add("best", s.Best)
	if s.Opt != nil {
		add("m", s.Opt.M)
		add("v", s.Opt.V)
	}
	for i, b := range s.Bests {
		add("best."+strconv.Itoa(i), b)
	}
	return c, nil
}

// decodeState is the inverse of encodeState and refuses what does not fit together.
func decodeState(c checkpoint.Checkpoint) (State, error) {
	var s State
	if err := json.Unmarshal([]byte(c.Meta["state"]), &s); err != nil {
		return s, fmt.Errorf("checkpoint of step %d: state: %w", c.Step, err)
	}
	var opt OptimizerSpec
	if err := json.Unmarshal([]byte(c.Meta["optimizer"]), &opt); err != nil {
		return s, fmt.Errorf("checkpoint of step %d: optimizer: %w", c.Step, err)
	}
	byName := map[string][]float32{}
	for _, t := range c.Tensors {
		byName[t.Name] = t.F32
	}
	s.Theta, s.Best = byName["theta"], byName["best"]
	if s.Best != nil && len(s.Best) != len(s.Theta) {
		return s, fmt.Errorf("checkpoint of step %d: %d parameters, best model of %d", c.Step, len(s.Theta), len(s.Best))
	}
	if s.Theta != nil {
		s.Opt = &Optimizer{spec: opt, M: byName["m"], V: byName["v"]}
		if len(s.Opt.M) != len(s.Theta) || opt.Name == "adam" && len(s.Opt.V) != len(s.Theta) {
			return s, fmt.Errorf("checkpoint of step %d: %d parameters, moments of %d and %d", c.Step, len(s.Theta), len(s.Opt.M), len(s.Opt.V))
		}
	}
	for i := range s.Track {
		b := byName["best."+strconv.Itoa(i)]
		if b == nil {
			return s, fmt.Errorf("checkpoint of step %d: tensor best.%d is missing", c.Step, i)
		}
		s.Bests = append(s.Bests, b)
	}
	return s, nil
}
