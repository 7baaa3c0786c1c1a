package strictyaml

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Decode fills the struct that into points to. Keys that are absent get their defaults; a field without one is left
// as it is. All that is wrong is reported at once, joined: each a *Fault, at most 20. On an error, into is filled in
// part and is not to be used.
//
// The texts, in the order "where: path: problem; hint":
//
//	spec.yaml:7: optimizer.rat: unknown key; did you mean "rate"? known keys: name, rate
//	spec.yaml:3: steps: found "abc", expected a whole number
//	spec.yaml:3: steps: 0 is out of range, expected 1 to 100000000
//	spec.yaml:4: optimizer.name: found "adm", expected one of adam, sgd; did you mean "adam"?
//	--set steps=1e3: steps: found "1e3", expected a whole number; write 1000
func (d *Doc) Decode(into any) error {
	v, err := target(into)
	if err != nil {
		return err
	}
	dec := decoder{}
	dec.structure(d.root, v, "", nil)
	return dec.err()
}

// target is the struct behind a pointer.
func target(into any) (reflect.Value, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return v, fmt.Errorf("decode YAML: found a %T to decode into, expected a pointer to a struct", into)
	}
	return v.Elem(), nil
}

type decoder struct {
	faults
	of string // the name of the section, where it is one's keys that are decoded
}

// structure fills v from a mapping. also are keys that are known though v has no field for them.
func (d *decoder) structure(n *node, v reflect.Value, path string, also []string) {
	fs := fieldsOf(v.Type())
	seen := make([]bool, len(fs))
	for _, p := range n.pairs {
		i := slices.IndexFunc(fs, func(f field) bool { return f.key == p.key })
		switch {
		case i >= 0:
			seen[i] = true
			d.field(&fs[i], p.value, v, join(path, p.key))
		case !slices.Contains(also, p.key):
			problem := "unknown key"
			if d.of != "" && len(also) > 0 {
				problem += " for " + d.of
			}
			d.at(p.from, join(path, shown(p.key)), problem, unknownHint(p.key, fs, also, v.Type()))
		}
	}
	for i := range fs {
		if !seen[i] {
			d.absent(&fs[i], v, join(path, fs[i].key))
		}
	}
}

// unknownHint names the nearest key, or where else a key of this name stands, and then all that are known.
func unknownHint(key string, fs []field, also []string, t reflect.Type) string {
	known := keysOf(fs)
	for _, k := range also {
		if !slices.Contains(known, k) {
			known = append([]string{k}, known...)
		}
	}
	hint := ""
	if near := Nearest(key, known); near != "" {
		hint = fmt.Sprintf("did you mean %q? ", near)
	} else if inner := nestedPath(key, t); inner != "" {
		hint = fmt.Sprintf("did you mean %q? ", inner)
	}
	if len(known) == 0 {
		return hint + "no keys are known here"
	}
	return hint + "known keys: " + strings.Join(known, ", ")
}

// nestedPath is the first field of that key in a struct within t, as a dotted path.
func nestedPath(key string, t reflect.Type) string {
	for _, f := range fieldsOf(t) {
		if !f.nested() {
			continue
		}
		if slices.Contains(keysOf(fieldsOf(f.elem)), key) {
			return f.key + "." + key
		}
		if inner := nestedPath(key, f.elem); inner != "" {
			return f.key + "." + inner
		}
	}
	return ""
}

// absent applies the default of a key that the document does not have.
func (d *decoder) absent(f *field, v reflect.Value, path string) {
	n, err := f.defaultNode()
	switch {
	case err != nil:
		d.at(origin{source: "default of " + f.key}, path, err.Error(), "")
	case n == nil && f.nested():
		d.structure(&node{shape: mapping}, v.FieldByIndex(f.index), path, nil)
	case n != nil:
		d.value(f, n, v.FieldByIndex(f.index), path)
	}
}

// field decodes a value the document gives. Default tags of structs and sections are laid below it.
func (d *decoder) field(f *field, n *node, v reflect.Value, path string) {
	if f.nested() || f.kind == section {
		if n.isNull() {
			d.absent(f, v, path)
			return
		}
		if below, err := f.defaultNode(); err == nil && below != nil {
			if f.kind == section {
				n, below = named(n), named(below)
			}
			n = underlay(n, below)
		}
	}
	d.value(f, n, v.FieldByIndex(f.index), path)
}

func (d *decoder) value(f *field, n *node, v reflect.Value, path string) {
	switch {
	case f.isList:
		d.list(f, n, v, path)
	case f.kind == structure && n.shape == mapping:
		d.structure(n, v, path, nil)
	case f.kind == structure:
		d.noMapping(f, n, path)
	case f.kind == section:
		d.section(f, n, v, path)
	default:
		d.scalar(f, n, v, path)
	}
}

func (d *decoder) noMapping(f *field, n *node, path string) {
	problem, _ := f.expected(n, "")
	d.at(n.from, path, problem+" with keys "+strings.Join(keysOf(fieldsOf(f.elem)), ", "), "")
}

func (d *decoder) scalar(f *field, n *node, v reflect.Value, path string) {
	if problem, hint := f.readScalar(n, v); problem != "" {
		d.at(n.from, path, problem, hint)
	}
}

// list decodes a list, or a scalar or mapping as a list of one. The empty list is not nil.
func (d *decoder) list(f *field, n *node, v reflect.Value, path string) {
	items := []*node{n}
	if n.shape == list {
		items = n.items
	}
	made := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		at := path
		if n.shape == list {
			at += "[" + strconv.Itoa(i) + "]"
		}
		switch {
		case f.kind != structure:
			d.scalar(f, item, made.Index(i), at)
		case item.shape == mapping:
			d.structure(item, made.Index(i), at, nil)
		default:
			d.noMapping(f, item, at)
		}
	}
	v.Set(made)
}
