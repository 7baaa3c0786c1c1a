package strictyaml

import (
	"reflect"
	"strings"
)

type kind int

const (
	unsupported kind = iota
	boolean
	whole    // signed
	unsigned // whole from 0
	number
	text
	structure
	section
)

// field is one key of a described struct.
type field struct {
	key        string
	index      []int // for reflect.Value.FieldByIndex
	kind       kind  // of an element, where isList
	isList     bool
	elem       reflect.Type // of an element, where isList; the field's otherwise
	fallback   string       // the default tag
	hasDefault bool
	min, max   string
	enum       []string
	unit, why  string
	tag        reflect.StructTag
	goName     string
}

// fieldsOf lists the fields of a struct type in order, those of embedded structs without a json tag in their place.
func fieldsOf(t reflect.Type) []field {
	var fs []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key, tagged := jsonKey(sf)
		if sf.Anonymous && !tagged && sf.Type.Kind() == reflect.Struct {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				fs = append(fs, f)
			}
			continue
		}
		if !tagged || key == "-" || !sf.IsExported() {
			continue
		}
		fs = append(fs, newField(sf, key, i))
	}
	return fs
}

// jsonKey is the key in the json tag, and whether the field has one.
func jsonKey(sf reflect.StructField) (string, bool) {
	tag, ok := sf.Tag.Lookup("json")
	key, _, _ := strings.Cut(tag, ",")
	return key, ok && key != ""
}

func newField(sf reflect.StructField, key string, i int) field {
	f := field{
		key: key, index: []int{i}, elem: sf.Type, tag: sf.Tag, goName: sf.Name,
		min: sf.Tag.Get("min"), max: sf.Tag.Get("max"), unit: sf.Tag.Get("unit"), why: sf.Tag.Get("why"),
	}
	f.fallback, f.hasDefault = sf.Tag.Lookup("default")
	if e := sf.Tag.Get("enum"); e != "" {
		f.enum = strings.Split(e, "|")
	}
	f.kind = kindOf(sf.Type)
	if f.kind == unsupported && sf.Type.Kind() == reflect.Slice {
		f.isList, f.elem = true, sf.Type.Elem()
		if f.kind = kindOf(f.elem); f.kind == section {
			f.kind = unsupported
		}
	}
	return f
}

func kindOf(t reflect.Type) kind {
	switch t.Kind() {
	case reflect.Bool:
		return boolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return whole
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return unsigned
	case reflect.Float32, reflect.Float64:
		return number
	case reflect.String:
		return text
	case reflect.Struct:
		if t == reflect.TypeFor[Section]() {
			return section
		}
		return structure
	}
	return unsupported
}

// nested reports a field that is a struct itself, no list of them.
func (f *field) nested() bool { return f.kind == structure && !f.isList }

// defaultNode is the default tag as a value, nil where there is none.
func (f *field) defaultNode() (*node, error) {
	if !f.hasDefault {
		return nil, nil
	}
	return parseValue("default of "+f.key, f.fallback)
}

func keysOf(fs []field) []string {
	keys := make([]string, len(fs))
	for i := range fs {
		keys[i] = fs[i].key
	}
	return keys
}

// typeName says in an error or in Explain what a field takes.
func (f *field) typeName() string {
	name := map[kind]string{boolean: "true or false", whole: "whole number", unsigned: "whole number", number: "number",
		text: "text", structure: "mapping", section: "section"}[f.kind]
	switch {
	case f.isList && (f.kind == whole || f.kind == unsigned || f.kind == number || f.kind == structure):
		return "list of " + name + "s"
	case f.isList:
		return "list of " + name
	}
	return name
}
