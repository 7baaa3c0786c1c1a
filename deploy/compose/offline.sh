#!/usr/bin/env bash
# offline.sh: for hosts that can't pull images. Builds every image that Dockerfile names, under the very same names and
# tags, from Debian packages and pinned Go modules, then compose.yaml's own by the Dockerfile as it stands; first, where
# docker has none, the compose plugin. What is there already is left alone, so that a second time takes seconds.
#
#   offline.sh                 everything
#   offline.sh --base          plugin and base images alone
#
# Needs Go, a Docker engine, and where images are missing root, for debootstrap. NATS and versitygw are built from the
# modules that pin them for the tests (internal/testservers/servers).
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
	echo "offline.sh: $*" >&2
	exit 1
}

step() { # says what it does and how long it took
	local what=$1 began=$SECONDS
	shift
	echo "offline.sh: $what"
	"$@"
	echo "offline.sh: $what: done in $((SECONDS - began)) s"
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

# named gives the one image of that name in the Dockerfile.
named() { grep -oE "(FROM |--from=)$1:[^ ]+" deploy/compose/Dockerfile | head -1 | sed 's/^FROM //; s/^--from=//'; }

plugin() {
	local version folder=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
	version=$(sed -n 's|^\s*github.com/docker/compose/v2 \(v[^ ]*\).*|\1|p' deploy/compose/plugin/go.mod)
	mkdir -p "$folder"
	(cd deploy/compose/plugin && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath \
		-ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$version" \
		-o "$folder/docker-compose.partial" github.com/docker/compose/v2/cmd)
	mv "$folder/docker-compose.partial" "$folder/docker-compose"
	docker compose version >/dev/null || fail "docker does not take the plugin in $folder"
}

# golang IMAGE: Debian's smallest system with Go in it, as the official image has it.
golang() {
	local image=$1 version codename root
	version=$(sed -E 's/.*:([0-9.]+)-.*/\1/' <<<"$image")
	codename=${image##*-}
	[ "$(id -u)" = 0 ] || fail "debootstrap needs root, to build $image: run offline.sh as root (sudo -E deploy/compose/offline.sh)"
	command -v debootstrap >/dev/null || step "install debootstrap" install_debootstrap
	root=$(mktemp -d)
	# shellcheck disable=SC2064
	trap "rm -rf '$root'" EXIT
	debootstrap --variant=minbase "$codename" "$root/debian" "$(mirror "$codename")" >"$root/log" 2>&1 ||
		fail "debootstrap: $(tail -n 5 "$root/log")"
	rm -rf "$root"/debian/var/cache/apt/archives/*.deb "$root"/debian/usr/share/{doc,man,locale}
	cp -a "$(toolchain "$version")" "$root/debian/usr/local/go"
	chmod -R u+w "$root/debian/usr/local/go" # the module cache's copy is read-only
	rm -rf "$root"/debian/usr/local/go/{test,doc,api}
	mkdir -p "$root/debian/etc/ssl/certs" "$root/debian/go"
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/debian/etc/ssl/certs/"
	tar -C "$root/debian" -c . | docker import \
		-c 'ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		-c 'ENV GOPATH=/go' -c 'ENV GOTOOLCHAIN=local' -c 'WORKDIR /go' - "$image" >/dev/null
	rm -rf "$root"
	trap - EXIT
}

install_debootstrap() { apt-get update -q >/dev/null && apt-get install -y -q debootstrap >/dev/null; }

# mirror CODENAME: where this machine's own apt finds that release.
mirror() {
	local site
	site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | awk -v r="$1" '$2 == r {print $1; exit}')
	[ -n "$site" ] || fail "apt's sources name no Debian $1: run offline.sh on a host that has them"
	echo "$site"
}

# toolchain VERSION: the folder of that Go, which the module proxy serves where this machine has another.
toolchain() {
	GOTOOLCHAIN="go$1" go env GOROOT || fail "found no Go $1, neither here nor at the module proxy"
}

# server NAME IMAGE PATH: one static binary on nothing, at the path where the official image has it.
server() {
	local name=$1 image=$2 path=$3 version=${2##*:} root binary
	binary=$(go run ./internal/testservers/build "$name")
	[ "${binary##*-v}" = "${version#v}" ] || fail "Dockerfile names $image, the tests pin $name-v${binary##*-v}: make them agree"
	root=$(mktemp -d)
	install -D -m 0755 "$binary" "$root$path"
	tar -C "$root" -c . | docker import -c "ENTRYPOINT [\"$path\"]" - "$image" >/dev/null
	rm -r "$root"
}

own() {
	# Secrets are no part of a build, but the file names their folder.
	WARMSTART_SECRETS=${WARMSTART_SECRETS:-/nowhere} docker compose -f deploy/compose/compose.yaml --profile train build
}

docker info >/dev/null 2>&1 || fail "no Docker engine answers: start it (systemctl start docker), or see that you may use it (group docker, DOCKER_HOST)"
command -v go >/dev/null || fail "Go is missing: it builds the images' content from pinned modules"
docker compose version >/dev/null 2>&1 || step "build the compose plugin" plugin
base=$(named golang) nats=$(named nats) s3=$(named versity/versitygw)
have "$base" || step "build $base from Debian packages" golang "$base"
have "$nats" || step "build $nats from its module" server nats "$nats" /nats-server
have "$s3" || step "build $s3 from its module" server versitygw "$s3" /usr/local/bin/versitygw
[ "${1:-}" = --base ] || step "build the images of compose.yaml" own
echo "offline.sh: done in $SECONDS s"
