// Command build builds the servers that tests run, ahead of them, and prints
// where each lies.
package main

import (
	"fmt"
	"os"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	for _, name := range testservers.Names() {
		path, err := testservers.Binary(name)
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
