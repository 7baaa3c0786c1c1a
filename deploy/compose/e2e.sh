#!/usr/bin/env bash
# e2e.sh: the compose file end to end. Builds; brings the stack up; trains from a folder of CSVs while a coordinator is
# killed and a worker joins; pulls the model to the host and finds its SHA-256 equal to that of the same spec and data
# trained on the host and by the profile `single`; takes everything down, whatever happens.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=e2e
. deploy/compose/lib.sh

prepare "steps: ${STEPS:-2000}"

step "bring the stack up"
docker compose up -d --wait --scale worker=1 || fail "the stack does not come up"

step "train on the stack"
begin
until_step 200
leader=$(docker compose logs --no-log-prefix=false coordinator | grep msg=leading | tail -n 1 | sed 's/ *|.*//')
docker kill "$COMPOSE_PROJECT_NAME-$leader" >/dev/null
step "killed $leader, which led"
docker compose up -d --no-recreate --no-deps --scale worker=2 worker 2>/dev/null
step "scaled workers to 2"
until_step 600
finish

step "pull the model to the host"
host models pull compose-e2e:1 --to "$work/model"
pulled=$(sha256sum "$work/model/model.safetensors" | cut -d' ' -f1)
[ "$pulled" = "$sha" ] || fail "the pulled model is $pulled, expected $sha"

step "train in one container"
alone=$(docker compose run --rm -T single --json 2>"$work/train.log" | digest) || fail "the profile single failed"
[ "$alone" = "$sha" ] || fail "the model of profile single is $alone, expected $sha"

step "take everything down"
summary=sha256=$sha
