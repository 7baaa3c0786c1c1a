package metatrain

import (
	"strconv"
	"strings"
)

// scanner reads JSON without spaces, escapes, or names and values that are not expected; odd says that it met such.
type scanner struct {
	rest []byte
	odd  bool
}

func (s *scanner) eat(c byte) bool {
	if len(s.rest) > 0 && s.rest[0] == c {
		s.rest = s.rest[1:]
		return true
	}
	return false
}

func (s *scanner) need(c byte) {
	if !s.eat(c) {
		s.odd = true
	}
}

// object reads an object. field reads the value of a key that it knows and gives the key's number, below 64, else -1.
func (s *scanner) object(field func(key string) int) {
	var seen uint64
	s.need('{')
	if s.eat('}') {
		return
	}
	for !s.odd {
		key := s.text()
		s.need(':')
		i := field(key)
		if i < 0 || seen>>i&1 == 1 {
			s.odd = true
			return
		}
		seen |= 1 << i
		if !s.eat(',') {
			s.need('}')
			return
		}
	}
}

// list reads an array; each reads one value.
func (s *scanner) list(each func()) {
	s.need('[')
	if s.eat(']') {
		return
	}
	for !s.odd {
		each()
		if !s.eat(',') {
			s.need(']')
			return
		}
	}
}

func listOf[T any](s *scanner, one func() T) []T {
	out := []T{}
	s.list(func() { out = append(out, one()) })
	return out
}

// text reads a string of plain characters.
func (s *scanner) text() string {
	s.need('"')
	for i, c := range s.rest {
		switch {
		case c == '"':
			out := string(s.rest[:i])
			s.rest = s.rest[i+1:]
			return out
		case c < ' ' || c > '~' || c == '\\':
			s.odd = true
			return ""
		}
	}
	s.odd = true
	return ""
}

// number cuts a number off.
func (s *scanner) number() string {
	i := 0
	for i < len(s.rest) && strings.IndexByte("-+.eE0123456789", s.rest[i]) >= 0 {
		i++
	}
	out := string(s.rest[:i])
	s.rest = s.rest[i:]
	return out
}

// unsigned reads a whole number of up to 18 digits.
func (s *scanner) unsigned() uint64 {
	var n uint64
	i := 0
	for ; i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9'; i++ {
		n = n*10 + uint64(s.rest[i]-'0')
	}
	if i == 0 || i > 18 || i > 1 && s.rest[0] == '0' {
		s.odd = true
	}
	s.rest = s.rest[i:]
	return n
}

func (s *scanner) int64() int64 {
	if s.eat('-') {
		return -int64(s.unsigned())
	}
	return int64(s.unsigned())
}

func (s *scanner) int() int {
	n := s.int64()
	if int64(int(n)) != n {
		s.odd = true
	}
	return int(n)
}

// float reads a number; where its form may not be JSON's, it is odd.
func (s *scanner) float() float64 {
	text := s.number()
	v, err := strconv.ParseFloat(text, 64)
	whole, fraction, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if err != nil || !digit(whole) || whole[0] == '0' && len(whole) > 1 || point && !digit(fraction) {
		s.odd = true
	}
	return v
}

// digit says whether text begins with one.
func digit(text string) bool { return text != "" && text[0] >= '0' && text[0] <= '9' }
