package worker

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// messages are the types of the wire form, by the headings of docs/PROTOCOL.md.
var messages = map[string]reflect.Type{
	"Term": reflect.TypeFor[metatrain.Term](), "Announce": reflect.TypeFor[metatrain.Announce](), "Hello": reflect.TypeFor[metatrain.Hello](),
	"Skills": reflect.TypeFor[metatrain.Skills](), "LeaseReply": reflect.TypeFor[metatrain.LeaseReply](), "Lease": reflect.TypeFor[metatrain.Lease](),
	"Work": reflect.TypeFor[metatrain.Work](), "Node": reflect.TypeFor[metatrain.Node](), "Beat": reflect.TypeFor[metatrain.Beat](),
	"Ack": reflect.TypeFor[metatrain.Ack](), "Result": reflect.TypeFor[metatrain.Result](), "View": reflect.TypeFor[metatrain.View](),
	"ResultReply": reflect.TypeFor[metatrain.ResultReply](), "Failure": reflect.TypeFor[metatrain.Failure](), "Theta": reflect.TypeFor[metatrain.Theta](),
	"Fetch": reflect.TypeFor[metatrain.Fetch](), "Chunk": reflect.TypeFor[metatrain.Chunk](), "Submit": reflect.TypeFor[metatrain.Submit](),
	"Control": reflect.TypeFor[metatrain.Control](), "Question": reflect.TypeFor[metatrain.Question](), "Upload": reflect.TypeFor[metatrain.Upload](),
	"Answer": reflect.TypeFor[metatrain.Answer](), "Audits": reflect.TypeFor[metatrain.Audits](), "Quarantined": reflect.TypeFor[metatrain.Quarantined](), "RunStatus": reflect.TypeFor[metatrain.RunStatus](), "WorkerStatus": reflect.TypeFor[metatrain.WorkerStatus](),
}

// keys are the JSON names of a type's fields.
func keys(typ reflect.Type) []string {
	var out []string
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

var (
	block   = regexp.MustCompile("(?ms)^```(\\w+) (\\w+)\n(.*?)^```")
	heading = regexp.MustCompile(`(?m)^###? (.*)$`)
	row     = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
	opCase  = regexp.MustCompile(`(?m)^\tcase "(\w+)":`)
)

func protocol(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// examples gives the document's code blocks of one language, by what they show.
func examples(doc, language string) map[string][]string {
	out := map[string][]string{}
	for _, m := range block.FindAllStringSubmatch(doc, -1) {
		if m[1] == language {
			out[m[2]] = append(out[m[2]], m[3])
		}
	}
	return out
}

// Every example is what our types say, and all their fields are shown and described, no others.
func TestProtocolDocument(t *testing.T) {
	doc := protocol(t)
	shown := examples(doc, "json")
	for name, typ := range messages {
		found := map[string]bool{}
		for _, text := range shown[name] {
			for key := range strict(t, name, text, typ) {
				found[key] = true
			}
		}
		if want := keys(typ); !slices.Equal(slices.Sorted(maps.Keys(found)), want) {
			t.Errorf("the examples of %s show %v, its fields are %v", name, slices.Sorted(maps.Keys(found)), want)
		}
	}
	for name := range shown {
		if messages[name] == nil && name != "RunSpec" && name != "sample" {
			t.Errorf("example of %s, which is no message", name)
		}
	}
}

// strict decodes an example, unknown fields refused, and holds that encoding gives it again.
func strict(t *testing.T, name, text string, typ reflect.Type) map[string]any {
	t.Helper()
	into := reflect.New(typ)
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into.Interface()); err != nil {
		t.Errorf("%s: %v\n%s", name, err, text)
		return nil
	}
	again, err := json.Marshal(into.Interface())
	if err != nil {
		t.Fatal(err)
	}
	var a, b map[string]any
	if json.Unmarshal([]byte(text), &a) != nil || json.Unmarshal(again, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s: the example\n%sis encoded as\n%s", name, text, again)
	}
	return a
}

func TestProtocolDescribesEveryField(t *testing.T) {
	doc := protocol(t)
	at := heading.FindAllStringSubmatchIndex(doc, -1)
	described := map[string][]string{}
	for i, m := range at {
		end := len(doc)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		section := doc[m[1]:end]
		if _, table, ok := strings.Cut(section, "| field | |\n"); ok {
			table, _, _ = strings.Cut(table, "\n\n")
			var fields []string
			for _, f := range row.FindAllStringSubmatch(table, -1) {
				fields = append(fields, f[1])
			}
			slices.Sort(fields)
			described[doc[m[2]:m[3]]] = fields
		}
	}
	for name, typ := range messages {
		if want := keys(typ); !slices.Equal(described[name], want) {
			t.Errorf("%s: described are %v, its fields are %v", name, described[name], want)
		}
	}
}

func TestProtocolNamesEveryRequest(t *testing.T) {
	source, err := os.ReadFile("../../internal/coordinator/serve.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(protocol(t), "| OP | from |")
	table, _, _ = strings.Cut(table, "\n\n")
	var served, named []string
	for _, m := range opCase.FindAllStringSubmatch(string(source), -1) {
		served = append(served, m[1])
	}
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		named = append(named, m[1])
	}
	slices.Sort(served)
	slices.Sort(named)
	if len(served) == 0 || !slices.Equal(served, named) {
		t.Errorf("served are %v, the document names %v", served, named)
	}
}

func TestProtocolSpecIsOne(t *testing.T) {
	for _, text := range examples(protocol(t), "json")["RunSpec"] {
		spec, err := metatrain.DecodeSpec([]byte(text))
		if err == nil {
			err = BuiltinKinds().CheckSpec(spec, nil)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func TestProtocolFrame(t *testing.T) {
	shown := examples(protocol(t), "hex")["Question"]
	if len(shown) != 1 {
		t.Fatalf("%d frames are shown, expected one", len(shown))
	}
	frame, err := hex.DecodeString(strings.Join(strings.Fields(shown[0]), ""))
	if err != nil {
		t.Fatal(err)
	}
	if want := metatrain.EncodeFrame(metatrain.Question{Run: "a"}, []byte("hi")); !bytes.Equal(frame, want) {
		t.Errorf("the document shows %x, it is %x", frame, want)
	}
}

func TestProtocolSample(t *testing.T) {
	var shown struct {
		Outputs        []string     `json:"outputs"`
		Support, Query [][2]float32 `json:"-"`
	}
	text := examples(protocol(t), "json")["sample"][0]
	points := struct{ Support, Query [][2]float32 }{}
	if json.Unmarshal([]byte(text), &shown) != nil || json.Unmarshal([]byte(text), &points) != nil {
		t.Fatalf("cannot read %s", text)
	}
	stream := taskshards.NewStream(1, "sinusoid/train", 2, 3)
	for i, want := range shown.Outputs {
		if out := fmt.Sprintf("%#x", stream.Uint64()); out != want {
			t.Errorf("output %d is %s, the document says %s", i, out, want)
		}
	}
	c, err := FamilyConfig("sinusoid", json.RawMessage(`{"shots":[2],"query":1}`))
	if err != nil {
		t.Fatal(err)
	}
	f, err := taskshards.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	var task taskshards.Task
	if err := f.Sample(taskshards.Train, 1, 2, 3, &task); err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		name  string
		b     taskshards.Batch
		shown [][2]float32
	}{{"support", task.Support, points.Support}, {"query", task.Query, points.Query}} {
		if part.b.N != len(part.shown) {
			t.Fatalf("%s has %d samples, the document shows %d", part.name, part.b.N, len(part.shown))
		}
		for i, p := range part.shown {
			if p != [2]float32{part.b.X[i], part.b.Y[i]} {
				t.Errorf("%s %d is %v, %v, the document says %v", part.name, i, part.b.X[i], part.b.Y[i], p)
			}
		}
	}
}
