// Command own is warmstart with a family and a model of its own, from a module outside warmstart's. Everything the
// warmstart command does it does too:
//
//	go run . train own.yaml                      meta-train on the embedded stack, here
//	go run . train own.yaml --explain            every key of a spec, with those of triangle and bottleneck
//	go run . train own.yaml --cluster            submit to a cluster ...
//	go run . worker --nats nats://HOST:4222      ... of which this is a worker; others do not get this family's work
package main

import (
	"github.com/warmstart-ml/warmstart/pkg/warmstart"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

func main() {
	kinds := worker.BuiltinKinds()
	kinds.Families["triangle"] = triangle()
	kinds.Models["bottleneck"] = bottleneck()
	warmstart.Main(kinds)
}
