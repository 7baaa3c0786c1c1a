package metatrain

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Fault is work that failed alike on two workers and stopped its run: with the run's data, which Spec.Data names, all
// that computing it alone takes. It is one object of the store, a safetensors file.
type Fault struct {
	Spec  RunSpec
	Lease Lease
	Task  int    // of the step, -1 where none is at fault alone
	Text  string // the failure
	// Theta and Pooled are what the work is over, nil where it is over none.
	Theta, Pooled []float32
}

const (
	faultSpec   = "spec"
	faultLease  = "lease"
	faultTask   = "task"
	faultText   = "text"
	faultTheta  = "theta"
	faultPooled = "pooled"
)

// FaultFolder is where a run's faults lie in the store, in the order that the run comes to them.
func FaultFolder(run string) string { return "runs/" + run + "/faults/" }

// Encode returns the object of a fault, a function of it alone, and its key.
func (f Fault) Encode() (key string, data []byte, err error) {
	lease, err := json.Marshal(f.Lease)
	if err != nil {
		return "", nil, err
	}
	var ts []checkpoint.Tensor
	for name, v := range map[string][]float32{faultTheta: f.Theta, faultPooled: f.Pooled} {
		if v != nil {
			ts = append(ts, checkpoint.Tensor{Name: name, Shape: []int{len(v)}, F32: v})
		}
	}
	data, err = checkpoint.EncodeTensors(map[string]string{
		faultSpec: string(EncodeSpec(f.Spec)), faultLease: string(lease), faultTask: strconv.Itoa(f.Task), faultText: f.Text,
	}, ts)
	w := &f.Lease.Work
	return fmt.Sprintf("%s%d-%012d-%s.safetensors", FaultFolder(w.Run), w.Track, w.Step, Digest(data)), data, err
}

// DecodeFault reads the object of a fault.
func DecodeFault(data []byte) (f Fault, err error) {
	meta, ts, err := checkpoint.DecodeTensors(data)
	if err != nil {
		return f, err
	}
	if f.Spec, err = DecodeSpec([]byte(meta[faultSpec])); err != nil {
		return f, err
	}
	if err := json.Unmarshal([]byte(meta[faultLease]), &f.Lease); err != nil {
		return f, fmt.Errorf("lease of the fault: %w", err)
	}
	if f.Task, err = strconv.Atoi(meta[faultTask]); err != nil {
		return f, fmt.Errorf("task of the fault: found %q, expected a number", meta[faultTask])
	}
	for _, t := range ts {
		switch t.Name {
		case faultTheta:
			f.Theta = t.F32
		case faultPooled:
			f.Pooled = t.F32
		}
	}
	f.Text = meta[faultText]
	return f, nil
}

// halt ends a run at work that is itself at fault. What computing it alone takes is put into the store before, where
// that can be; the reason then names the command that does.
func (m *Machine) halt(r *run, f Failure, l Lease, what string) {
	p := r.phase
	p.deciding = true // or a result for the same work would end the step that the run is to stop at
	l.ID, l.DeadlineMS = 0, 0
	fault := Fault{Spec: r.spec, Lease: l, Task: f.Task, Text: clip(f.Text)}
	var err error
	if fault.Theta, err = floatsOf(p.theta); err == nil {
		fault.Pooled, err = floatsOf(p.pooled)
	}
	key, data, encode := fault.Encode()
	if err != nil || encode != nil {
		m.end(r, Failed, what)
		return
	}
	m.put(key, data, func(d Done) {
		if r.phase != p {
			return
		}
		reason := clip(what)
		if d.Outcome == OK {
			reason += "; `warmstart reproduce " + r.id + "` computes it alone"
		}
		m.change(r, Failed, reason, func() {})
	})
}

func floatsOf(wire []byte) ([]float32, error) {
	if wire == nil {
		return nil, nil
	}
	return DecodeFloats(wire, len(wire)/4)
}
