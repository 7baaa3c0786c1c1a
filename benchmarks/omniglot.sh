#!/usr/bin/env bash
# The MAML paper's Omniglot table, and other learners on the same tasks.
#   benchmarks/omniglot.sh --list
#   benchmarks/omniglot.sh mlp-1shot conv-1shot ...
# Each experiment is one run: start the script again after an interruption and it goes on where it was. With PIECE=30m a
# run is stopped cleanly after that time, to be gone on with later; WORKERS=1 leaves a core to another of these. DIR holds
# the runs (default .warmstart/omniglot); WARMSTART_DATA/omniglot the images. MAML has the paper's 60,000 steps, the other
# learners have 20,000 with dense layers and 10,000 with convolutions, beside MAML's at as many (names ending in k). Prints
# one line of JSON for each finished experiment: the table has the share of right answers on 1,000 tasks of characters
# never trained on, with its interval; the checkpoint was chosen on others.
# MAML++ has the 8 tasks a step of its authors' configuration, Reptile the 5 of its authors', of ten shots, in inner batches
# of ten, its outer rate falling to 0; the others 32, and 16 with twenty ways.
# Batch norm uses the statistics of the batch at hand, the query's too (transductive), as in the paper.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${WARMSTART_DATA:-../shared/data}/omniglot dir=${DIR:-.warmstart/omniglot}

mlp="model.name=mlp" conv="model.name=conv4"
twenty="family.ways=20 learner.steps=5 learner.rate=0.1 meta_batch=16 validation.adapt=[5] evaluation.steps=[0,5]"
middle="steps=20000" short="steps=10000"
learner() { # name: what its row changes
	case $1 in
	fomaml) echo "learner=fomaml learner.rate=0.4" ;;
	reptile) echo "family.shots=10 family.test_shots=1 family.query=1 meta_batch=5 learner=reptile learner.steps=5 learner.rate=0.001 learner.inner_batch=10 optimizer.name=sgd optimizer.momentum=0 optimizer.rate=0.001 optimizer.schedule=cosine validation.adapt=[50] evaluation.steps=[0,5,50]" ;;
	anil) echo "learner=anil learner.rate=0.4" ;;
	metasgd) echo "learner=metasgd learner.rate=0.005 validation.adapt=[1] evaluation.steps=[0,1]" ;;
	mamlpp) echo "learner=mamlpp learner.steps=5 learner.rate=0.1 meta_batch=8 model.per_step=true optimizer.schedule=cosine validation.adapt=[5] evaluation.steps=[0,5]" ;;
	ridge) echo "learner=ridge validation.adapt=[] evaluation.steps=[1]" ;;
	protonet) echo "learner=protonet validation.adapt=[] evaluation.steps=[1]" ;;
	*) return 1 ;;
	esac
}
learners="fomaml reptile anil metasgd mamlpp ridge protonet"

settings() { # experiment
	case $1 in
	mlp-1shot) echo "$mlp" ;;
	mlp-5shot) echo "$mlp family.shots=5" ;;
	conv-1shot) echo "$conv" ;;
	conv-5shot) echo "$conv family.shots=5" ;;
	conv-5shot-10k) echo "$conv family.shots=5 $short" ;;
	conv-20way-1shot) echo "$conv $twenty" ;;
	conv-20way-1shot-10k) echo "$conv $twenty $short" ;;
	conv-20way-5shot) echo "$conv $twenty family.shots=5" ;;
	mlp-1shot-20k) echo "$mlp $middle" ;;
	conv-1shot-10k) echo "$conv $short" ;;
	mlp-*) echo "$mlp $middle $(learner "${1#mlp-}")" ;;
	conv-*) echo "$conv $short $(learner "${1#conv-}")" ;;
	*) return 1 ;;
	esac
}
all="mlp-1shot mlp-1shot-20k mlp-5shot conv-1shot conv-1shot-10k conv-5shot conv-5shot-10k conv-20way-1shot conv-20way-1shot-10k conv-20way-5shot"
for l in $learners; do all="$all mlp-$l conv-$l"; done

if [ $# = 0 ] || [ "$1" = --list ]; then
	printf '%s\n' $all
	exit
fi
for experiment; do
	[[ " $all " == *" $experiment "* ]] || {
		echo "benchmarks/omniglot.sh: found $experiment, expected one of: $all" >&2
		exit 2
	}
done
[ -f "$data/images_background.npz" ] || {
	echo "benchmarks/omniglot.sh: found no $data/images_background.npz; set WARMSTART_DATA to the folder that holds omniglot/" >&2
	exit 1
}
CGO_ENABLED=0 go build -o bin/ ./cmd/warmstart
for experiment; do
	sets=()
	for s in name="$experiment" seed="${SEED:-1}" family.path="$data" $(settings "$experiment"); do sets+=(--set "$s"); done
	stop=()
	if [ -n "${PIECE:-}" ]; then stop=(timeout --foreground --signal=INT "$PIECE"); fi
	"${stop[@]}" bin/warmstart train examples/omniglot.yaml --json --workers "${WORKERS:-2}" --data-dir "$dir/$experiment" "${sets[@]}"
done
