#!/usr/bin/env bash
# Trains builtin:load again and compares its bits with the model in builtin/load. With --renew it replaces the model.
#   WARMSTART_DATA=folder benchmarks/builtin.sh [--renew]
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(realpath "${WARMSTART_DATA:-traces}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/warmstart" ./cmd/warmstart
cp builtin/load.yaml "$dir/load.yaml"
ln -s "$data" "$dir/traces"
(cd "$dir" && ./warmstart train load.yaml --data-dir data --to model --json >out.json)
got=$(sha256sum "$dir/model/model.safetensors" | cut -d' ' -f1)
if [ "${1:-}" = --renew ]; then
	rm -rf builtin/load && mkdir builtin/load
	cp "$dir"/model/{model.safetensors,config.json,manifest.json,evaluation.json} builtin/load/
	[ ! -e "$dir/model/pooled.safetensors" ] || cp "$dir/model/pooled.safetensors" builtin/load/
	echo "builtin: renewed sha256=$got"
	exit
fi
want=$(sha256sum builtin/load/model.safetensors | cut -d' ' -f1)
[ "$got" = "$want" ] || { echo "builtin: trained sha256=$got, embedded sha256=$want" >&2; exit 1; }
echo "builtin: ok sha256=$got"
