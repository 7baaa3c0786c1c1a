package learner

import (
	"bufio"
	"fmt"
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
			{Name: "reptile", Steps: 3, Rate: 0.002, InnerOptimizer: "sgd"},
			{Name: "imaml", Steps: 3, Rate: 0.002}, {Name: "imaml", Steps: 2, Rate: 0.002, Lambda: 0.5, CGSteps: 3, ZeroWeight: 0.5},
		} {
			lines = append(lines, fmt.Sprintf("%v %s skip=%v %s %d %s %s", net.Hidden, net.Activation, net.Skip, c.Name, c.Steps, c.InnerOptimizer, digest(t, c, net)))
		}
	}
	compareLines(t, "testdata/bits_others.txt", lines)
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
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, n := bufio.NewScanner(f), 0
	for ; in.Scan(); n++ {
		if n < len(lines) && in.Text() != lines[n] {
			t.Errorf("line %d of %s:\nrecorded %s\n     got %s", n+1, file, in.Text(), lines[n])
		}
	}
	if n != len(lines) {
		t.Errorf("%s holds %d lines, expected %d", file, n, len(lines))
	}
}
