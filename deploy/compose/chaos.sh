#!/usr/bin/env bash
# chaos.sh: the compose file's containers under faults. EVENTS times (20), evenly over one run of STEPS (40000), a container drawn
# by SEED is killed and started, paused, or cut off from one of its networks, for one to eight seconds (a lease is four). Nine
# tenths of all steps lie between the first fault and the last. The model must be the one that the host gives undisturbed.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=chaos
. deploy/compose/lib.sh
events=${EVENTS:-20} steps=${STEPS:-40000} seed=${SEED:-$$}
containers=(nats-1 etcd-1 s3-1 coordinator-1 coordinator-2 worker-1 worker-2)

# networks CONTAINER: those it is on, by the compose file.
networks() {
	case $1 in
	coordinator-*) echo bus backends ;;
	etcd-* | s3-*) echo backends ;;
	*) echo bus ;;
	esac
}

fault() { # CONTAINER KIND SECONDS
	local c=$COMPOSE_PROJECT_NAME-$1 network=${COMPOSE_PROJECT_NAME}_$2
	case $2 in
	kill) docker kill "$c" && sleep "$3" && docker start "$c" ;;
	pause) docker pause "$c" && sleep "$3" && docker unpause "$c" ;;
	*) docker network disconnect "$network" "$c" && sleep "$3" && docker network connect --alias "${1%-*}" "$network" "$c" ;;
	esac >/dev/null
}

prepare "steps: $steps
evaluation: {pooled: false}"

step "bring the stack up"
docker compose up -d --wait --scale worker=2 || fail "the stack does not come up"

step "train on the stack; $events faults of seed $seed"
begin
RANDOM=$seed
for ((i = 1; i <= events; i++)); do
	until_step $((steps / 20 + (i - 1) * steps * 9 / 10 / (events > 1 ? events - 1 : 1)))
	c=${containers[RANDOM % ${#containers[@]}]}
	kinds=(kill pause $(networks "$c"))
	kind=${kinds[RANDOM % ${#kinds[@]}]} seconds=$((1 + RANDOM % 8))
	step "fault $i of $events: $kind $c for $seconds s"
	fault "$c" "$kind" "$seconds" || fail "docker could not carry that out"
done
finish
left=$(docker compose ps --status running -q | wc -l)
[ "$left" = ${#containers[@]} ] || fail "$left containers run at the end, expected ${#containers[@]}"
summary="events=$events seed=$seed sha256=$sha"
