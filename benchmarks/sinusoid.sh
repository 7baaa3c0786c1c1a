#!/usr/bin/env bash
# The MAML paper's sinusoid at its full length, for each seed given (default: the three stated in docs/BENCHMARKS.md).
# Resumable: run it again after an interruption. Prints one line of JSON a seed.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -o bin/ ./cmd/warmstart
for seed in "${@:-2 3 6}"; do
	for s in $seed; do
		bin/warmstart train examples/sinusoid.yaml --set seed="$s" --set name="sinusoid-$s" --data-dir .warmstart/sinusoid --json
	done
done
