// Command build builds the servers that tests run, ahead of them, and prints
// where each lies: those named, or all of them.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

func main() {
	if err := run(os.Args[1:], testservers.Binary, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run looks at all names before it builds one, since that takes minutes.
func run(names []string, build func(name string) (path string, err error), out io.Writer) error {
	known := testservers.Names()
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("found server %q, expected some of %s, or none for all", name, strings.Join(known, ", "))
		}
	}
	if len(names) == 0 {
		names = known
	}
	for _, name := range names {
		path, err := build(name)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, path)
	}
	return nil
}
