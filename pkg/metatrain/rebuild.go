package metatrain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Remains are what a store holds of a cluster whose etcd is lost: read, and verified where that takes the objects' bytes,
// but not judged.
type Remains struct {
	// Specs are runs/<run>/spec.yaml by run.
	Specs map[string][]byte
	// Checkpoints are the whole ones of each run, of its own spec.
	Checkpoints map[string][]RemainingCheckpoint
	// Versions are those with a manifest that can be read.
	Versions []RemainingVersion
}

// RemainingCheckpoint is a checkpoint less its tensors.
type RemainingCheckpoint struct {
	Key           string
	Rewinds, Step int64
	Meta          map[string]string
}

// RemainingVersion is a version's manifest, and whether all its files are as it says.
type RemainingVersion struct {
	Manifest checkpoint.Manifest
	Whole    bool
}

// Rebuilt is what is to go into an empty etcd, and what people should know of it.
type Rebuilt struct {
	Puts []Put // by key
	Runs []RebuiltRun
	// Versions counts those published, Allotted those whose files are torn: their run writes them again.
	Versions, Allotted int
	// Left says what was left out, and why.
	Left []string
}

// RebuiltRun is one run of a Rebuilt.
type RebuiltRun struct {
	Run    string       `json:"run"`
	Status StatusRecord `json:"status"`
	Step   int64        `json:"step"`  // of the checkpoint it goes on from, over all tracks; -1 = none: it begins at theta_0
	Skips  int          `json:"skips"` // decisions that came with it
}

// Rebuild plans the state of a cluster from what its store holds. created is what records say that need a time, in Unix
// seconds. The plan is a function of its arguments, whatever their order.
//
// A run with a whole published version is finished. Any other comes back paused, at its newest whole checkpoint, with
// the decisions that this rests on. What was decided after it is not in the store; nor is what hangs on it: the run
// comes to the same steps again and decides anew, so that G1 holds with the decisions on record in the end.
func Rebuild(r Remains, created int64) Rebuilt {
	var out Rebuilt
	finished := out.versions(r.Versions)
	specs := maps.Clone(r.Specs)
	if specs == nil {
		specs = map[string][]byte{}
	}
	for _, v := range sorted(r.Versions) { // a manifest holds its run's spec, should the object be lost
		if specs[v.Manifest.Run] == nil && v.Manifest.Run != "" {
			specs[v.Manifest.Run] = []byte(v.Manifest.Spec)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(specs)) {
		spec, err := DecodeSpec(specs[id])
		switch {
		case err != nil:
			out.leave("run %s: %v", id, err)
		case !spec.names(id):
			out.leave("run %s: its spec is that of run %s", id, spec.RunID(0))
		default:
			out.run(id, spec, specs[id], r.Checkpoints[id], finished[id], created)
		}
	}
	slices.SortFunc(out.Puts, func(a, b Put) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

func (out *Rebuilt) leave(format string, a ...any) {
	out.Left = append(out.Left, fmt.Sprintf(format, a...))
}

func (out *Rebuilt) put(key string, record any) {
	out.Puts = append(out.Puts, Put{key, mustJSON(record)})
}

// names says that id is a run of this spec, of whatever generation.
func (s RunSpec) names(id string) bool {
	first := s.RunID(0)
	n, err := strconv.Atoi(strings.TrimPrefix(id, first+"-g"))
	return id == first || err == nil && n > 0 && id == s.RunID(n)
}

// versions plans models/<name>/versions, and gives the newest whole version of each run.
func (out *Rebuilt) versions(all []RemainingVersion) map[string]checkpoint.Manifest {
	models := map[string]VersionsRecord{}
	finished := map[string]checkpoint.Manifest{}
	for _, v := range sorted(all) {
		m := v.Manifest
		at, err := time.Parse(time.RFC3339, m.Created)
		list := models[m.Model]
		switch n := len(list.Versions); {
		case !nameForm.MatchString(m.Model) || m.Version < 1 || m.Version > 1<<31-1:
			out.leave("version %d of model %q: no such version can be", m.Version, m.Model)
			continue
		case err != nil:
			out.leave("%s:%d: created at %q, expected a time", m.Model, m.Version, m.Created)
			continue
		case n > 0 && list.Versions[n-1].N == int(m.Version):
			out.leave("%s:%d: found twice", m.Model, m.Version)
			continue
		}
		list.Versions = append(list.Versions, VersionRecord{N: int(m.Version), Run: m.Run, Created: at.Unix(), Published: v.Whole})
		models[m.Model] = list
		if v.Whole {
			out.Versions++
			finished[m.Run] = m
		} else {
			out.Allotted++
		}
	}
	for model, list := range models {
		out.put(versionsKey(model), list)
	}
	return finished
}

func sorted(all []RemainingVersion) []RemainingVersion {
	return slices.SortedStableFunc(slices.Values(all), func(a, b RemainingVersion) int {
		return cmp.Or(cmp.Compare(a.Manifest.Model, b.Manifest.Model), cmp.Compare(a.Manifest.Version, b.Manifest.Version),
			cmp.Compare(string(mustJSON(a)), string(mustJSON(b))))
	})
}

// run plans the records of one run.
func (out *Rebuilt) run(id string, spec RunSpec, specBytes []byte, checkpoints []RemainingCheckpoint, version checkpoint.Manifest, created int64) {
	run := RebuiltRun{Run: id, Step: -1}
	out.Puts = append(out.Puts, Put{specKey(id), specBytes})
	newest, decisions, found := out.newest(checkpoints)
	if found {
		run.Step, run.Skips = newest.Step, len(decisions.Skips)
		out.put(pointerKey(id), PointerRecord{Rewinds: newest.Rewinds, Step: newest.Step, Key: newest.Key})
		if len(decisions.Skips)+len(decisions.Rewinds) > 0 {
			out.put(decisionsKey(id), decisions)
		}
	}
	run.Status = StatusRecord{State: Paused, Created: created, Ended: created,
		Reason: fmt.Sprintf("its state was rebuilt from the store; `warmstart runs resume %s` goes on", id)}
	if version.Run == id && version.SpecDigest == spec.Digest() && version.Model == spec.Name {
		at, _ := time.Parse(time.RFC3339, version.Created) // held to be one by versions
		run.Status = StatusRecord{State: Finished, Created: at.Unix(), Ended: at.Unix(), Version: int(version.Version)}
	}
	out.put(statusKey(id), run.Status)
	out.Runs = append(out.Runs, run)
}

// newest gives the checkpoint to go on from: the highest by (rewinds, step) whose decisions can be read.
func (out *Rebuilt) newest(all []RemainingCheckpoint) (best RemainingCheckpoint, decisions DecisionsRecord, found bool) {
	for _, c := range all {
		var d DecisionsRecord
		if err := json.Unmarshal([]byte(c.Meta[metaDecisions]), &d); err != nil {
			out.leave("checkpoint %s: its decisions: %v", c.Key, err)
			continue
		}
		if !found || cmp.Or(cmp.Compare(c.Rewinds, best.Rewinds), cmp.Compare(c.Step, best.Step), cmp.Compare(c.Key, best.Key)) > 0 {
			best, decisions, found = c, d, true
		}
	}
	return best, decisions, found
}
