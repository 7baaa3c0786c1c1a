#!/usr/bin/env bash
# The MAML paper's sinusoid at its full length, for each seed given (default: those in docs/BENCHMARKS.md).
#   benchmarks/sinusoid.sh [seed ...]            five inner steps, of which each one's loss counts
#   PAPER=1 benchmarks/sinusoid.sh [seed ...]    one inner step, as in the paper
# 1,000 unseen tasks. Resumable: run it again after an interruption. Prints one line of JSON a seed. DIR holds the runs.
set -euo pipefail
cd "$(dirname "$0")/.."
name=sinusoid sets=(--set learner.steps=5 --set 'learner.step_weights=[2,1,1,1,1]' --set optimizer.clip=1)
if [ -n "${PAPER:-}" ]; then name=sinusoid-paper sets=(); fi
[ $# -gt 0 ] || set -- 1 2 3
CGO_ENABLED=0 go build -o bin/ ./cmd/warmstart
for seed; do
	bin/warmstart train examples/sinusoid.yaml --json --workers "${WORKERS:-2}" --data-dir "${DIR:-.warmstart/sinusoid}" \
		--set seed="$seed" --set name="$name-$seed" --set evaluation.tasks=1000 "${sets[@]}"
done
