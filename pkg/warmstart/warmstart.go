// Package warmstart is the warmstart command with families of one's own: a program of another module whose main is
//
//	func main() {
//		families := worker.BuiltinKinds()
//		families["mine"] = worker.FamilyKind{...}
//		warmstart.Main(kinds)
//	}
//
// trains with them on the embedded stack (`mine train SPEC`), submits to a cluster (`mine train SPEC --cluster`), and is a
// worker of one (`mine worker`). examples/own is such a program; pkg/workerd is the worker alone, without servers.
package warmstart

import (
	"io"
	"os"

	"github.com/warmstart-ml/warmstart/internal/cli"
	"github.com/warmstart-ml/warmstart/internal/gorgoniaengine"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// Main runs the command that the process's arguments name and exits.
func Main(kinds worker.Kinds) {
	os.Exit(Run(os.Args[1:], os.Stdout, os.Stderr, kinds))
}

// Run runs one command and returns its exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted. The embedded stack
// starts this very program again for its workers, so that its main must end in Main, or in Run of its own arguments.
func Run(args []string, stdout, stderr io.Writer, kinds worker.Kinds) int {
	return cli.Run(args, stdout, stderr, gorgoniaengine.With(kinds))
}
