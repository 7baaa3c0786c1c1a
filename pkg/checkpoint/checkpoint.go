package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Checkpoint is the state a run resumes from. It holds no clock, host or term,
// so that whoever computes the same step writes the same object.
type Checkpoint struct {
	Contract   string // numerical contract, such as "lane/1"
	SpecDigest string // of all that can change bits
	Rewinds    int64  // how often the run has gone back
	Step       int64  // outer steps done, 0 for theta_0
	// Meta is the caller's own: small texts such as recorded decisions. Keys
	// do not begin with "warmstart.".
	Meta map[string]string
	// Tensors are parameters and optimizer moments; decoded, sorted by name.
	Tensors []Tensor
}

// Metadata in the header of a checkpoint, beside the caller's.
const (
	metaPrefix   = "warmstart."
	metaFormat   = metaPrefix + "format"
	metaContract = metaPrefix + "contract"
	metaSpec     = metaPrefix + "spec_digest"
	metaRewinds  = metaPrefix + "rewinds"
	metaStep     = metaPrefix + "step"

	checkpointFormat = "checkpoint/1"
)

// Encode returns the object's bytes, a function of c alone, and their SHA-256
// in hexadecimal, which becomes part of the key.
func (c Checkpoint) Encode() (data []byte, sha string, err error) {
	if c.Step < 0 || c.Step > maxStep || c.Rewinds < 0 || c.Rewinds > maxRewinds {
		return nil, "", fmt.Errorf("encode checkpoint: step %d, rewinds %d; expected steps from 0 to %d and rewinds from 0 to %d", c.Step, c.Rewinds, int64(maxStep), maxRewinds)
	}
	meta := map[string]string{
		metaFormat:   checkpointFormat,
		metaContract: c.Contract,
		metaSpec:     c.SpecDigest,
		metaRewinds:  strconv.FormatInt(c.Rewinds, 10),
		metaStep:     strconv.FormatInt(c.Step, 10),
	}
	for k, v := range c.Meta {
		if strings.HasPrefix(k, metaPrefix) {
			return nil, "", fmt.Errorf("encode checkpoint: metadata key %q: the prefix %q is reserved", k, metaPrefix)
		}
		meta[k] = v
	}
	data, err = EncodeTensors(meta, c.Tensors)
	if err != nil {
		return nil, "", fmt.Errorf("encode checkpoint: %w", err)
	}
	return data, Digest(data), nil
}

// maxStep and maxRewinds are the highest that keep keys in order.
const (
	maxStep    = 999_999_999_999
	maxRewinds = 999_999
)

// CheckpointFolder is the prefix of all checkpoints of a run.
func CheckpointFolder(run string) string { return "runs/" + run + "/ckpt/" }

// CheckpointKey is the key of a checkpoint: the step in twelve digits and the
// digest of the object. Once the run has gone back, "r" and how often come
// before, in six digits. So keys sort by (rewinds, step): digits sort before r.
func CheckpointKey(run string, rewinds, step int64, sha string) string {
	again := ""
	if rewinds > 0 {
		again = fmt.Sprintf("r%06d-", rewinds)
	}
	return fmt.Sprintf("%s%s%012d-%s.safetensors", CheckpointFolder(run), again, step, sha)
}

// KeyRewinds is how often the run had gone back when the checkpoint of that key was made.
func KeyRewinds(key string) int64 {
	m := checkpointForm.FindStringSubmatch(key)
	if m == nil || m[2] == "" {
		return 0
	}
	n, _ := strconv.ParseInt(m[2], 10, 64) // six digits
	return n
}

// KeyOrder is the part of a checkpoint's key that orders it, as text, by
// (rewinds, step); "" of a key that is none.
func KeyOrder(key string) string {
	if !checkpointForm.MatchString(key) {
		return ""
	}
	base := path.Base(key)
	return base[:strings.LastIndexByte(base, '-')]
}

var checkpointForm = regexp.MustCompile(`^runs/([^/]+)/ckpt/(?:r([0-9]{6})-)?([0-9]{12})-([0-9a-f]{64})\.safetensors$`)

// ParseCheckpointKey is the inverse of CheckpointKey.
func ParseCheckpointKey(key string) (run string, step int64, sha string, err error) {
	m := checkpointForm.FindStringSubmatch(key)
	if m == nil || CheckName(m[1]) != nil {
		return "", 0, "", fmt.Errorf("checkpoint %s: not a checkpoint's name; expected runs/<run>/ckpt/<step, 12 digits>-<sha256>.safetensors, or r<rewinds, 6 digits>- before the step", key)
	}
	step, err = strconv.ParseInt(m[3], 10, 64)
	return m[1], step, m[4], err
}

// DecodeCheckpoint reads the object found under key. It refuses one whose
// bytes do not have the digest in its key (torn, or corrupted), whose header
// does not agree with its key, or which belongs to another contract or spec.
func DecodeCheckpoint(key string, data []byte, wantContract, wantSpec string) (Checkpoint, error) {
	_, step, sha, err := ParseCheckpointKey(key)
	if err != nil {
		return Checkpoint{}, err
	}
	if got := Digest(data); got != sha {
		return Checkpoint{}, fmt.Errorf("checkpoint %s: %d bytes with sha256 %s; expected the one in its name (torn or corrupted)", key, len(data), got)
	}
	meta, tensors, err := DecodeTensors(data)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint %s: %w", key, err)
	}
	for _, field := range []struct{ name, want string }{
		{metaFormat, checkpointFormat},
		{metaContract, wantContract},
		{metaSpec, wantSpec},
		{metaStep, strconv.FormatInt(step, 10)},
	} {
		if got := meta[field.name]; got != field.want {
			return Checkpoint{}, fmt.Errorf("checkpoint %s: %s is %q; expected %q",
				key, strings.TrimPrefix(field.name, metaPrefix), got, field.want)
		}
	}
	rewinds, err := strconv.ParseInt(meta[metaRewinds], 10, 64)
	if err != nil || rewinds < 0 || CheckpointKey("", rewinds, step, sha) != CheckpointFolder("")+path.Base(key) {
		return Checkpoint{}, fmt.Errorf("checkpoint %s: rewinds is %q; expected a whole number of 0 or more, as in its name", key, meta[metaRewinds])
	}
	maps.DeleteFunc(meta, func(k, _ string) bool { return strings.HasPrefix(k, metaPrefix) })
	return Checkpoint{
		Contract: wantContract, SpecDigest: wantSpec,
		Rewinds: rewinds, Step: step, Meta: meta, Tensors: tensors,
	}, nil
}

// Newest returns the whole checkpoint of the run with the highest (rewinds,
// step), and its key. takes, unless nil, may refuse some. Those it could not
// take are in passedOver, an error each, which names the key and the reason.
//
// With no whole checkpoint err wraps ErrNotFound. Should the store fail it
// returns that error, rather than pass over what may be whole.
func Newest(ctx context.Context, store Store, run, contract, spec string, takes func(rewinds, step int64) error) (c Checkpoint, key string, passedOver []error, err error) {
	objects, err := store.List(ctx, CheckpointFolder(run))
	if err != nil {
		return c, "", nil, fmt.Errorf("find newest checkpoint of run %s: %w", run, err)
	}
	for _, o := range objects {
		data, err := store.Get(ctx, o.Key)
		if errors.Is(err, ErrNotFound) { // deleted since it was listed
			passedOver = append(passedOver, fmt.Errorf("checkpoint %s: %w", o.Key, err))
			continue
		}
		if err != nil {
			return Checkpoint{}, "", passedOver, fmt.Errorf("find newest checkpoint of run %s: %w", run, err)
		}
		found, err := DecodeCheckpoint(o.Key, data, contract, spec)
		if err == nil && takes != nil {
			if err = takes(found.Rewinds, found.Step); err != nil {
				err = fmt.Errorf("checkpoint %s: %w", o.Key, err)
			}
		}
		if err != nil {
			passedOver = append(passedOver, err)
			continue
		}
		if key == "" || cmp.Or(cmp.Compare(found.Rewinds, c.Rewinds), cmp.Compare(found.Step, c.Step)) >= 0 {
			c, key = found, o.Key
		}
	}
	if key == "" {
		return c, "", passedOver, fmt.Errorf("find newest checkpoint of run %s: %w: none of %d is whole and of this run's spec", run, ErrNotFound, len(objects))
	}
	return c, key, passedOver, nil
}

// PlanRetention returns the keys to delete so that of a run's checkpoints the
// keep newest by (rewinds, step) and all pinned ones stay (pin what the pointer names).
// Objects that are no checkpoints stay too: who put them there knows why.
func PlanRetention(objects []Object, keep int, pinned ...string) ([]string, error) {
	if keep < 1 {
		return nil, fmt.Errorf("plan retention: keep %d checkpoints; expected at least 1", keep)
	}
	var keys []string
	for _, o := range objects {
		if _, _, _, err := ParseCheckpointKey(o.Key); err == nil {
			keys = append(keys, o.Key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return -cmp.Compare(path.Base(a), path.Base(b)) })
	if len(keys) <= keep {
		return nil, nil
	}
	return slices.DeleteFunc(keys[keep:], func(k string) bool { return slices.Contains(pinned, k) }), nil
}
