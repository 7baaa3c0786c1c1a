package strictyaml

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	wholeForm  = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	numberForm = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)
)

// readScalar sets v, of the field's element type, to what n says. It returns what was found and expected ("" when all
// is well) and a hint.
func (f *field) readScalar(n *node, v reflect.Value) (problem, hint string) {
	if n.shape != scalar || n.isNull() {
		return f.expected(n, hintNothing(f, n))
	}
	if n.quoted && f.kind != text {
		return f.expected(n, "remove the quotes")
	}
	switch f.kind {
	case boolean:
		return f.readBool(n, v)
	case whole:
		return f.readWhole(n, v)
	case unsigned:
		return f.readUnsigned(n, v)
	case number:
		return f.readNumber(n, v)
	case text:
		if p, h := f.chosen(n.text); p != "" {
			return p, h
		}
		v.SetString(n.text)
		return "", ""
	}
	return "fields of Go type " + f.elem.String() + " cannot be decoded", ""
}

// expected is "found X, expected a whole number", with the remedy.
func (f *field) expected(n *node, hint string) (string, string) {
	what := map[kind]string{boolean: "true or false", whole: "a whole number", unsigned: "a whole number", number: "a number",
		text: "text", structure: "a mapping", section: "a name or a mapping with one"}[f.kind]
	if f.isList && n.shape != scalar {
		what += " or a list"
	}
	return fmt.Sprintf("found %s, expected %s", n.found(), what), hint
}

func hintNothing(f *field, n *node) string {
	switch {
	case !n.isNull():
		return ""
	case f.isList:
		return "leave the key out for its default; [] is the empty list"
	case f.kind == text && n.text != "":
		return "put it in quotes if it is meant as text"
	case f.hasDefault:
		return fmt.Sprintf("leave the key out for its default, %s", orEmpty(f.fallback))
	}
	return "give a value or leave the key out"
}

func orEmpty(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// chosen holds text against the choices of the enum tag.
func (f *field) chosen(word string) (problem, hint string) {
	if f.enum == nil || slices.Contains(f.enum, word) {
		return "", ""
	}
	if near := Nearest(word, f.enum); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("found %s, expected one of %s", quote(word), strings.Join(f.enum, ", ")), hint
}

func (f *field) readBool(n *node, v reflect.Value) (problem, hint string) {
	switch n.text {
	case "true", "false":
		v.SetBool(n.text == "true")
		return "", ""
	}
	switch strings.ToLower(n.text) {
	case "true", "yes", "on", "y", "1":
		hint = "write true"
	case "false", "no", "off", "n", "0":
		hint = "write false"
	}
	return f.expected(n, hint)
}

func (f *field) readWhole(n *node, v reflect.Value) (problem, hint string) {
	if !wholeForm.MatchString(n.text) {
		return f.expected(n, wholeHint(n.text))
	}
	bits := f.elem.Bits()
	lo, hi := int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)
	x, err := strconv.ParseInt(n.text, 10, bits)
	if err != nil {
		return f.outOfRange(n, fmt.Sprint(lo), fmt.Sprint(hi)), ""
	}
	lo, hi = limits(f, lo, hi, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	if x < lo || x > hi {
		return f.outOfRange(n, "", ""), ""
	}
	v.SetInt(x)
	return "", ""
}

func (f *field) readUnsigned(n *node, v reflect.Value) (problem, hint string) {
	if !wholeForm.MatchString(n.text) {
		return f.expected(n, wholeHint(n.text))
	}
	bits := f.elem.Bits()
	lo, hi := uint64(0), uint64(math.MaxUint64)>>(64-bits)
	digits := strings.TrimPrefix(n.text, "+")
	if digits == "-0" {
		digits = "0"
	}
	x, err := strconv.ParseUint(digits, 10, bits)
	if err != nil {
		return f.outOfRange(n, "0", fmt.Sprint(hi)), ""
	}
	lo, hi = limits(f, lo, hi, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	if x < lo || x > hi {
		return f.outOfRange(n, "0", ""), ""
	}
	v.SetUint(x)
	return "", ""
}

func (f *field) readNumber(n *node, v reflect.Value) (problem, hint string) {
	bits := f.elem.Bits()
	if !numberForm.MatchString(n.text) {
		return f.notNumber(n)
	}
	x, err := strconv.ParseFloat(n.text, bits)
	lo, hi := limits(f, math.Inf(-1), math.Inf(1), func(s string) (float64, error) { return strconv.ParseFloat(s, bits) })
	if err != nil || x < lo || x > hi {
		return f.outOfRange(n, "", ""), ""
	}
	if x == 0 && strings.ContainsAny(mantissa(n.text), "123456789") {
		return fmt.Sprintf("%s is too small, expected 0 or at least %s in size", brief(n.text), smallest(bits)), ""
	}
	v.SetFloat(x + 0) // -0 + 0 = +0: the sign of a zero would be a bit that nobody sees
	return "", ""
}

func mantissa(s string) string {
	m, _, _ := strings.Cut(strings.ToLower(s), "e")
	return m
}

func smallest(bits int) string {
	if bits == 32 {
		return strconv.FormatFloat(math.SmallestNonzeroFloat32, 'g', -1, 32)
	}
	return strconv.FormatFloat(math.SmallestNonzeroFloat64, 'g', -1, 64)
}

func (f *field) notNumber(n *node) (problem, hint string) {
	bare := strings.TrimLeft(strings.ToLower(n.text), "-+.")
	if bare == "nan" || bare == "inf" || bare == "infinity" {
		return fmt.Sprintf("found %s, expected a finite number", n.text), ""
	}
	if fixed := strings.NewReplacer("_", "", ",", ".").Replace(n.text); len(fixed) < 32 && numberForm.MatchString(fixed) {
		hint = "write " + fixed
	}
	return f.expected(n, hint)
}

// limits narrows a kind's own range by the min and max tags. CheckTags has seen that they parse.
func limits[T cmp.Ordered](f *field, lo, hi T, parse func(string) (T, error)) (T, T) {
	if x, err := parse(f.min); err == nil {
		lo = max(lo, x)
	}
	if x, err := parse(f.max); err == nil {
		hi = min(hi, x)
	}
	return lo, hi
}

// outOfRange names the bounds of the tags; where those are missing, the kind's own that matter here, if any do.
func (f *field) outOfRange(n *node, kindLo, kindHi string) string {
	return fmt.Sprintf("%s is out of range, expected %s", brief(n.text), rangeText(cmp.Or(f.min, kindLo), cmp.Or(f.max, kindHi)))
}

// rangeText is "1 to 10", "1 or more", "at most 10"; "a finite number" without bounds.
func rangeText(lo, hi string) string {
	switch {
	case lo != "" && hi != "":
		return lo + " to " + hi
	case lo != "":
		return lo + " or more"
	case hi != "":
		return "at most " + hi
	}
	return "a finite number"
}

// wholeHint is how to write what was meant as a whole number: 1e3 is 1000, 0x10 is 16.
func wholeHint(s string) string {
	if len(s) > 32 {
		return ""
	}
	bare := strings.ReplaceAll(s, "_", "")
	if digits := strings.TrimLeft(bare, "0"); digits != bare && wholeForm.MatchString(digits) {
		return "write " + digits
	}
	if x, ok := new(big.Int).SetString(bare, 0); ok {
		return "write " + x.String()
	}
	x, err := strconv.ParseFloat(bare, 64)
	if err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return "write " + strconv.FormatFloat(x, 'f', -1, 64)
	}
	return ""
}
