package worker

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// What the first validation, or the table at the end, would stumble on is refused before any work.
func TestG7_HeldOutDataIsLookedAtFirst(t *testing.T) {
	in := func(splits ...taskshards.Split) *taskshards.DataSet {
		data := rows(true)
		for k := range data.Arrays.Tasks {
			data.Arrays.Tasks[k].Split = splits[k%len(splits)]
		}
		return data
	}
	lacking := rows(true)
	for i := range 4 {
		lacking.Arrays.Tasks[7].Y[i] = 0
	}
	short := rows(true)
	for k := range short.Arrays.Tasks {
		short.Arrays.Tasks[k].Support = taskshards.Drawn
	}
	for _, c := range []struct {
		text string
		data *taskshards.DataSet
		want []string
	}{
		{"family: arrays", in(taskshards.Train, taskshards.Validate), []string{"evaluation.table", "no task in split test"}},
		{"family: arrays\nevaluation: {table: false}", in(taskshards.Train, taskshards.Validate), nil},
		{"family: arrays", in(taskshards.Train, taskshards.Test), []string{"validation", "no task in split validate"}},
		{"family: {name: arrays, split: {test: 0}}", rows(true), []string{"evaluation.table", "family.split"}},
		{"family: arrays\nlearner: protonet", lacking, []string{"t07", "no sample of class 1"}},
		{"family: arrays", lacking, nil},
		{"family: {name: arrays, shots: [12, 50]}", short, []string{"t00", "12 rows", "family.shots"}},
		{"family: {name: arrays, shots: [2, 50]}", short, nil},
	} {
		spec, _ := read(t, c.text)
		_, err := BuiltinKinds().Complete(spec, c.data)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, expected %q to be named", c.text, err, want)
			}
		}
		if c.want == nil && err != nil {
			t.Errorf("%q: %v, expected no error", c.text, err)
		}
	}
}

// A table of files counts each file once, however many tasks are asked for: its interval is over files.
func TestTableCountsEachFileOnce(t *testing.T) {
	for _, support := range []int{4, taskshards.Drawn} {
		data := rows(true)
		for k := range data.Arrays.Tasks {
			data.Arrays.Tasks[k].Support = support
			data.Arrays.Tasks[k].Split = taskshards.Split(k % 3) // four of each
		}
		wide := map[string]float64{}
		for _, tasks := range []string{"4", "400"} {
			spec, _ := read(t, "family: {name: arrays, shots: [4]}", "evaluation.tasks="+tasks)
			e, err := newEngine(spec, BuiltinKinds(), data)
			if err != nil {
				t.Fatal(err)
			}
			theta := make([]float32, e.params)
			e.tracks[0].Init(1, theta)
			table, err := e.table(theta, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			var classes coldstart.ClassTable
			text, _ := json.Marshal(table)
			if err := json.Unmarshal(text, &classes); err != nil {
				t.Fatal(err)
			}
			row := classes.Rows[len(classes.Rows)-1]
			wide[tasks] = row.AccuracyCI[1] - row.AccuracyCI[0]
			if n := row.Tasks; support != taskshards.Drawn && n != 4 {
				t.Errorf("files with a support of their own, %s tasks: %d scored, expected the 4 files", tasks, n)
			}
			if note := strings.Join(classes.Notes, " "); !strings.Contains(note, "the 4 members") {
				t.Errorf("notes %q, expected the number of files", note)
			}
		}
		if few, many := wide["4"], wide["400"]; !(many > few/5) || math.IsNaN(many) {
			t.Errorf("support %d: an interval of %.2f over 4 tasks and of %.2f over 400 of the same files: as if they were others", support, few, many)
		}
	}
}
