package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Set gives the value at a dotted path ("family.path"), over whatever the document says there; the last Set of a path
// wins. Missing mappings on the way are made, and a bare section name on the way (family: load) becomes {name: load}.
//
// A value that begins with [, {, " or ' is a YAML flow value: [a, b] is a list. Any other is taken literally, blanks
// around it cut, so that paths with '#', ': ' or '*' need no quotes. An empty value is the empty text.
//
// Errors about the value, now or in Decode, begin with "--set family.path=..." instead of a line.
func (d *Doc) Set(path, value string) error {
	return d.SetAs("--set "+path+"="+brief(value), path, value)
}

// SetAs is Set with errors that begin with source: the flag that people typed, where it was not --set.
func (d *Doc) SetAs(source, path, value string) error {
	o := origin{source: source}
	keys := strings.Split(path, ".")
	if slices.Contains(keys, "") {
		return &Fault{Where: o.source, Problem: fmt.Sprintf("found the path %s, expected KEY or KEY.KEY", quote(path))}
	}
	if len(keys) > MaxDepth {
		return &Fault{Where: o.source, Problem: fmt.Sprintf("found %d keys in the path, expected at most %d", len(keys), MaxDepth)}
	}
	n, err := parseValue(o.source, value)
	if err != nil {
		return err
	}
	d.root = setIn(d.root, keys, n, o)
	return nil
}

func setIn(n *node, keys []string, value *node, o origin) *node {
	if len(keys) == 0 {
		return value
	}
	switch {
	case n == nil || n.isNull() || n.shape == list:
		n = &node{shape: mapping, from: o}
	case n.shape == scalar:
		n = named(n)
		n.from = o // this Set made it a mapping
	}
	return n.with(pair{key: keys[0], from: o, value: setIn(n.get(keys[0]), keys[1:], value, o)})
}

// parseValue reads the value of a Set or of a default tag. All of it is from source: it has no lines of its own.
func parseValue(source, value string) (*node, error) {
	text := strings.TrimSpace(value)
	if text == "" || !strings.ContainsRune(`[{"'`, rune(text[0])) {
		return &node{text: text, quoted: text == "", from: origin{source: source}}, nil
	}
	n, err := parseNode("", []byte(text))
	if err != nil {
		var f *Fault
		if !errors.As(err, &f) {
			return nil, err
		}
		return nil, &Fault{Where: source, Path: f.Path, Problem: f.Problem, Hint: f.Hint}
	}
	return n.relocate(origin{source: source}), nil
}

// relocate is n with another origin throughout.
func (n *node) relocate(o origin) *node {
	made := *n
	made.from = o
	made.items, made.pairs = nil, nil
	for _, item := range n.items {
		made.items = append(made.items, item.relocate(o))
	}
	for _, p := range n.pairs {
		made.pairs = append(made.pairs, pair{key: p.key, from: o, value: p.value.relocate(o)})
	}
	return &made
}

// brief is a value cut for an error, on one line.
func brief(value string) string {
	value = strings.Join(strings.Fields(value), " ")
	if r := []rune(value); len(r) > 40 {
		return string(r[:37]) + "..."
	}
	return value
}

// Underlay merges other below the keys of d: a key that d has stays, mappings are merged key by key, lists are not. A
// section of another name than other's stays as it is, since other's options belong to other's name; so does any
// mapping with a different value under "name", but for the root. other does not change.
func (d *Doc) Underlay(other *Doc) {
	d.root = merge(d.root, other.root)
}

// Has reports whether the document, with what Set and Underlay added, gives a value at the dotted path.
func (d *Doc) Has(path string) bool {
	n, _ := d.find(path)
	return n != nil
}

// Errorf is a Fault at the value of a path, for checks that tags cannot express: two fields that must agree, a family
// that does not know a source. Where the document has no such value, it names the nearest mapping around it.
func (d *Doc) Errorf(path, format string, args ...any) error {
	_, o := d.find(path)
	return &Fault{Where: o.String(), Path: path, Problem: fmt.Sprintf(format, args...)}
}

// find is the value at a path, nil where there is none, and where it or the last key before it stands.
func (d *Doc) find(path string) (*node, origin) {
	n, o := d.root, origin{source: d.file}
	for key := range strings.SplitSeq(path, ".") {
		i := slices.IndexFunc(n.pairs, func(p pair) bool { return p.key == key })
		if i < 0 {
			return nil, o
		}
		n, o = n.pairs[i].value, n.pairs[i].from
	}
	return n, o
}
