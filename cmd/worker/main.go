// Command worker computes for whichever coordinator leads. It holds no credential but the one for NATS.
package main

import (
	"github.com/warmstart-ml/warmstart/pkg/worker"
	"github.com/warmstart-ml/warmstart/pkg/workerd"
)

func main() { workerd.Main(worker.BuiltinKinds()) }
