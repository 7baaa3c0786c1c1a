package strictyaml

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// lineWidth is how wide Explain writes, in characters.
const lineWidth = 100

// Group is one described struct and where it stands in the document.
type Group struct {
	// Path is where its keys stand: "" for the root, "family" for the options of a section.
	Path string
	// Name is the section's name that chooses this struct; "" for the root.
	Name string
	// Title is one line for the heading, "tasks from load traces".
	Title string
	// Struct is a value of the struct or a pointer to one; only its type is used.
	Struct any
}

func (g Group) structType() (reflect.Type, error) {
	t := reflect.TypeOf(g.Struct)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("describe %s %s: found a %T, expected a struct", g.Path, g.Name, g.Struct)
	}
	return t, nil
}

// heading is "family: load - tasks from load traces".
func (g Group) heading() string {
	place := g.Path
	if g.Name != "" {
		place = g.Path + ": " + g.Name
	}
	if place == "" || g.Title == "" {
		return place + g.Title
	}
	return place + " - " + g.Title
}

// row is one field as Explain shows it.
type row struct{ path, kind, fallback, allowed, why string }

// Explain writes every field of every group, in order: path, type, default, range or choices with the unit, and on
// the lines below the reason. Columns are aligned within a group; no line is longer than 100 characters unless a
// single word is.
func Explain(w io.Writer, groups ...Group) error {
	var out strings.Builder
	x := explainer{sections: map[string]*node{}}
	for i, g := range groups {
		t, err := g.structType()
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte('\n')
		}
		head := g.heading()
		fmt.Fprintf(&out, "%s\n%s\n", head, strings.Repeat("-", min(lineWidth, utf8.RuneCountInString(head))))
		rows, err := x.group(t, g)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			out.WriteString("no options\n")
		}
		writeRows(&out, rows)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// explainer remembers the defaults of the sections it has met, which stand above those of their options.
type explainer struct{ sections map[string]*node }

func (x *explainer) group(t reflect.Type, g Group) ([]row, error) {
	var over *node
	if n := x.sections[g.Path]; g.Name != "" && g.Name == n.sectionName() {
		over = named(n)
	}
	return x.rows(t, g, g.Path, over)
}

// rows lists the fields of t below path. over is a mapping whose values replace the fields' own defaults.
func (x *explainer) rows(t reflect.Type, g Group, path string, over *node) ([]row, error) {
	var rows []row
	for _, f := range fieldsOf(t) {
		if g.Name != "" && path == g.Path && f.key == "name" {
			continue // the heading says it
		}
		n, err := f.effectiveDefault(over)
		if err != nil {
			return nil, err
		}
		at := join(path, f.key)
		if f.nested() {
			inner, err := x.rows(f.elem, g, at, n)
			if err != nil {
				return nil, err
			}
			rows = append(rows, inner...)
			continue
		}
		if f.kind == section {
			x.sections[at] = n
		}
		rows = append(rows, row{path: at, kind: f.typeName(), fallback: n.shortText(), allowed: f.allowed(), why: f.why})
		if f.kind == structure && f.elem != t { // a list of structs of its own type says no more
			inner, err := x.rows(f.elem, g, at+"[]", nil)
			if err != nil {
				return nil, err
			}
			rows = append(rows, inner...)
		}
	}
	return rows, nil
}

// effectiveDefault is the default of a field within a struct whose own default is over. nil where there is none.
func (f *field) effectiveDefault(over *node) (*node, error) {
	n, err := f.defaultNode()
	if err != nil || over == nil {
		return n, err
	}
	switch top := over.get(f.key); {
	case top == nil:
		return n, nil
	case n == nil || !f.nested() && f.kind != section:
		return top, nil
	default:
		return underlay(top, n), nil
	}
}

// allowed is the range or the choices, and the unit.
func (f *field) allowed() string {
	s := strings.Join(f.enum, ", ")
	if lo := f.min; lo != "" || f.max != "" {
		if f.kind == unsigned {
			lo = cmp.Or(lo, "0")
		}
		s = rangeText(lo, f.max)
	}
	if f.unit != "" {
		s = strings.TrimSpace(s + " (" + f.unit + ")")
	}
	return s
}

// shortText is a default in YAML's flow form, "-" for none.
func (n *node) shortText() string {
	switch {
	case n == nil:
		return "-"
	case n.shape == list:
		parts := make([]string, len(n.items))
		for i, item := range n.items {
			parts[i] = item.shortText()
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case n.shape == mapping:
		parts := make([]string, len(n.pairs))
		for i, p := range n.pairs {
			parts[i] = p.key + ": " + p.value.shortText()
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return orEmpty(n.text)
}

func writeRows(out *strings.Builder, rows []row) {
	var path, kind, fallback int
	for _, r := range rows {
		path = max(path, utf8.RuneCountInString(r.path))
		kind = max(kind, utf8.RuneCountInString(r.kind))
		fallback = max(fallback, min(24, utf8.RuneCountInString(r.fallback)))
	}
	for _, r := range rows {
		head := fmt.Sprintf("%-*s  %-*s  %-*s", path, r.path, kind, r.kind, fallback, r.fallback)
		if utf8.RuneCountInString(head) > lineWidth {
			writeWrapped(out, fmt.Sprintf("%-*s  ", path, r.path), r.kind)
			writeWrapped(out, "    default ", r.fallback)
			head = "    allowed"
		}
		writeWrapped(out, head+"  ", r.allowed)
		if r.why != "" {
			writeWrapped(out, "    ", r.why)
		}
	}
}

// writeWrapped writes first and then the words of prose, broken at the line's width and indented as far as first, or
// by eight where first leaves less than a quarter of the line.
func writeWrapped(out *strings.Builder, first, prose string) {
	indent := utf8.RuneCountInString(first)
	if indent > lineWidth*3/4 {
		indent = 8
	}
	line := first
	for _, word := range strings.Fields(prose) {
		if strings.TrimSpace(line) != "" && utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > lineWidth {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", indent)
		}
		line += word + " "
	}
	out.WriteString(strings.TrimRight(line, " ") + "\n")
}
