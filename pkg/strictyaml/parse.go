package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxBytes is the longest document Parse reads. A parsed value takes some hundred bytes, so this also bounds memory.
	MaxBytes = 256 << 10
	// MaxValues is the most keys, scalars, lists and mappings of a document, each alias counted as all it stands for.
	MaxValues = 1 << 16
	// MaxDepth is how deep lists and mappings nest.
	MaxDepth = 32
)

// Doc is a parsed document: a mapping, with the line of every value.
type Doc struct {
	file string
	root *node
}

// Parse reads one YAML document whose root is a mapping; an empty one is an empty mapping. file names it in errors:
// "spec.yaml:12: optimizer.rate: key given twice, first at spec.yaml:7".
func Parse(file string, data []byte) (*Doc, error) {
	n, err := parseNode(file, data)
	if err != nil {
		return nil, err
	}
	if n.isNull() {
		n = &node{shape: mapping, from: n.from}
	}
	if n.shape != mapping {
		return nil, &Fault{Where: n.from.String(), Problem: fmt.Sprintf("found %s, expected a mapping (key: value)", n.found())}
	}
	return &Doc{file: file, root: n}, nil
}

// parseNode reads one document of any shape; nothing at all is null.
func parseNode(file string, data []byte) (*node, error) {
	if len(data) > MaxBytes {
		return nil, &Fault{Where: file, Problem: fmt.Sprintf("found %d bytes, expected at most %d", len(data), MaxBytes)}
	}
	docs, err := readDocuments(data)
	if err != nil {
		return nil, syntaxFault(file, data, err)
	}
	if len(docs) == 0 {
		return &node{from: origin{source: file, line: 1}}, nil
	}
	if len(docs) > 1 {
		at := origin{source: file, line: docs[1].Line}
		return nil, &Fault{Where: at.String(), Problem: "found a second document (---), expected one"}
	}
	c := converter{file: file}
	n := c.convert(docs[0].Content[0], "", 0)
	return n, c.err()
}

// readDocuments parses the first two documents: one more than is wanted. The parser of yaml/v3 panics where its own
// expectations fail; such a panic ends here, as an error.
func readDocuments(data []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < 2 {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, &n)
	}
	return docs, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)

// syntaxFault turns "yaml: line 3: did not find ..." into "spec.yaml:3: did not find ...".
func syntaxFault(file string, data []byte, err error) error {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return &Fault{Where: file, Problem: err.Error()}
	}
	line, _ := strconv.Atoi(m[1])
	switch {
	case strings.HasPrefix(m[2], "unknown anchor"): // carries no line
	case line == 0, strings.HasPrefix(m[2], "did not find expected"):
		line++ // yaml/v3 leaves the first line out, and its parser, unlike its scanner, counts from 0
	}
	line = min(line, 1+bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))) // the end may be a line further
	return &Fault{Where: origin{source: file, line: line}.String(), Problem: "not YAML: " + m[2]}
}

// converter copies yaml's nodes into ours, aliases expanded, within the limits.
type converter struct {
	file   string
	values int
	full   bool // a limit was met: stop, and report that alone
	faults
}

// limit records that a limit was met. Only the first counts: the rest of the document is not read.
func (c *converter) limit(o origin, path, problem string) {
	if !c.full {
		c.full = true
		c.faults = faults{}
		c.at(o, path, problem, "")
	}
}

func (c *converter) convert(y *yaml.Node, path string, depth int) *node {
	o := origin{source: c.file, line: y.Line}
	c.values++
	switch {
	case c.full:
		return &node{from: o}
	case c.values > MaxValues:
		c.limit(o, "", fmt.Sprintf("found more than %d values once aliases are expanded, expected fewer", MaxValues))
	case depth > MaxDepth:
		c.limit(o, "", fmt.Sprintf("found more than %d levels of lists and mappings, expected fewer", MaxDepth))
	case y.Kind == yaml.AliasNode && y.Alias != nil:
		return c.convert(y.Alias, path, depth+1)
	case y.Style&yaml.TaggedStyle != 0:
		c.at(o, path, fmt.Sprintf("found the tag %s, expected a plain value", quote(y.Tag)), "remove the tag")
	case y.Kind == yaml.SequenceNode:
		n := &node{shape: list, from: o}
		for i, item := range y.Content {
			n.items = append(n.items, c.convert(item, path+"["+strconv.Itoa(i)+"]", depth+1))
		}
		return n
	case y.Kind == yaml.MappingNode:
		return c.mapping(y, o, path, depth)
	}
	return &node{text: y.Value, quoted: y.Style&^yaml.TaggedStyle != 0, from: o}
}

func (c *converter) mapping(y *yaml.Node, o origin, path string, depth int) *node {
	n := &node{shape: mapping, from: o}
	seen := map[string]origin{}
	for i := 0; i+1 < len(y.Content) && !c.full; i += 2 {
		k := y.Content[i]
		at := origin{source: c.file, line: k.Line}
		key, problem := keyText(k)
		if problem != "" {
			c.at(at, path, problem, "")
			continue
		}
		inner := join(path, shown(key))
		if first, twice := seen[key]; twice {
			c.at(at, inner, "key given twice, first at "+first.String(), "")
			continue
		}
		seen[key] = at
		value := c.convert(y.Content[i+1], inner, depth+1)
		if value.shape != scalar {
			value.from = at // yaml gives a block the line of its first element
		}
		n.pairs = append(n.pairs, pair{key: key, from: at, value: value})
	}
	return n
}

// keyText is a key's text, or what is wrong with it.
func keyText(k *yaml.Node) (key, problem string) {
	if k.Kind == yaml.AliasNode && k.Alias != nil {
		k = k.Alias
	}
	switch {
	case k.Kind != yaml.ScalarNode:
		return "", "found a list or mapping as a key, expected a name"
	case k.Tag == "!!merge":
		return "", "found the merge key <<, expected a name; write the keys out, or use an alias for a whole value"
	case k.Value == "":
		return "", "found an empty key, expected a name"
	case k.Style&yaml.TaggedStyle != 0:
		return "", fmt.Sprintf("found the tag %s on a key, expected a plain name", quote(k.Tag))
	}
	return k.Value, ""
}
