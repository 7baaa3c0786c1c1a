# lib.sh: what e2e.sh and chaos.sh share; each sets name before it reads this. Ends at once where no engine answers, and takes
# everything down at exit, with the last line `compose: ok` and summary.
docker info >/dev/null 2>&1 || {
	echo "compose: no Docker engine answers; nothing tested"
	exit "${WARMSTART_NEED_ENGINE:-0}" # 1 makes that a failure
}

work=$(mktemp -d)
chmod 0755 "$work" # containers read the data as another user
export COMPOSE_PROJECT_NAME=warmstart-$name-$$ COMPOSE_FILE=$PWD/deploy/compose/compose.yaml COMPOSE_PROGRESS=plain
export WARMSTART_SECRETS=$work/secrets WARMSTART_TAG=$name-$$ SPEC=$work/spec.yaml DATA=$work/traces
NATS_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export NATS_PORT
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
	[ "$status" != 0 ] || echo "compose: ok $summary"
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

digest() { python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["sha256"])'; }

# until_step N: waits until the run has come so far; fails when the command that follows it has ended before.
until_step() {
	until host runs ls --json 2>/dev/null | python3 -c "
import json, sys
runs = json.load(sys.stdin)['runs']
sys.exit(not (runs and runs[0].get('track', 0) * runs[0]['steps'] + runs[0].get('step', 0) >= $1))" 2>/dev/null; do
		kill -0 "$train" 2>/dev/null || fail "the run ended before step $1"
		sleep 0.2
	done
}

# host runs the command line on the host, with the credential that init.sh made for it.
host() { "$work/bin/warmstart" "$@" --cluster --config "$WARMSTART_SECRETS/cli.yaml" --nats "nats://127.0.0.1:$NATS_PORT"; }

# begin trains on the stack, in the background.
begin() {
	docker compose run --rm -T train --json >"$work/train.json" 2>"$work/train.log" &
	train=$!
}

# finish waits for that, and expects the model that the host gave.
finish() {
	wait "$train" || fail "the run on the stack failed"
	[ "$(digest <"$work/train.json")" = "$sha" ] || fail "the stack's model is $(digest <"$work/train.json"), expected $sha"
}

# prepare SPEC: data and secrets, images, and sha, the SHA-256 of the model that a spec with these lines gives on the host.
prepare() {
	step "make data and secrets"
	mkdir "$DATA" && traces "$DATA"
	printf 'name: compose-%s\nfamily: load\n%s\n' "$name" "$1" >"$SPEC"
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
}
