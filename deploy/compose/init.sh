#!/usr/bin/env bash
# init.sh           makes what compose.yaml needs before the first `up`: passwords, keys and certificates, as files
# init.sh --check   looks whether this host can run the stack, and says for each thing that is missing what to do
#
# WARMSTART_SECRETS names another folder for the files; docker compose must then be given the same variable.
set -euo pipefail
cd "$(dirname "$0")"
umask 077

secrets=${WARMSTART_SECRETS:-$PWD/secrets}
port=${NATS_PORT:-$(sed -n 's/^NATS_PORT=//p' .env 2>/dev/null || true)}
port=${port:-4222}
files="nats_passwords nats_coordinator nats_worker nats_cli cli.yaml s3_access_key s3_secret_key s3.env
	etcd_ca etcd_server_cert etcd_server_key etcd_client_cert etcd_client_key"

fail() {
	echo "init.sh: $*" >&2
	exit 1
}

complete() { # whether all files are there
	local f
	for f in $files; do [ -s "$secrets/$f" ] || return 1; done
}

word() { openssl rand -hex 24 | tr -d '\n' >"$1"; }

passwords() {
	local who
	for who in coordinator worker cli; do
		word "nats_$who"
		echo "NATS_${who^^}: \"$(cat "nats_$who")\"" >>nats_passwords
	done
	word s3_access_key
	word s3_secret_key
	printf 'ROOT_ACCESS_KEY_ID=%s\nROOT_SECRET_ACCESS_KEY=%s\n' "$(cat s3_access_key)" "$(cat s3_secret_key)" >s3.env
	printf 'nats: nats://127.0.0.1:%s\nnats-user: cli\nnats-password: "@%s/nats_cli"\n' "$port" "$secrets" >cli.yaml
}

# certificates makes an authority for etcd, signs one certificate for the server and one for coordinators, and forgets
# the authority's key, so that no other certificate can be made.
certificates() {
	local new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650"
	$new -subj /CN=warmstart-etcd-authority -keyout authority_key -out etcd_ca
	$new -CA etcd_ca -CAkey authority_key -subj /CN=etcd -addext basicConstraints=critical,CA:FALSE \
		-addext subjectAltName=DNS:etcd,DNS:localhost,IP:127.0.0.1 -addext extendedKeyUsage=serverAuth,clientAuth \
		-keyout etcd_server_key -out etcd_server_cert
	$new -CA etcd_ca -CAkey authority_key -subj /CN=coordinator -addext basicConstraints=critical,CA:FALSE \
		-addext extendedKeyUsage=clientAuth -keyout etcd_client_key -out etcd_client_cert
	rm authority_key
}

make_secrets() {
	if complete; then
		echo "init.sh: $secrets is complete; nothing to do (remove it, and the volumes by \`docker compose down -v\`, for new secrets)"
		return
	fi
	[ ! -e "$secrets" ] || fail "$secrets is there but not complete; remove it and run init.sh again"
	command -v openssl >/dev/null || fail "openssl is missing: install it (Debian: apt-get install -y openssl)"
	local new log
	new=$(mktemp -d "$secrets.XXXXXX") # appears whole or not at all
	log=$(cd "$new" && passwords && certificates 2>&1) || true
	secrets=$new complete || {
		rm -r "$new"
		fail "openssl failed; expected version 3 or later (openssl version): $log"
	}
	# Containers run as a user of their own and get single files: those are readable, the folder is its owner's alone.
	chmod 0444 "$new"/*
	mv -T "$new" "$secrets"
	echo "init.sh: made $secrets"
}

# remember lets docker compose know folder and port without being told each time.
remember() {
	[ -z "${WARMSTART_SECRETS:-}" ] || return 0
	printf 'WARMSTART_SECRETS=%s\nNATS_PORT=%s\n' "$secrets" "$port" >.env
}

check() {
	local bad=0
	say() {
		bad=1
		echo "init.sh: $*" >&2
	}
	if ! docker info >/dev/null 2>&1; then
		say "no Docker engine answers: start it (systemctl start docker), or see that you may use it (group docker, DOCKER_HOST)"
	else
		local have need=2560 # MiB, for two coordinators, two workers and the servers on a small model
		have=$(($(docker info --format '{{.MemTotal}}') >> 20))
		[ "$have" -ge "$need" ] || say "the engine has $have MiB of memory, expected at least $need: give it more, or run the profile \`single\`"
		docker compose version >/dev/null 2>&1 ||
			say "docker has no compose plugin: install docker-compose-plugin, or let deploy/compose/offline.sh build it"
	fi
	if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && ! ours; then
		say "port $port of 127.0.0.1 is taken: stop what listens there, or choose another by NATS_PORT=4223 (for init.sh and docker compose)"
	fi
	complete || say "secrets are missing in $secrets: run deploy/compose/init.sh"
	[ "$bad" = 0 ] && echo "init.sh: this host can run the stack"
	return "$bad"
}

ours() { docker ps --format '{{.Image}} {{.Ports}}' 2>/dev/null | grep -q "^warmstart-nats:.*127.0.0.1:$port->"; }

case "${1:-}" in
"")
	make_secrets
	remember
	;;
--check) check ;;
*) fail "found $1, expected nothing or --check" ;;
esac
