package strictyaml

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// TestG7_ParseErrors holds the text of each refusal of a document as a whole.
func TestG7_ParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\nb:\n  c: 1\n  d: 2\n  c: 3":       `spec.yaml:5: b.c: key given twice, first at spec.yaml:3`,
		"a: 1\n---\nb: 2":                        `spec.yaml:2: found a second document (---), expected one`,
		"a: 1\n---\n":                            `spec.yaml:2: found a second document (---), expected one`,
		"- a":                                    `spec.yaml:1: found a list, expected a mapping (key: value)`,
		"hello":                                  `spec.yaml:1: found "hello", expected a mapping (key: value)`,
		"a: 1\nb: !!str 5":                       `spec.yaml:2: b: found the tag "!!str", expected a plain value; remove the tag`,
		"a: &x {b: 1}\nc:\n  <<: *x":             `spec.yaml:3: c: found the merge key <<, expected a name; write the keys out, or use an alias for a whole value`,
		"? [a]\n: 1":                             `spec.yaml:1: found a list or mapping as a key, expected a name`,
		"\n'': 1":                                `spec.yaml:2: found an empty key, expected a name`,
		"a: 1\nb: *c":                            "spec.yaml: not YAML: unknown anchor 'c' referenced",
		"a: &a [*a]":                             `spec.yaml:1: found more than 32 levels of lists and mappings, expected fewer`,
		"a: 1\nb:\n\t- c":                        `spec.yaml:3: not YAML: found character that cannot start any token`,
		"a: 1\nb: [1,\nc: 2\n":                   `spec.yaml:2: not YAML: did not find expected ',' or ']'`,
		"a: [1":                                  `spec.yaml:1: not YAML: did not find expected ',' or ']'`,
		"a: 1\nb: x: y":                          `spec.yaml:2: not YAML: mapping values are not allowed in this context`,
		"a: " + strings.Repeat("[", 40):          "not YAML: ",
		"a: " + strings.Repeat("[", 20000):       "not YAML: ",
		"a: [" + strings.Repeat("1,", MaxValues): `spec.yaml:1: `,
		strings.Repeat("#", MaxBytes+1):          `spec.yaml: found 262145 bytes, expected at most 262144`,
		"a: \xff\xfe":                            "not YAML: ",
	} {
		_, err := Parse("spec.yaml", []byte(text))
		if !matches(fmt.Sprint(err), want) && !(want == "spec.yaml:1: " && err != nil) {
			t.Errorf("%.60q:\nfound    %v\nexpected %s", text, err, want)
		}
	}
}

// bomb is a document of a few hundred bytes that stands for width^depth values.
func bomb(depth, width int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i <= depth; i++ {
		item := fmt.Sprintf("*a%d, ", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Repeat(item, width))
	}
	return b.String()
}

// TestG7_AliasBomb: aliases may be used, but what they expand to is bounded, and refusing is cheap.
func TestG7_AliasBomb(t *testing.T) {
	if _, err := Parse("spec.yaml", []byte(bomb(3, 10))); err != nil {
		t.Errorf("a few aliases: %v", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse("spec.yaml", []byte(bomb(9, 10)))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "found more than 65536 values once aliases are expanded") {
		t.Errorf("found %v", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("allocated %d MB, expected at most 64", grown>>20)
	}
}

// FuzzDecode: no input panics or outgrows the bounds, and what decodes once decodes again to the same.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "a: 1", "steps: 3\nfamily: load", "optimizer: {rate: 1e-3}\nshots: [1, 2]", bomb(3, 3), "a: &a [*a]",
		"model: {name: mlp, hidden: [3]}", "seed: 18446744073709551615", "? {a: b}\n: c", "a: !!binary x", "--- \n...\n---", "x: |\n  a\n b", "%YAML 1.2\n---\na"} {
		f.Add(s, "family.shots", s)
	}
	f.Fuzz(func(t *testing.T, text, path, value string) {
		d, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		_ = d.Set(path, value)
		var a, b spec
		errA, errB := d.Decode(&a), d.Decode(&b)
		if fmt.Sprint(errA) != fmt.Sprint(errB) || !reflect.DeepEqual(a, b) {
			t.Fatalf("decoded twice: %v %+v, %v %+v", errA, a, errB, b)
		}
		if len(fmt.Sprint(errA)) > 1<<20 {
			t.Fatalf("error of %d bytes", len(fmt.Sprint(errA)))
		}
		_, _ = d.DecodeSection(a.Family, new(load)), d.DecodeSection(a.Model, new(mlp))
		d.Underlay(parsed(t, "family: {name: load, shots: 3}\nmodel: mlp\noptimizer: {rate: 1}\nsteps: 5"))
		_ = d.Decode(&a)
		_ = d.Errorf(path, "x")
	})
}
