package taskshards

import (
	"fmt"
	"unicode/utf8"
)

// ImageSet is square images by class, as Omniglot's drawings by character.
type ImageSet struct {
	Size    int // pixels along a side
	Levels  int // of a pixel: 0 is paper, Levels is ink, 1 to 255
	Classes []ImageClass
}

// ImageClass is the images of one class, in the order of the source.
type ImageClass struct {
	Name   string // unique, ascending in a set
	Pixels []byte // [images][Size][Size] levels, row-major
}

// Images is the number of images of class k.
func (s *ImageSet) Images(k int) int { return len(s.Classes[k].Pixels) / (s.Size * s.Size) }

// Bounds of what a set of images may hold.
const (
	maxImageSize   = 256
	maxImageClass  = 100_000
	maxImageSource = 4096 // pixels along a side before resizing
)

func (s *ImageSet) check() error {
	if s.Size < 1 || s.Size > maxImageSize || s.Levels < 1 || s.Levels > 255 {
		return fmt.Errorf("check images: found size %d and %d levels, expected 1 to %d and 1 to 255", s.Size, s.Levels, maxImageSize)
	}
	if n := len(s.Classes); n == 0 || n > maxImageClass {
		return fmt.Errorf("check images: found %d classes, expected 1 to %d", n, maxImageClass)
	}
	for i, c := range s.Classes {
		if c.Name == "" || !utf8.ValidString(c.Name) {
			return fmt.Errorf("check images: class %d: found name %q, expected one in UTF-8", i, c.Name)
		}
		if i > 0 && s.Classes[i-1].Name >= c.Name {
			return fmt.Errorf("check images: found class %q after %q, expected names in ascending order, each once", c.Name, s.Classes[i-1].Name)
		}
		if len(c.Pixels) == 0 || len(c.Pixels)%(s.Size*s.Size) != 0 {
			return fmt.Errorf("check images: class %q: found %d pixels, expected whole images of %d by %d", c.Name, len(c.Pixels), s.Size, s.Size)
		}
		for j, p := range c.Pixels {
			if int(p) > s.Levels {
				return fmt.Errorf("check images: class %q: pixel %d: found %d, expected 0 to %d", c.Name, j, p, s.Levels)
			}
		}
	}
	return nil
}

// resizer is the area filter that makes a side of from pixels one of to: a pixel
// is the share of its square that is ink, exactly. Both sides are counted in
// units of which a source pixel spans pitch and a target pixel span; a level is
// a count of square units where those are at most 255 (105 to 28: 225), and else
// 255ths, rounded half up.
type resizer struct {
	from, to    int
	span, pitch int
	levels      int
	area        []int // [to][to] square units of ink, work space
}

func newResizer(from, to int) *resizer {
	a, b := from, to
	for b != 0 {
		a, b = b, a%b
	}
	r := &resizer{from: from, to: to, span: from / a, pitch: to / a, area: make([]int, to*to)}
	r.levels = min(255, r.span*r.span)
	return r
}

// resize appends the image whose source pixels are ink where source is 0.
func (r *resizer) resize(into, source []byte) []byte {
	clear(r.area)
	for y := range r.from {
		for x, v := range source[y*r.from : (y+1)*r.from] {
			if v == 0 {
				r.spread(x, y)
			}
		}
	}
	whole := r.span * r.span
	for _, a := range r.area {
		if whole > 255 {
			a = (2*255*a + whole) / (2 * whole)
		}
		into = append(into, byte(a))
	}
	return into
}

// spread adds one source pixel to the target pixels it lies in.
func (r *resizer) spread(x, y int) {
	top, left := y*r.pitch, x*r.pitch
	for v := top / r.span; v*r.span < top+r.pitch; v++ {
		tall := min(top+r.pitch, (v+1)*r.span) - max(top, v*r.span)
		for u := left / r.span; u*r.span < left+r.pitch; u++ {
			wide := min(left+r.pitch, (u+1)*r.span) - max(left, u*r.span)
			r.area[v*r.to+u] += tall * wide
		}
	}
}
