package taskshards

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// array is a table of numbers as a file holds it: elements in row-major order.
type array struct {
	shape []int
	elem  element
	data  []byte
}

// element is a type of number: kind is 'b' (true or false), 'i', 'u', 'f', or
// 'h' for bfloat16; size its bytes.
type element struct {
	kind byte
	size int
	big  bool // most significant byte first
}

// String is the type as numpy writes it.
func (e element) String() string { return string(e.kind) + strconv.Itoa(e.size) }

// whole reports whether the elements are integers, of which truth values are two.
func (e element) whole() bool { return e.kind == 'i' || e.kind == 'u' || e.kind == 'b' }

// len is the number of elements.
func (a *array) len() int { return len(a.data) / a.elem.size }

// at returns element i. Integers of 64 bits beyond 2^53 are rounded.
func (a *array) at(i int) float64 {
	word := a.elem.word(a.data[i*a.elem.size:])
	switch a.elem.kind {
	case 'b':
		return float64(min(word, 1))
	case 'i':
		shift := 64 - 8*a.elem.size
		return float64(int64(word<<shift) >> shift)
	case 'u':
		return float64(word)
	case 'h':
		return float64(math.Float32frombits(uint32(word) << 16))
	}
	switch a.elem.size {
	case 2:
		return halfFloat(uint16(word))
	case 4:
		return float64(math.Float32frombits(uint32(word)))
	}
	return math.Float64frombits(word)
}

// word is the first element of b, in the low bits.
func (e element) word(b []byte) uint64 {
	var w [8]byte
	copy(w[:], b[:e.size])
	if e.big {
		slices.Reverse(w[:e.size])
	}
	return binary.LittleEndian.Uint64(w[:])
}

// halfFloat is the value of an IEEE binary16.
func halfFloat(h uint16) float64 {
	sign, exponent, fraction := h>>15, int(h>>10&31), float64(h&1023)
	v := 0.0
	switch exponent {
	case 0:
		v = fraction / (1 << 24)
	case 31:
		v = math.Inf(1)
		if fraction != 0 {
			v = math.NaN()
		}
	default:
		v = float64((1+fraction/1024)*float64(uint64(1)<<exponent)) / (1 << 15)
	}
	if sign == 1 {
		return -v
	}
	return v
}

// maxArrayBytes bounds one array in memory.
const maxArrayBytes = 1 << 30

// maxNPYHeader bounds the text that describes an array.
const maxNPYHeader = 1 << 16

// readNPY reads one array of numpy's format 1.0 to 3.0 to its end. Arrays in
// column-major order are turned to row-major. Objects, texts, complex and
// structured elements are refused.
func readNPY(r io.Reader) (*array, error) {
	h, err := readNPYHeader(r)
	if err != nil {
		return nil, err
	}
	size := h.elements * h.elem.size
	if h.elements > maxArrayBytes/h.elem.size {
		return nil, fmt.Errorf("found %d elements of %d bytes in shape %v, expected at most %d bytes", h.elements, h.elem.size, h.shape, maxArrayBytes)
	}
	// A buffer grows with what is there, not with what the header promises.
	var data bytes.Buffer
	n, err := io.CopyN(&data, r, int64(size))
	if err != nil && err != io.EOF {
		return nil, err
	}
	if n != int64(size) {
		return nil, fmt.Errorf("found %d bytes of data, expected %d for shape %v of %v: the file is cut short", n, size, h.shape, h.elem)
	}
	if err := expectEnd(r); err != nil {
		return nil, err
	}
	a := &array{shape: h.shape, elem: h.elem, data: data.Bytes()}
	if h.fortran && len(h.shape) > 1 {
		a.data = rowMajor(a)
	}
	return a, nil
}

// expectEnd refuses what follows the data, and with a zip entry checks its sum.
func expectEnd(r io.Reader) error {
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n > 0:
		return fmt.Errorf("found more data than the shape holds, expected the file's end")
	case err != io.EOF:
		return err
	}
	return nil
}

// rowMajor is the data of an array whose first axis runs fastest, with the last
// one fastest.
func rowMajor(a *array) []byte {
	out := make([]byte, len(a.data))
	stride := make([]int, len(a.shape)) // in the source
	step := 1
	for k, d := range a.shape {
		stride[k] = step
		step *= d
	}
	at := make([]int, len(a.shape))
	for i := range a.len() {
		from := 0
		for k := range at {
			from += at[k] * stride[k]
		}
		copy(out[i*a.elem.size:(i+1)*a.elem.size], a.data[from*a.elem.size:])
		for k := len(at) - 1; k >= 0; k-- {
			if at[k]++; at[k] < a.shape[k] {
				break
			}
			at[k] = 0
		}
	}
	return out
}

// npyHeader is what stands before the data.
type npyHeader struct {
	elem     element
	fortran  bool // the first axis runs fastest
	shape    []int
	elements int
}

func readNPYHeader(r io.Reader) (h npyHeader, err error) {
	var fixed [8]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil || string(fixed[:6]) != "\x93NUMPY" {
		return h, fmt.Errorf("found no numpy array, expected one to begin with \\x93NUMPY")
	}
	width := map[byte]int{1: 2, 2: 4, 3: 4}[fixed[6]]
	if width == 0 || fixed[7] != 0 {
		return h, fmt.Errorf("found numpy format %d.%d, expected 1.0, 2.0 or 3.0", fixed[6], fixed[7])
	}
	var count [4]byte
	if _, err := io.ReadFull(r, count[:width]); err != nil {
		return h, fmt.Errorf("found the end of the file, expected the length of the header")
	}
	n := binary.LittleEndian.Uint32(count[:])
	if n > maxNPYHeader {
		return h, fmt.Errorf("found a header of %d bytes, expected at most %d", n, maxNPYHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return h, fmt.Errorf("found a header cut short, expected %d bytes", n)
	}
	if err := h.parse(string(text)); err != nil {
		return h, fmt.Errorf("header %s: %w", brief(string(text)), err)
	}
	return h, nil
}

func brief(s string) string {
	s = strings.TrimRight(s, " \n")
	if len(s) > 120 {
		s = s[:120] + "..."
	}
	return strconv.Quote(s)
}

// parse reads the dictionary, {'descr': '<f4', 'fortran_order': False, 'shape':
// (3, 4), }, its three keys once each in any order.
func (h *npyHeader) parse(text string) error {
	p := dictReader{rest: text}
	seen := map[string]bool{}
	p.expect("{")
	for p.err == nil && !p.take("}") {
		key := p.text()
		p.expect(":")
		switch {
		case p.err != nil:
		case seen[key]:
			p.fail("found key %q twice", key)
		case key == "descr":
			h.elem = p.element()
		case key == "fortran_order":
			h.fortran = p.truth()
		case key == "shape":
			h.shape, h.elements = p.shape()
		default:
			p.fail("found key %q, expected descr, fortran_order and shape", key)
		}
		seen[key] = true
		if !p.take(",") && !strings.HasPrefix(p.trimmed(), "}") {
			p.expect("}")
		}
	}
	if p.err == nil && p.trimmed() != "" {
		p.fail("found text after the dictionary, expected none")
	}
	if p.err == nil && len(seen) != 3 {
		p.fail("found %d keys, expected descr, fortran_order and shape", len(seen))
	}
	return p.err
}

// dictReader takes tokens off the front of a Python literal; the first thing
// that is wrong stays in err.
type dictReader struct {
	rest string
	err  error
}

func (p *dictReader) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *dictReader) trimmed() string {
	p.rest = strings.TrimLeft(p.rest, " \n")
	return p.rest
}

// take removes a token where it stands next.
func (p *dictReader) take(token string) bool {
	if p.err != nil || !strings.HasPrefix(p.trimmed(), token) {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

func (p *dictReader) expect(token string) {
	if !p.take(token) {
		p.fail("found %s, expected %q", brief(p.rest), token)
	}
}

// text is a string in either kind of quotes, without escapes.
func (p *dictReader) text() string {
	for _, quote := range []string{"'", `"`} {
		if p.take(quote) {
			s, rest, ok := strings.Cut(p.rest, quote)
			if !ok || strings.Contains(s, `\`) {
				break
			}
			p.rest = rest
			return s
		}
	}
	p.fail("found %s, expected a text in quotes", brief(p.rest))
	return ""
}

func (p *dictReader) truth() bool {
	if p.take("True") {
		return true
	}
	if !p.take("False") {
		p.fail("found %s, expected True or False", brief(p.rest))
	}
	return false
}

// element reads a type such as '<f4', '|u1' or '>i8'.
func (p *dictReader) element() (e element) {
	if strings.HasPrefix(p.trimmed(), "[") {
		p.fail("found structured elements, expected plain numbers")
		return e
	}
	s := p.text()
	if p.err != nil {
		return e
	}
	if len(s) == 3 && strings.ContainsRune("<>|=", rune(s[0])) {
		e = element{kind: s[1], size: int(s[2] - '0'), big: s[0] == '>'}
	}
	sizes := map[byte][]int{'b': {1}, 'i': {1, 2, 4, 8}, 'u': {1, 2, 4, 8}, 'f': {2, 4, 8}}
	ok := slices.Contains(sizes[e.kind], e.size)
	if !ok || s[0] == '=' || s[0] == '|' && e.size > 1 {
		p.fail("found elements of type %q, expected numbers: f2, f4, f8, i1 to i8, u1 to u8 or b1", s)
	}
	return e
}

// shape reads a tuple of whole numbers; their product is refused where it is
// too large for memory.
func (p *dictReader) shape() (shape []int, elements int) {
	p.expect("(")
	elements = 1
	for p.err == nil && !p.take(")") {
		digits := len(p.trimmed()) - len(strings.TrimLeft(p.trimmed(), "0123456789"))
		d, err := strconv.Atoi(p.rest[:digits])
		if err != nil {
			p.fail("found %s in the shape, expected whole numbers", brief(p.rest))
			return nil, 0
		}
		p.rest = p.rest[digits:]
		shape = append(shape, d)
		if d > 0 && elements > maxArrayBytes/d {
			p.fail("found shape %v..., expected at most %d elements", shape, maxArrayBytes)
			return nil, 0
		}
		elements *= d
		if !p.take(",") && !strings.HasPrefix(p.trimmed(), ")") {
			p.expect(")")
		}
	}
	return shape, elements
}
