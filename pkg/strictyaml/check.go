package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// CheckTags reports what is wrong with the tags of a struct and of the structs in it: kinds that cannot be decoded,
// misspelt tags, a min or max that is no value of the field's kind, a default that its own field refuses, a choice
// given twice, a missing why. Call it in a test for every struct that is decoded or described.
func CheckTags(described any) error {
	t := reflect.TypeOf(described)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return fmt.Errorf("check tags: found a %T, expected a struct", described)
	}
	return errors.Join(checkStruct(t, t.Name(), nil)...)
}

// checkStruct checks a struct within those of around: a list in a struct may hold structs of its own type.
func checkStruct(t reflect.Type, path string, around []reflect.Type) []error {
	if slices.Contains(around, t) {
		return nil
	}
	around = append(slices.Clip(around), t)
	var errs []error
	for i := range t.NumField() {
		sf := t.Field(i)
		if _, tagged := jsonKey(sf); sf.IsExported() && !sf.Anonymous && !tagged {
			errs = append(errs, fmt.Errorf("%s.%s: no json tag; json:\"-\" keeps it out", path, sf.Name))
		}
	}
	seen := map[string]bool{}
	for _, f := range fieldsOf(t) {
		at := path + "." + f.goName
		if seen[f.key] {
			errs = append(errs, fmt.Errorf("%s: key %s given twice", at, f.key))
		}
		seen[f.key] = true
		for _, problem := range f.check() {
			errs = append(errs, fmt.Errorf("%s: %s", at, problem))
		}
		if f.kind == structure {
			errs = append(errs, checkStruct(f.elem, at, around)...)
		}
	}
	return errs
}

// check lists what is wrong with the tags of one field.
func (f *field) check() []string {
	if f.kind == unsupported {
		return []string{"Go type " + f.elem.String() + " cannot be decoded"}
	}
	problems := append(f.checkKeys(), f.checkBounds()...)
	if f.why == "" && !f.nested() {
		problems = append(problems, "no why: say why anyone would change it")
	}
	if f.enum != nil && f.kind != text && f.kind != section {
		problems = append(problems, "enum on a "+f.typeName())
	}
	for i, choice := range f.enum {
		if choice == "" || slices.Contains(f.enum[:i], choice) {
			problems = append(problems, fmt.Sprintf("enum: %q is empty or given twice", choice))
		}
	}
	return append(problems, f.checkDefault()...)
}

// checkKeys finds misspelt tags, which reflect would pass over in silence.
func (f *field) checkKeys() []string {
	known := []string{"json", "yaml", "default", "min", "max", "enum", "unit", "why"}
	var problems []string
	for rest := strings.TrimSpace(string(f.tag)); rest != ""; rest = strings.TrimSpace(rest) {
		key, after, ok := strings.Cut(rest, ":")
		value, err := strconv.QuotedPrefix(after)
		if !ok || err != nil {
			return append(problems, fmt.Sprintf("tag cannot be read at %q", brief(rest)))
		}
		if !slices.Contains(known, key) {
			problems = append(problems, fmt.Sprintf("unknown tag %q, expected one of %s", key, strings.Join(known, ", ")))
		}
		rest = after[len(value):]
	}
	return problems
}

// checkBounds reads min and max as values of the field's kind, without bounds of their own.
func (f *field) checkBounds() []string {
	if f.kind != whole && f.kind != unsigned && f.kind != number {
		if f.min != "" || f.max != "" {
			return []string{"min or max on " + f.typeName()}
		}
		return nil
	}
	var problems []string
	free := field{kind: f.kind, elem: f.elem}
	for _, b := range []struct{ name, value string }{{"min", f.min}, {"max", f.max}} {
		if b.value == "" {
			continue
		}
		if problem, _ := free.readScalar(&node{text: b.value}, reflect.New(f.elem).Elem()); problem != "" {
			problems = append(problems, b.name+": "+problem)
		}
	}
	if len(problems) == 0 && f.min != "" && f.max != "" {
		above := field{kind: f.kind, elem: f.elem, min: f.min}
		if problem, _ := above.readScalar(&node{text: f.max}, reflect.New(f.elem).Elem()); problem != "" {
			problems = append(problems, "max is below min")
		}
	}
	return problems
}

// checkDefault decodes the default as a document's value would be.
func (f *field) checkDefault() []string {
	n, err := f.defaultNode()
	if err != nil {
		return []string{err.Error()}
	}
	if n == nil {
		return nil
	}
	if f.isList && f.fallback == "" {
		return []string{`default: found "", expected a list; [] is the empty one`}
	}
	if f.nested() && n.shape != mapping {
		return []string{"default: expected a mapping in braces"}
	}
	var d decoder
	d.value(f, n, reflect.New(cmp.Or[reflect.Type](f.listType(), f.elem)).Elem(), f.key)
	if err := d.err(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// listType is the type of the whole field where that is a list, nil otherwise.
func (f *field) listType() reflect.Type {
	if f.isList {
		return reflect.SliceOf(f.elem)
	}
	return nil
}
