package coldstart

import (
	"errors"
	"testing"
)

// A table is given up within a piece of it once nobody wants it: while comparators are tuned, and while rows are scored.
func TestUnwantedTablesEnd(t *testing.T) {
	classes, load := testBase(t, classConfig()), testBase(t, loadConfig())
	for name, make := range map[string]func() error{
		"classes": func() error {
			_, err := EvaluateClasses(classes, sides(t), TaskOptions{Tasks: 4, Comparators: 2})
			return err
		},
		"jobs": func() error { _, err := Evaluate(load, fleet(3), Options{}); return err },
		"tune": func() error { _, err := Tune(load, fleet(3), Options{}); return err },
	} {
		asked, last := 0, -1
		classes.Unwanted = func() bool { asked++; return asked == last }
		load.Unwanted = classes.Unwanted
		if err := make(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if asked < 10 {
			t.Errorf("%s: asked %d times, expected between all pieces", name, asked)
		}
		for _, last = range []int{1, asked / 2, asked} {
			if asked = 0; !errors.Is(make(), ErrUnwanted) || asked != last {
				t.Errorf("%s: made on to question %d after it was unwanted at %d", name, asked, last)
			}
		}
	}
}
