package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// object is a JSON object; encoding/json writes its keys sorted, so equal schemas are equal bytes.
type object = map[string]any

// Schema describes the groups as a JSON schema, draft 2020-12, for editors and for tools that make specs. Exactly one
// group has the empty Path: the document. The others are the options of sections, by Path and Name; a section without
// a group takes any options. The schema is the stricter of the two in one way: text must be text, so that 2024 wants
// quotes there, which Decode does not ask for.
func Schema(groups ...Group) ([]byte, error) {
	s := schemer{groups: groups, defs: object{}}
	var root object
	for _, g := range groups {
		if g.Path != "" {
			continue
		}
		if root != nil {
			return nil, fmt.Errorf("describe schema: found two groups with an empty path, expected one")
		}
		t, err := g.structType()
		if err != nil {
			return nil, err
		}
		if root, err = s.structure(t, "", nil); err != nil {
			return nil, err
		}
		if len(s.defs) > 0 {
			root["$defs"] = s.defs
		}
		root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		if g.Title != "" {
			root["title"] = g.Title
		}
	}
	if root == nil {
		return nil, fmt.Errorf("describe schema: found no group with an empty path, expected one")
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(root)
	return out.Bytes(), err
}

// schemer makes the schemas of groups; structs in lists, which may hold lists of their own type, go to defs by name.
type schemer struct {
	groups []Group
	defs   object
}

// define makes the schema of a struct in a list once, and refers to it.
func (s *schemer) define(t reflect.Type, path string) (object, error) {
	if _, made := s.defs[t.Name()]; !made {
		s.defs[t.Name()] = nil // what it holds of its own type refers to it
		o, err := s.structure(t, path, nil)
		if err != nil {
			return nil, err
		}
		s.defs[t.Name()] = o
	}
	return object{"$ref": "#/$defs/" + t.Name()}, nil
}

func (s *schemer) structure(t reflect.Type, path string, over *node) (object, error) {
	props := object{}
	for _, f := range fieldsOf(t) {
		n, err := f.effectiveDefault(over)
		if err != nil {
			return nil, err
		}
		if props[f.key], err = s.field(&f, join(path, f.key), n); err != nil {
			return nil, err
		}
	}
	return object{"type": "object", "additionalProperties": false, "properties": props}, nil
}

func (s *schemer) field(f *field, path string, fallback *node) (object, error) {
	var o object
	var err error
	switch {
	case f.kind == structure && f.isList:
		var one object
		if one, err = s.define(f.elem, path); err == nil {
			o = object{"anyOf": []any{object{"type": "array", "items": one}, one}}
		}
	case f.kind == structure:
		if o, err = s.structure(f.elem, path, fallback); err == nil {
			o["type"] = []string{"object", "null"}
		}
		fallback = nil // its fields carry it
	case f.kind == section:
		o, err = s.section(f, path, fallback)
	case f.kind == unsupported:
		err = fmt.Errorf("describe %s: Go type %s has no schema", path, f.elem)
	case f.isList:
		one := f.scalarSchema()
		o = object{"anyOf": []any{object{"type": "array", "items": one}, one}}
	default:
		o = f.scalarSchema()
	}
	if err != nil {
		return nil, err
	}
	if d := f.description(); d != "" {
		o["description"] = d
	}
	if fallback != nil {
		o["default"] = f.jsonValue(fallback)
	}
	return o, nil
}

func (f *field) description() string {
	if f.unit == "" {
		return f.why
	}
	return "[" + f.unit + "] " + f.why
}

func (f *field) scalarSchema() object {
	o := object{"type": map[kind]string{boolean: "boolean", whole: "integer", unsigned: "integer", number: "number", text: "string"}[f.kind]}
	lo := f.min
	if f.kind == unsigned && lo == "" {
		lo = "0"
	}
	if lo != "" {
		o["minimum"] = f.jsonScalar(lo)
	}
	if f.max != "" {
		o["maximum"] = f.jsonScalar(f.max)
	}
	if f.enum != nil {
		o["enum"] = f.enum
	}
	return o
}

// section is a choice by name among the groups at this path. The default's own name may be left out.
func (s *schemer) section(f *field, path string, fallback *node) (object, error) {
	chosen := fallback.sectionName()
	var names []string
	var choices []any
	for _, g := range s.groups {
		if g.Path != path {
			continue
		}
		o, err := s.choice(g, fallback)
		if err != nil {
			return nil, err
		}
		names = append(names, g.Name)
		choices = append(choices, o)
	}
	if choices == nil {
		return f.openSection(chosen), nil
	}
	return object{"oneOf": append([]any{object{"enum": names}}, choices...)}, nil
}

// openSection is a section that no group describes: a name and any options.
func (f *field) openSection(chosen string) object {
	name := object{"type": "string"}
	if f.enum != nil {
		name["enum"] = f.enum
	}
	body := object{"type": "object", "properties": object{"name": name}}
	if chosen == "" {
		body["required"] = []string{"name"}
	}
	return object{"oneOf": []any{name, body}}
}

// choice is the schema of a section's options under one name.
func (s *schemer) choice(g Group, fallback *node) (object, error) {
	t, err := g.structType()
	if err != nil {
		return nil, err
	}
	var over *node
	if g.Name == fallback.sectionName() {
		over = named(fallback)
	}
	o, err := s.structure(t, g.Path, over)
	if err != nil {
		return nil, err
	}
	o["properties"].(object)["name"] = object{"const": g.Name}
	if g.Title != "" {
		o["title"] = g.Title
	}
	if over == nil {
		o["required"] = []string{"name"}
	}
	return o, nil
}

// jsonValue is a default as JSON.
func (f *field) jsonValue(n *node) any {
	switch n.shape {
	case list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = f.jsonValue(item)
		}
		return items
	case mapping:
		o := object{}
		for _, p := range n.pairs {
			o[p.key] = untyped(p.value)
		}
		return o
	}
	return f.jsonScalar(n.text)
}

// jsonScalar writes a tag's text as JSON: numbers to their last digit, up to 2^64-1.
func (f *field) jsonScalar(word string) any {
	switch f.kind {
	case boolean:
		return word == "true"
	case whole, unsigned:
		if wholeForm.MatchString(word) && word[0] != '+' {
			return json.Number(word)
		}
	case number:
		if x, err := strconv.ParseFloat(word, 64); err == nil {
			return x
		}
	}
	return word
}

// untyped is a value within a section's default, whose options have no type here: a number where it looks like one.
func untyped(n *node) any {
	f := field{kind: text}
	switch {
	case n.quoted || n.shape != scalar:
	case wholeForm.MatchString(n.text):
		f.kind = whole
	case numberForm.MatchString(n.text):
		f.kind = number
	case n.text == "true" || n.text == "false":
		f.kind = boolean
	}
	if n.shape == list {
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = untyped(item)
		}
		return items
	}
	return f.jsonValue(n)
}
