package taskshards

import "fmt"

// Read reads the data of the family that the configuration names: traces, images
// or arrays. The report says what was found, mended and left out, and is there in
// case of an error too, nil where nothing was read.
func Read(c Config, sources []Source) (*DataSet, fmt.Stringer, error) {
	switch c.Name {
	case "load":
		o, err := c.IngestOptions()
		if err != nil {
			return nil, nil, err
		}
		return Ingest(sources, o)
	case "omniglot":
		return IngestImages(sources, c.Size)
	case "arrays":
		re, err := c.groupPattern()
		if err != nil {
			return nil, nil, err
		}
		return IngestArrays(sources, ArrayOptions{Classes: c.Classes, Numbers: c.Numbers, Group: re})
	}
	return nil, nil, fmt.Errorf("read data: family %s reads none", c.Name)
}
