// Command asmgen writes the assembly of package kernel. It is a module of its
// own, so that nothing that computes depends on the generator.
//
//	go generate ./internal/kernel
//
// `make generated` says whether what is committed is what it writes.
package main

import (
	"fmt"
	"os"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// files are what is written, and by what.
var files = []struct {
	name  string
	write func(c *build.Context)
}{
	{"gemm_amd64.s", writeTiles},
	{"vector_amd64.s", writeVectors},
	{"transpose_amd64.s", writeTransposes},
	{"curve_amd64.s", writeCurves},
	{"adam_amd64.s", writeAdam},
}

func main() {
	out := ".." // package kernel, or the folder named
	if len(os.Args) > 1 {
		out = os.Args[1]
	}
	if err := run(out); err != nil {
		fmt.Fprintln(os.Stderr, "asmgen:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	if err := os.Chdir(out); err != nil {
		return err
	}
	for _, f := range files {
		c := build.NewContext()
		c.ConstraintExpr("!noasm,amd64")
		f.write(c)
		data, err := assemble(c)
		if err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
		if err := os.WriteFile(f.name, data, 0o644); err != nil {
			return err
		}
	}
	writeLanes()
	writeSine()
	return nil
}

// assemble allocates registers and prints.
func assemble(c *build.Context) ([]byte, error) {
	f, err := c.Result()
	if err != nil {
		return nil, err
	}
	if err := pass.Compile.Execute(f); err != nil {
		return nil, err
	}
	return printer.NewGoAsm(printer.Config{Name: "asmgen"}).Print(f)
}
