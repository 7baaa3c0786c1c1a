#!/bin/sh
# The five folds of benchmarks/load.yaml, one after the other; prints five tables, each as one line of JSON.
# Run it where traces/ lies; the first argument is the warmstart binary.
set -eu
for fold in 0 1 2 3 4; do
	"${1:-warmstart}" train "$(dirname "$0")/load.yaml" --set family.split.fold=$fold --set name=load-fold-$fold --json
done
