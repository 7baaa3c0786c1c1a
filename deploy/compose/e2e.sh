#!/usr/bin/env bash
# e2e.sh: the compose file end to end. Builds; brings the stack up; trains from a folder of CSVs while a coordinator is
# killed and a worker joins; pulls the model to the host and finds its SHA-256 equal to that of the same spec and data
# trained on the host and by the profile `single`; takes everything down, whatever happens.
set -euo pipefail
cd "$(dirname "$0")/../.."

docker info >/dev/null 2>&1 || {
	echo "compose: no Docker engine answers; nothing tested"
	exit "${WARMSTART_NEED_ENGINE:-0}" # 1 makes that a failure
}

work=$(mktemp -d)
chmod 0755 "$work" # containers read the data as another user
export COMPOSE_PROJECT_NAME=warmstart-e2e-$$ COMPOSE_FILE=$PWD/deploy/compose/compose.yaml COMPOSE_PROGRESS=plain
export WARMSTART_SECRETS=$work/secrets WARMSTART_TAG=e2e-$$ NATS_PORT=0 SPEC=$work/spec.yaml DATA=$work/traces
everything=(--profile train --profile single)

step() { printf 'compose: %s (%s s)\n' "$*" "$SECONDS"; }

fail() {
	echo "compose: $*" >&2
	exit 1
}

leave() {
	local status=$?
	trap '' INT TERM
	if [ "$status" != 0 ]; then
		docker compose "${everything[@]}" ps -a || true
		docker compose "${everything[@]}" logs --tail 20 2>&1 || true
		[ ! -s "$work/train.log" ] || tail -n 20 "$work/train.log"
	fi
	docker compose "${everything[@]}" down --volumes --remove-orphans --rmi local --timeout 5 >/dev/null 2>&1 || true
	docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -E "^warmstart.*$WARMSTART_TAG\$" | xargs -r docker image rm >/dev/null 2>&1 || true
	rm -rf "$work"
	[ "$status" != 0 ] || echo "compose: ok sha256=$sha"
	exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Twelve jobs, two days of five-minute rates each: a daily triangle under noise of a congruential generator.
traces() {
	awk -v dir="$1" 'BEGIN {
		for (j = 0; j < 12; j++) {
			file = sprintf("%s/job-%02d.csv", dir, j); print "timestamp,value" > file
			x = 7 + j * 131
			for (i = 0; i < 576; i++) {
				x = (x * 69069 + 12345) % 1048576
				p = (i + j * 17) % 288 / 288; wave = p < 0.5 ? 4 * p - 1 : 3 - 4 * p
				printf "%d,%.3f\n", 1700000000 + 300 * i, (50 + 20 * j) * (1 + 0.4 * wave) + (x / 1048576 - 0.5) * (5 + 2 * j) > file
			}
			close(file)
		}
	}'
}

# until_step N: waits until the run has come so far; fails when the command that follows it has ended before.
until_step() {
	until host runs ls --json 2>/dev/null | python3 -c "
import json, sys
runs = json.load(sys.stdin)['runs']
sys.exit(not (runs and runs[0].get('track', 0) * runs[0]['steps'] + runs[0].get('step', 0) >= $1))"; do
		kill -0 "$train" 2>/dev/null || fail "the run ended before step $1"
		sleep 0.2
	done
}

# host runs the command line on the host, with the credential that init.sh made for it.
host() { "$work/bin/warmstart" "$@" --cluster --config "$WARMSTART_SECRETS/cli.yaml" --nats "nats://$nats"; }

digest() { python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["sha256"])'; }

step "make data and secrets"
mkdir "$DATA" && traces "$DATA"
printf 'name: compose-e2e\nfamily: load\nsteps: %s\n' "${STEPS:-2000}" >"$SPEC"
chmod -R a+rX "$work"
deploy/compose/init.sh

step "build"
if ! docker compose version >/dev/null 2>&1 || ! docker image inspect golang:1.26.8-bookworm >/dev/null 2>&1; then
	docker compose version >/dev/null 2>&1 && docker pull -q golang:1.26.8-bookworm 2>/dev/null || deploy/compose/offline.sh --base
fi
docker compose "${everything[@]}" build --quiet
CGO_ENABLED=0 go build -o "$work/bin/" ./cmd/warmstart

step "train on the host, for comparison"
sha=$("$work/bin/warmstart" train "$SPEC" --set "family.path=$DATA" --data-dir "$work/embedded" --json 2>"$work/embedded.log" | digest) ||
	fail "the embedded run failed: $(tail -n 3 "$work/embedded.log")"

step "bring the stack up"
docker compose up -d --wait --scale worker=1 || fail "the stack does not come up"
nats=$(docker compose port nats 4222)

step "train on the stack"
docker compose run --rm -T train --json >"$work/train.json" 2>"$work/train.log" &
train=$!
until_step 200
leader=$(docker compose logs --no-log-prefix=false coordinator | grep msg=leading | tail -n 1 | sed 's/ *|.*//')
docker kill "$COMPOSE_PROJECT_NAME-$leader" >/dev/null
step "killed $leader, which led"
docker compose up -d --no-recreate --no-deps --scale worker=2 worker 2>/dev/null
step "scaled workers to 2"
until_step 600
wait "$train" || fail "the run on the stack failed"
[ "$(digest <"$work/train.json")" = "$sha" ] || fail "the stack's model is $(digest <"$work/train.json"), expected $sha"

step "pull the model to the host"
host models pull compose-e2e:1 --to "$work/model"
pulled=$(sha256sum "$work/model/model.safetensors" | cut -d' ' -f1)
[ "$pulled" = "$sha" ] || fail "the pulled model is $pulled, expected $sha"

step "train in one container"
alone=$(docker compose run --rm -T single --json 2>"$work/train.log" | digest) || fail "the profile single failed"
[ "$alone" = "$sha" ] || fail "the model of profile single is $alone, expected $sha"

step "take everything down"
