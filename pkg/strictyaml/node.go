package strictyaml

import "slices"

type shape int

const (
	scalar shape = iota
	list
	mapping
)

// node is a value with where it was written. Nodes never change once made, so documents share them freely; an edit
// makes new nodes along the path from the root.
type node struct {
	shape  shape
	text   string // scalar
	quoted bool   // scalar in quotes or in a block: text and nothing else
	items  []*node
	pairs  []pair // mapping, in order of writing, keys unique
	from   origin
}

type pair struct {
	key   string
	from  origin
	value *node
}

// isNull reports a plain scalar that stands for nothing.
func (n *node) isNull() bool {
	return n.shape == scalar && !n.quoted && slices.Contains([]string{"", "~", "null", "Null", "NULL"}, n.text)
}

// get is the value under a key of a mapping, nil where there is none.
func (n *node) get(key string) *node {
	for _, p := range n.pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// with is the mapping n with key set to value: in place where the key is there, at the end otherwise.
func (n *node) with(p pair) *node {
	made := *n
	made.pairs = slices.Clone(n.pairs)
	for i := range made.pairs {
		if made.pairs[i].key == p.key {
			made.pairs[i] = p
			return &made
		}
	}
	made.pairs = append(made.pairs, p)
	return &made
}

// found says what stands there, for an error.
func (n *node) found() string {
	switch {
	case n.shape == list:
		return "a list"
	case n.shape == mapping:
		return "a mapping"
	case n.isNull():
		return "nothing"
	}
	return quote(n.text)
}

// named is the mapping that a bare scalar stands for where a Section is expected: load is {name: load}.
func named(n *node) *node {
	if n.shape != scalar || n.isNull() {
		return n
	}
	return &node{shape: mapping, from: n.from, pairs: []pair{{key: "name", from: n.from, value: n}}}
}

// sectionName is the name of a section's default: a bare one, or that of a mapping; "" for none.
func (n *node) sectionName() string {
	if n == nil {
		return ""
	}
	if name := named(n).get("name"); name != nil {
		return name.text
	}
	return ""
}

// underlay is top with the keys of below where top has none, deep for mappings. Two sections of different names have
// options that mean different things, so there top stands alone.
func underlay(top, below *node) *node {
	switch {
	case top.isNull() && below.shape == mapping:
		return below
	case top.shape == mapping && below.shape == scalar, top.shape == scalar && below.shape == mapping && below.get("name") != nil:
		top, below = named(top), named(below)
	}
	if top.shape != mapping || below.shape != mapping {
		return top
	}
	a, b := top.get("name"), below.get("name")
	if a != nil && b != nil && a.text != b.text {
		return top
	}
	return merge(top, below)
}

// merge is underlay of two mappings, whatever their names: the root of a document is no section.
func merge(top, below *node) *node {
	made := *top
	made.pairs = slices.Clone(top.pairs)
	for _, p := range below.pairs {
		i := slices.IndexFunc(made.pairs, func(q pair) bool { return q.key == p.key })
		if i < 0 {
			made.pairs = append(made.pairs, p)
			continue
		}
		made.pairs[i].value = underlay(made.pairs[i].value, p.value)
	}
	return &made
}
