// Command warmstart is the user's command line: train, adapt, evaluate, and see to runs and models.
package main

import (
	"github.com/warmstart-ml/warmstart/pkg/warmstart"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

func main() { warmstart.Main(worker.BuiltinKinds()) }
