package builtin_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"testing"

	"github.com/warmstart-ml/warmstart/builtin"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(builtin.Models, "load/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The embedded model is whole, and is the one that builtin/load.yaml describes with the defaults of this release: who
// changes a default that it rests on trains it again (benchmarks/builtin.sh --renew).
func TestG1_BuiltinIsWhatItsSpecDescribes(t *testing.T) {
	man, err := checkpoint.DecodeManifest(read(t, checkpoint.ManifestFile), "builtin-load", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range man.Files {
		data := read(t, f.Name)
		if checkpoint.Digest(data) != f.SHA256 || int64(len(data)) != f.Size {
			t.Errorf("%s is not the file its manifest names", f.Name)
		}
	}
	text, err := os.ReadFile("load.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := worker.BuiltinKinds().ReadSpec("load.yaml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	var pinned struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal(spec.Family.Options, &pinned); err != nil {
		t.Fatal(err)
	}
	if man.DataDigest != pinned.Digest {
		t.Errorf("trained on data %s, load.yaml pins %s", man.DataDigest, pinned.Digest)
	}
	if spec.Family, err = worker.WithoutReading(spec.Family); err != nil {
		t.Fatal(err)
	}
	spec.Data = pinned.Digest
	if got := spec.Digest(); got != man.SpecDigest {
		t.Errorf("load.yaml describes spec %.12s, the model was trained by %.12s: run benchmarks/builtin.sh --renew", got, man.SpecDigest)
	}
}

func TestBuiltinLoads(t *testing.T) {
	base, err := coldstart.Load(func(name string) ([]byte, error) { return fs.ReadFile(builtin.Models, "load/"+name) })
	if err != nil {
		t.Fatal(err)
	}
	if base.Family.Name != "load" || len(base.Config.Comparators) == 0 {
		t.Errorf("family %q, %d bytes of comparators", base.Family.Name, len(base.Config.Comparators))
	}
}
