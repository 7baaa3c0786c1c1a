#!/usr/bin/env bash
# Two workers on one run against two independent runs of one worker each, on the same two cores, turn about.
#   benchmarks/scaling.sh [inner steps] [meta-batch] [outer steps] [rounds]
# Prints tasks per second of both and their ratio, a line a round, and the median ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
inner=${1:-5} batch=${2:-4096} steps=${3:-60} rounds=${4:-3}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/warmstart" ./cmd/warmstart

run() { # name, workers, seed
	"$dir/warmstart" train examples/sinusoid.yaml --json --workers "$2" --data-dir "$dir/$1" \
		--set name=scaling --set seed="$3" --set learner.steps="$inner" --set meta_batch="$batch" --set steps="$steps" \
		--set validation.every=1000000 --set validation.tasks=1 --set evaluation.table=false 2>/dev/null |
		sed 's/.*"tasks_per_s":\([0-9.]*\).*/\1/'
}

for i in $(seq "$rounds"); do
	one=$(run "a$i" 2 "$i")
	run "b$i" 1 "$i" >"$dir/b" &
	run "c$i" 1 "$i" >"$dir/c"
	wait
	echo "$one $(cat "$dir/b") $(cat "$dir/c")" |
		awk -v batch="$batch" '{ printf "two workers %.0f tasks/s (%.0f ms a step)  two runs %.0f tasks/s  ratio %.3f\n", $1, 1000*batch/$1, $2+$3, $1/($2+$3) }' | tee -a "$dir/all"
done
sort -k 13 "$dir/all" | awk '{ r[NR] = $NF } END { printf "median ratio %.3f\n", r[int((NR+1)/2)] }'
