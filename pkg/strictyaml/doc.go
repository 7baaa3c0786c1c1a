// Package strictyaml decodes YAML into Go structs that their tags describe, and describes the same structs to people
// (Explain) and to editors (Schema). Defaults, ranges, choices, units and reasons stand once, beside the field they
// belong to, and every refusal names the line, the key, what was found and what was expected.
//
//	type Optimizer struct {
//		Name string  `json:"name" default:"adam" enum:"adam|sgd" why:"adam needs no tuning; sgd takes momentum"`
//		Rate float64 `json:"rate" default:"0.001" min:"0" max:"100" unit:"per step" why:"outer learning rate"`
//	}
//
// # Tags
//
//   - json: the key; "-" is not a field; options after a comma are ignored here. A field without it is not decoded.
//   - default: a value as Set takes it. On a struct it is a flow mapping ({loss: abs}) laid below the user's keys and
//     above the defaults of the struct's own fields. On a Section it is a name, or a mapping with one.
//   - min, max: inclusive, for whole numbers and numbers; on a list, for each element.
//   - enum: choices separated by "|", for text, each element of a list of text, and the name of a Section.
//   - unit, why: prose for Explain and Schema; every field but a struct needs a why.
//
// # Values
//
// Kinds are booleans, integers, floats, strings, slices of these four, structs and Section. A single value where a
// list is expected is a list of one. Text is any scalar but null, taken as it is written: name: 2024 is the text
// "2024". Whole numbers are decimal digits only: 1e3, 1_000, 0x10 and 010 are refused with the form to write, as
// YAML's readers disagree about them. Numbers are finite; -0 becomes 0. Booleans are true and false; yes, no, on and
// off are refused. An empty value (key:) stands for an absent one where a struct or Section is expected, and is
// refused elsewhere.
//
// # The caller's duties
//
//  1. Check every described struct by CheckTags in a test: at run time a bad tag is only an error of Decode.
//  2. Set and Underlay come before Decode; a Section keeps what it saw at its Decode.
//  3. A Doc may be decoded from several goroutines, but not while Set or Underlay run.
//
// Input is bounded: MaxBytes of text, MaxValues values after aliases are expanded, MaxDepth levels. Tags (!!str),
// merge keys (<<), keys given twice and a second document are refused. No input makes the package panic.
package strictyaml
