package metatrain

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// EvaluationFile is the cold-start table beside a version's model.
const EvaluationFile = "evaluation.json"

// ModelConfig is config.json of a version: all that is needed to use the model.
type ModelConfig struct {
	Contract string   `json:"contract"`
	Family   Section  `json:"family"`
	Model    Section  `json:"model"`
	Learner  Section  `json:"learner"`
	Inner    LossSpec `json:"inner"`
	Outer    LossSpec `json:"outer"`
	// Shape is that of a sample, where the family does not tell it.
	Shape Shape `json:"shape,omitzero"`
	// Network is the model in full (nn.Config), where its name is of a program's own.
	Network json.RawMessage `json:"network,omitempty"`
	// Comparators are the hyper-parameters chosen on training members, which the cold-start table needs.
	Comparators json.RawMessage `json:"comparators,omitempty"`
}

// publish gives the finished run a version: number and time by a transaction, then its files, then the transaction
// that ends the run. A leader that takes over in between finds the allotment and writes the same bytes.
func (m *Machine) publish(r *run) { m.allot(r, 0) }

// allot records a number for the run's version, above all others. taken is one that the store holds a version of which
// etcd knows nothing of, 0 for none: what is published is never written over.
func (m *Machine) allot(r *run, taken int) {
	var next VersionsRecord
	life := r.life
	files, err := r.files()
	if err != nil {
		m.end(r, Failed, "publish: "+err.Error())
		return
	}
	content := r.content(files)
	m.enqueue(func() (Txn, bool) {
		c := m.versionsOf(r.spec.Name)
		if r.life != life {
			return Txn{}, false // stopped meanwhile; resumed, it comes here again
		}
		if v := c.val.of(r.id); v != nil && v.N != taken && v.Content == content {
			m.putVersion(r, *v)
			return Txn{}, false
		}
		highest := taken
		for _, v := range c.val.Versions {
			highest = max(highest, v.N)
		}
		next.Versions = append([]VersionRecord(nil), c.val.Versions...)
		if v := next.of(r.id); v != nil {
			v.N, v.Content = highest+1, content
		} else {
			next.Versions = append(next.Versions, VersionRecord{N: highest + 1, Run: r.id, Created: m.clock.Wall, Content: content})
		}
		return Txn{
			Expect: append(r.unchanged(), Expect{versionsKey(r.spec.Name), c.rev}),
			Puts:   []Put{{versionsKey(r.spec.Name), mustJSON(next)}},
		}, true
	}, func(rev int64) {
		*m.versionsOf(r.spec.Name) = cell[VersionsRecord]{next, rev}
		m.putVersion(r, *next.of(r.id))
	})
}

func (m *Machine) versionsOf(model string) *cell[VersionsRecord] {
	c := m.versions[model]
	if c == nil {
		c = &cell[VersionsRecord]{}
		m.versions[model] = c
	}
	return c
}

func (v *VersionsRecord) of(run string) *VersionRecord {
	for i := range v.Versions {
		if v.Versions[i].Run == run {
			return &v.Versions[i]
		}
	}
	return nil
}

// putVersion writes the files one after another, the manifest last (G3). A cancel recorded while the manifest is on
// its way may leave a whole version in the store whose record says that it is not published.
func (m *Machine) putVersion(r *run, v VersionRecord) {
	files, err := r.files()
	var entries []checkpoint.Entry
	if err == nil {
		entries, err = checkpoint.BuildVersion(files, r.manifest(v))
	}
	if err != nil {
		m.end(r, Failed, "publish: "+err.Error())
		return
	}
	var put func(i int)
	life := r.life
	put = func(i int) {
		if r.life != life {
			return // stopped meanwhile: without a manifest there is no version
		}
		if i == len(entries) {
			m.finish(r, v)
			return
		}
		m.put(entries[i].Key, entries[i].Data, func(d Done) {
			if d.Outcome == Conflict {
				m.allot(r, v.N)
				return
			}
			if d.Outcome != OK {
				r.note = "publication waits for the store: " + d.Text
				put(i)
				return
			}
			r.lastProgress, r.note = m.clock.Mono, ""
			put(i + 1)
		})
	}
	put(0)
}

func (m *Machine) finish(r *run, v VersionRecord) {
	var versions VersionsRecord
	var status StatusRecord
	life := r.life
	m.enqueue(func() (Txn, bool) {
		c := m.versionsOf(r.spec.Name)
		if r.life != life || r.accusing { // the latter: it goes back, for somebody found out since by another run
			return Txn{}, false
		}
		versions.Versions = append([]VersionRecord(nil), c.val.Versions...)
		versions.of(r.id).Published = true
		status = r.status.val
		status.State, status.Version, status.Ended = Finished, v.N, m.clock.Wall
		return Txn{
			Expect: append(r.unchanged(), Expect{versionsKey(r.spec.Name), c.rev}),
			Puts:   []Put{{versionsKey(r.spec.Name), mustJSON(versions)}, {statusKey(r.id), mustJSON(status)}},
		}, true
	}, func(rev int64) {
		*m.versionsOf(r.spec.Name) = cell[VersionsRecord]{versions, rev}
		r.status = cell[StatusRecord]{status, rev}
		m.rest(r)
		m.publishStatus(r, true)
	})
}

// files builds those of a version, but for the manifest. model.safetensors holds no name, number or run id, so that the same training
// anywhere gives the same file.
func (r *run) files() (map[string][]byte, error) {
	s := &r.state
	files := map[string][]byte{}
	for i, name := range []string{checkpoint.ModelFile, checkpoint.PooledFile}[:len(s.Bests)] {
		data, err := ModelBytes(s.Layout, s.Bests[i])
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	config := ModelConfig{Contract: Contract, Family: r.spec.Family, Model: r.spec.Model, Learner: r.spec.Learner, Inner: r.spec.Inner, Outer: r.spec.Outer, Shape: r.spec.Shape, Network: r.spec.Network}
	if r.evaluation != nil {
		files[EvaluationFile] = r.evaluation
		var err error
		if config.Comparators, err = decodeTable(r.evaluation); err != nil {
			return nil, err
		}
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", checkpoint.ConfigFile, err)
	}
	files[checkpoint.ConfigFile] = append(data, '\n')
	return files, nil
}

// decodeTable reads from a cold-start table what a version's configuration takes over.
func decodeTable(data []byte) (comparators json.RawMessage, err error) {
	var table struct {
		Comparators json.RawMessage `json:"comparators"`
	}
	if err := json.Unmarshal(data, &table); err != nil {
		return nil, fmt.Errorf("table of %d bytes: %w", len(data), err)
	}
	return table.Comparators, nil
}

func (r *run) manifest(v VersionRecord) checkpoint.Manifest {
	s := &r.state
	man := checkpoint.Manifest{
		Model: r.spec.Name, Version: int64(v.N), Run: r.id, Contract: Contract, Spec: string(r.specBytes), SpecDigest: r.digest,
		DataDigest: r.spec.Data, Seed: r.spec.Seed, Steps: s.BestSteps[0], Metrics: map[string]float64{"validation": s.BestScores[0]},
		Created: time.Unix(v.Created, 0).UTC().Format(time.RFC3339),
	}
	if r.spec.OutsideG1() {
		man.OutsideG1, man.Results = outsideG1, s.Results
	}
	if len(s.BestScores) > 1 {
		man.Metrics["pooled_validation"] = s.BestScores[1]
	}
	for i, d := range r.decisions.val.Rewinds {
		man.Decisions = append(man.Decisions, fmt.Sprintf("rewind %d to step %d over all tracks: an audit found %s wrong", i+1, d.Before, strings.Join(d.Processes, ", ")))
	}
	for _, d := range r.decisions.val.Skips {
		man.Decisions = append(man.Decisions, fmt.Sprintf("skip %s track %d step %d task %d: %s", d.Kind, d.Track, d.Step, d.Task, strings.TrimSpace(d.Reason)))
	}
	return man
}

// ModelBytes is model.safetensors: the parameters by name.
func ModelBytes(layout string, theta []float32) ([]byte, error) {
	views, err := DecodeLayout(layout)
	if err != nil {
		return nil, err
	}
	tensors := make([]checkpoint.Tensor, 0, len(views))
	for _, v := range views {
		tensors = append(tensors, checkpoint.Tensor{Name: v.Name, Shape: v.Shape, F32: theta[v.Offset : v.Offset+v.Len()]})
	}
	return checkpoint.EncodeTensors(map[string]string{"contract": Contract}, tensors)
}
