#!/usr/bin/env bash
# Builds the Dockerfile's two images from a binary of this machine, as archives for containerd:
# operator.tar and runner.tar in FOLDER, tagged localhost/reinstate/{operator,runner}:test.
#
# usage: images.sh BINARY FOLDER [CLUSTER…]     loads them into these running clusters too
#
# What is there and was built from the same binary and Dockerfile is kept.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
binary="$(realpath "${1:?usage: images.sh BINARY FOLDER [CLUSTER…]}")" out="$(realpath -m "${2:?}")"
shift 2
cache="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate"
dockerfile="$here/../../Dockerfile"
# shellcheck source=tests/cluster/store.sh
source "$here/store.sh"

build() {
    local context="$storage/context" name
    rm -rf "$context"
    mkdir "$context"
    strip -o "$context/reinstate" "$binary"
    for name in operator runner; do
        store bud --quiet --isolation chroot --pull-never --layers=false --timestamp 0 \
            --build-arg BUILD_IMAGE="$base" --build-arg PREBUILT=reinstate \
            --build-arg VERSION=test --build-arg REVISION=test \
            --target "$name" --file "$dockerfile" --tag "localhost/reinstate/$name:test" "$context" >/dev/null
        rm -f "$out/$name.tar"
        store push --quiet "localhost/reinstate/$name:test" \
            "docker-archive:$out/$name.tar:localhost/reinstate/$name:test"
    done
    rm -rf "$context"
    store rmi --prune >/dev/null
}

mkdir -p "$out"
made="$(cat "$binary" "$dockerfile" "$0" "$cache/bin/.base.tar.version" | sha256sum)"
if [ "$(cat "$out/made" 2>/dev/null || true)" != "$made" ] || [ ! -e "$out/operator.tar" ] || [ ! -e "$out/runner.tar" ]; then
    rm -f "$out/made"
    export out binary dockerfile
    private build
    printf '%s\n' "$made" >"$out/made"
fi
for cluster in "$@"; do
    for name in operator runner; do
        "$here/enter.sh" "$cluster" ctr --namespace k8s.io images import "$out/$name.tar" >/dev/null
    done
done
