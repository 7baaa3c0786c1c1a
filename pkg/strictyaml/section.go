package strictyaml

import (
	"fmt"
	"reflect"
	"strings"
)

// Section is a part of a document whose keys depend on its name: a family, a model, a learner. Decode reads the name
// alone; who knows the name decodes the rest with DecodeSection. A bare name stands for a mapping with that name:
// family: load is family: {name: load}.
//
// A Section made by hand, Section{Name: "load"}, has no options, so that all defaults apply.
type Section struct {
	// Name chooses what the other keys mean. "" where the document has no such section and the field no default.
	Name string
	body *node
	path string
}

// section reads the name and keeps the rest.
func (d *decoder) section(f *field, n *node, v reflect.Value, path string) {
	n = named(n)
	if n.shape != mapping {
		problem, _ := f.expected(n, "")
		d.at(n.from, path, problem, "")
		return
	}
	name := n.get("name")
	if name == nil {
		d.at(n.from, path, "found a mapping without name, expected one", choiceHint(f))
		return
	}
	if name.shape != scalar || name.isNull() || name.text == "" {
		d.at(name.from, join(path, "name"), fmt.Sprintf("found %s, expected a name", name.found()), choiceHint(f))
		return
	}
	if problem, hint := f.chosen(name.text); problem != "" {
		d.at(name.from, path, problem, hint)
		return
	}
	v.Set(reflect.ValueOf(Section{Name: name.text, body: n, path: path}))
}

func choiceHint(f *field) string {
	if f.enum == nil {
		return ""
	}
	return "known names: " + strings.Join(f.enum, ", ")
}

// DecodeSection fills the struct that into points to from the keys of a section, as Decode does; errors name the
// section's path. The key name is allowed whether or not the struct has a field for it.
func (d *Doc) DecodeSection(s Section, into any) error {
	v, err := target(into)
	if err != nil {
		return err
	}
	n := s.body
	if n == nil {
		n = named(&node{text: s.Name, quoted: true, from: origin{source: d.file}})
	}
	dec := decoder{of: s.Name}
	dec.structure(n, v, s.path, []string{"name"})
	return dec.err()
}
