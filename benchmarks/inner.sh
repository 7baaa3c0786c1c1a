#!/usr/bin/env bash
# The inner loop against PyTorch and OpenBLAS on one core, in turns on the same machine.
#   benchmarks/inner.sh [rounds] [seconds]
# Needs Debian's python3-torch, python3-numpy and libopenblas0 for the peers, and WARMSTART_DATA/omniglot for conv4. Prints
# one line a measurement, then for each of ours the median over rounds, its ratio to PyTorch's loop and to its fastest
# batched form, and its counted FLOPs over OpenBLAS sgemm; last, two threads against one. On a machine with other work,
# RUN="nice -n -20" keeps that out of the figures.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} seconds=${2:-4}
data=${WARMSTART_DATA:-../shared/data}/omniglot
python=${PYTHON:-/usr/bin/python3}
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
"$python" -c 'import torch, functorch, numpy' 2>/dev/null || {
	echo "benchmarks/inner.sh: $python has no torch, functorch and numpy: apt-get install python3-torch python3-numpy libopenblas0" >&2
	exit 1
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/warmstart" ./cmd/warmstart

core=$(taskset -pc $$ 2>/dev/null | sed 's/.*: //; s/[-,].*//' || echo 0)
one() { ${RUN:-} taskset -c "$core" "$@"; }
say() { tee -a "$dir/all"; }
tag() { sed "s/^{/{\"what\": \"$1\", /"; }
ours() { # what, flags
	local what=$1
	shift
	one "$dir/warmstart" bench inner --threads 1 --seconds "$seconds" --json "$@" 2>/dev/null | tag "$what" | say
}
threads() { # what, flags: one thread, then two, then two processes of one thread each
	local what=$1
	shift
	bench() { ${RUN:-} "$dir/warmstart" bench inner --threads "$1" --seconds "$seconds" --json "${@:2}" 2>/dev/null; }
	for t in 1 2; do bench $t "$@" | tag "threads: $what" | say; done
	bench 1 "$@" >"$dir/other" &
	bench 1 "$@" | tag "processes: $what" | say
	wait
	tag "processes: $what" <"$dir/other" | say
}
blas() { # OpenBLAS of its own choice, and told to use AVX-512 where it does not know the processor
	one "$python" benchmarks/peers/sgemm.py --seconds 1 | tag sgemm | say
	if grep -qs avx512f /proc/cpuinfo; then OPENBLAS_CORETYPE=SKYLAKEX one "$python" benchmarks/peers/sgemm.py --seconds 1 | tag sgemm-avx512 | say; fi
}
printf 'name: conv\nfamily: {name: omniglot, path: "%s"}\nmodel: conv4\n' "$(realpath -m "$data")" >"$dir/conv.yaml"
[ -f "$data/images_background.npz" ] || echo "benchmarks/inner.sh: found no $data/images_background.npz: conv4 is left out" >&2

for _ in $(seq "$rounds"); do
	blas
	for k in 1 5; do
		one "$python" benchmarks/peers/torch_sinusoid.py --inner "$k" --batch 64 --seconds "$seconds" --forms loop | tag torch | say
		one "$python" benchmarks/peers/torch_sinusoid.py --inner "$k" --seconds "$seconds" --forms vmap bmm | tag torch | say
		ours "sinusoid K=$k" --family sinusoid --inner "$k"
	done
	ours "hidden 128" --family sinusoid --inner 1 --hidden 128,128
	threads "sinusoid K=5" --family sinusoid --inner 5
	if [ -f "$data/images_background.npz" ]; then
		ours "conv4 28x28" "$dir/conv.yaml"
		threads "conv4 28x28" "$dir/conv.yaml"
	fi
done

"$python" - "$dir/all" <<'E2'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
median = statistics.median
blas = {what: median(r["gflops"] for r in rows if r["what"] == what) for what in ("sgemm", "sgemm-avx512") if any(r["what"] == what for r in rows)}
sgemm = max(blas.values())
print("\nOpenBLAS sgemm 1024, GFLOP/s:", ", ".join(f"{what} {rate:.0f}" for what, rate in blas.items()))
for what in dict.fromkeys(r["what"] for r in rows if "gflops" in r and "threads" in r and ":" not in r["what"]):
    mine = [r for r in rows if r["what"] == what]
    rate, flops = median(r["tasks_per_s"] for r in mine), median(r["gflops"] for r in mine)
    line = f"{what}: {rate:,.0f} tasks/s, {flops:.0f} GFLOP/s = {100 * flops / sgemm:.0f} % of sgemm"
    if what.startswith("sinusoid"):
        k = int(what.split("=")[1])
        peers = {}
        for r in rows:
            if r["what"] == "torch" and r["inner"] == k:
                peers.setdefault(r["form"], []).append(r["tasks_per_s"])
        peers = {form: median(v) for form, v in peers.items()}
        loop, best = peers.pop("loop"), max(peers, key=peers.get)
        line += f"; {rate / loop:.0f} x PyTorch's loop ({loop:,.0f}), {rate / peers[best]:.1f} x its {best} ({peers[best]:,.0f})"
    print(line)
for what in dict.fromkeys(r["what"] for r in rows if r["what"].startswith("threads")):
    rate = {t: median(r["tasks_per_s"] for r in rows if r["what"] == what and r["threads"] == t) for t in (1, 2)}
    pair = 2 * statistics.mean(r["tasks_per_s"] for r in rows if r["what"] == what.replace("threads", "processes"))
    print(f"{what}: {rate[1]:,.0f} tasks/s on one thread, {rate[2]:,.0f} on two: {rate[2] / rate[1]:.2f} x; two processes {pair / rate[1]:.2f} x")
E2
