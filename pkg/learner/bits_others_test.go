package learner

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// TestG1_OtherLearnersBits is TestG1_GradientBits for the learners that came
// after it, with a file of their own.
func TestG1_OtherLearnersBits(t *testing.T) {
	var lines []string
	for _, net := range []nn.Config{{Name: "mlp", Hidden: []int{40, 40}}, {Name: "mlp", Hidden: []int{24, 7}, Activation: "tanh", Skip: true}, {Name: "mlp", Hidden: []int{300}, Skip: true}} {
		for _, c := range []Config{
			{Name: "reptile", Steps: 3, Rate: 0.002}, {Name: "reptile", Steps: 2, Rate: 0.002, Beta1: 0.9, Beta2: 0.99},
			{Name: "reptile", Steps: 3, Rate: 0.002, InnerOptimizer: "sgd"}, {Name: "reptile", Steps: 4, Rate: 0.002, InnerBatch: 2},
			{Name: "imaml", Steps: 3, Rate: 0.002}, {Name: "imaml", Steps: 2, Rate: 0.002, Lambda: 0.5, CGSteps: 3, ZeroWeight: 0.5},
		} {
			lines = append(lines, fmt.Sprintf("%v %s skip=%v %s %d %s %s", net.Hidden, net.Activation, net.Skip, c.Name, c.Steps, c.InnerOptimizer, digest(t, c, net)))
		}
	}
	for _, net := range []nn.Config{
		{Name: "mlp", Hidden: []int{40, 40}}, {Name: "mlp"}, {Name: "mlp", Hidden: []int{300}, Skip: true},
		{Name: "layers", Layers: []nn.LayerSpec{{Kind: "dense", Units: 24}, {Kind: "batchnorm"}, {Kind: "relu"}}},
	} {
		for _, c := range []Config{{Name: "protonet"}, {Name: "ridge", OuterLoss: "softmax", ZeroWeight: 0.5}, {Name: "ridge", OuterLoss: "bce", Precision: 1}} {
			lines = append(lines, fmt.Sprintf("%s %v skip=%v %s %s %s", net.Name, net.Hidden, net.Skip, c.Name, c.OuterLoss, classDigest(t, c, net)))
		}
	}
	compareLines(t, "testdata/bits_others.txt", lines)
}

// classDigest is digest on tasks of five classes.
func classDigest(t *testing.T, c Config, net nn.Config) string {
	const ways = 5
	r := rand.New(rand.NewPCG(99, 2))
	l, _ := setup[float32](t, r, c, net, 6, ways, 0)
	theta, grad := make([]float32, l.NumParams()), make([]float32, l.NumParams())
	l.Init(7, theta)
	h := sha256.New()
	for _, shots := range []int{1, 5, 60, 2} {
		task := Task[float32]{Support: uniformClasses(r, 6, ways, shots), Query: uniformClasses(r, 6, ways, 3)}
		loss, err := l.Gradient(theta, &task, grad)
		if err != nil {
			t.Fatal(err)
		}
		if err := binary.Write(h, binary.LittleEndian, append(grad, loss)); err != nil {
			t.Fatal(err)
		}
		for i, g := range grad {
			step := float32(0.001 * g)
			theta[i] -= step
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// uniformClasses is uniform with one-hot targets, the classes in turn. The two
// targets drawn first go unused.
func uniformClasses(r *rand.Rand, in, ways, shots int) Batch[float32] {
	b := uniform(r, ways*shots, in, 2)
	b.Y = make([]float32, b.N*ways)
	for i := range b.N {
		b.Y[i*ways+i%ways] = 1
	}
	return b
}

// compareLines holds lines against those recorded, or records them (-update).
func compareLines(t *testing.T, file string, lines []string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	recorded := recordedLines(t, file)
	for i, line := range recorded {
		if i < len(lines) && line != lines[i] {
			t.Errorf("line %d of %s:\nrecorded %s\n     got %s", i+1, file, line, lines[i])
		}
	}
	if n := len(recorded); n != len(lines) {
		t.Errorf("%s holds %d lines, expected %d", file, n, len(lines))
	}
}

func recordedLines(t *testing.T, file string) []string {
	t.Helper()
	recorded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(recorded), "\n"), "\n")
}
