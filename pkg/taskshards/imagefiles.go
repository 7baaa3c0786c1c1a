package taskshards

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ImageReport counts what IngestImages found.
type ImageReport struct {
	Files      int `json:"files"`
	PassedOver int `json:"passed_over"` // other kinds of file
	Classes    int `json:"classes"`
	Images     int `json:"images"`
	From       int `json:"from"` // pixels along a side in the files
	Size       int `json:"size"` // and here
}

// String tells the report in a line.
func (r *ImageReport) String() string {
	return fmt.Sprintf("%d files: %d images of %d classes, %d by %d pixels, resized to %d by %d; %d other files passed over",
		r.Files, r.Images, r.Classes, r.From, r.From, r.Size, r.Size, r.PassedOver)
}

// IngestImages reads the images below the sources: every .npz file with an array
// `images` of shape [classes][images][side][side], bytes of which 0 is ink and 1
// or 255 is paper, as Omniglot is packed (images_background.npz and
// images_evaluation.npz). They are resized to size pixels along a side. A class
// is named by its file's path and its number in it. Other arrays are passed over.
//
// Files are read class by class: no more than the result and one file's
// compressed form is in memory.
func IngestImages(sources []Source, size int) (*DataSet, *ImageReport, error) {
	in := imageIngester{report: ImageReport{Size: size}, set: &ImageSet{Size: size}}
	for _, s := range sources {
		if err := in.walk(s); err != nil {
			return nil, &in.report, fmt.Errorf("read images: %w", err)
		}
	}
	if in.report.Files == 0 {
		return nil, &in.report, fmt.Errorf("read images: found no file with an array images among %d, expected .npz files such as images_background.npz", in.report.PassedOver)
	}
	slices.SortFunc(in.set.Classes, func(a, b ImageClass) int { return strings.Compare(a.Name, b.Name) })
	in.report.Classes = len(in.set.Classes)
	if err := in.set.check(); err != nil {
		return nil, &in.report, fmt.Errorf("read images: %w", err)
	}
	return &DataSet{Images: in.set}, &in.report, nil
}

type imageIngester struct {
	report ImageReport
	set    *ImageSet
	resize *resizer
}

func (in *imageIngester) walk(s Source) error {
	return walkFiles(s, func(file, below string) error {
		if !strings.HasSuffix(strings.ToLower(file), ".npz") {
			in.report.PassedOver++
			return nil
		}
		if err := in.file(s.FS, file, strings.TrimSuffix(below, path.Ext(below))); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return nil
	})
}

// walkFiles calls see for each file of a source that is not hidden, in the order
// of the names, with its path below the source.
func walkFiles(s Source, see func(file, below string) error) error {
	return fs.WalkDir(s.FS, s.Root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && file != s.Root
		switch {
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.IsDir() || hidden:
			return nil
		}
		below := strings.TrimPrefix(strings.TrimPrefix(file, s.Root), "/")
		if s.Root == "." {
			below = file
		}
		if below == "" {
			below = path.Base(file)
		}
		return see(file, below)
	})
}

func (in *imageIngester) file(fsys fs.FS, file, name string) error {
	data, err := readWhole(fsys, file)
	if err != nil {
		return err
	}
	entries, err := openNPZ(data)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e npzEntry) bool { return e.name == "images" })
	if i < 0 {
		in.report.PassedOver++
		return nil
	}
	in.report.Files++
	r, err := entries[i].file.Open()
	if err != nil {
		return fmt.Errorf("array images: %w", err)
	}
	defer r.Close()
	if err := in.images(r, name); err != nil {
		return fmt.Errorf("array images: %w", err)
	}
	return nil
}

// images reads the array from its header on.
func (in *imageIngester) images(r io.Reader, name string) error {
	h, err := readNPYHeader(r)
	if err != nil {
		return err
	}
	if err := in.begin(h); err != nil {
		return err
	}
	side := h.shape[2]
	images := make([]byte, h.shape[1]*side*side)
	for k := range h.shape[0] {
		if _, err := io.ReadFull(r, images); err != nil {
			return fmt.Errorf("class %d: found the end of the data (%w), expected %d classes of %d images", k, err, h.shape[0], h.shape[1])
		}
		for i, v := range images {
			if v != 0 && v != 1 && v != 255 {
				return fmt.Errorf("class %d, image %d: found %d, expected 0 for ink, 1 or 255 for paper", k, i/(side*side), v)
			}
		}
		c := ImageClass{Name: fmt.Sprintf("%s/%06d", name, k), Pixels: make([]byte, 0, h.shape[1]*in.set.Size*in.set.Size)}
		for i := range h.shape[1] {
			c.Pixels = in.resize.resize(c.Pixels, images[i*side*side:(i+1)*side*side])
		}
		in.set.Classes = append(in.set.Classes, c)
		in.report.Images += h.shape[1]
	}
	return expectEnd(r)
}

// begin holds an array's header against the first one's.
func (in *imageIngester) begin(h npyHeader) error {
	s := h.shape
	if len(s) != 4 || s[2] != s[3] || min(s[0], s[1], s[2]) < 1 || s[2] > maxImageSource || h.fortran {
		return fmt.Errorf("found shape %v (column-major %v), expected [classes][images][side][side] in row-major order, with sides of at most %d pixels", s, h.fortran, maxImageSource)
	}
	if h.elem.size != 1 || h.elem.kind != 'b' && h.elem.kind != 'u' {
		return fmt.Errorf("found elements of type %v, expected b1 or u1", h.elem)
	}
	if len(in.set.Classes)+s[0] > maxImageClass {
		return fmt.Errorf("found %d classes, expected at most %d", len(in.set.Classes)+s[0], maxImageClass)
	}
	if in.resize == nil {
		in.resize = newResizer(s[2], in.set.Size)
		in.report.From, in.set.Levels = s[2], in.resize.levels
	}
	if in.resize.from != s[2] {
		return fmt.Errorf("found images of %d by %d pixels, expected %d by %d as in the first file", s[2], s[2], in.resize.from, in.resize.from)
	}
	return nil
}
