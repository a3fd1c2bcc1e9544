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
base=docker.io/library/debian:bookworm-slim
mkdir -p "$out" "$cache/buildah"

# A store of its own: nothing of the user's images is touched, and no name of theirs is met.
store() { buildah --root "$cache/buildah/root" --runroot "$cache/buildah/run" "$@"; }

build() {
    store rm --all >/dev/null
    local version scratch name
    version="$(sha256sum <"$cache/bin/base.tar")"
    if [ "$(cat "$cache/buildah/base" 2>/dev/null || true)" != "$version" ]; then
        local container
        container="$(store from scratch)"
        store add --quiet "$container" "$cache/bin/base.tar" / >/dev/null
        store commit --quiet --rm "$container" "$base" >/dev/null
        printf '%s\n' "$version" >"$cache/buildah/base"
    fi
    scratch="$(mktemp -d)"
    strip --strip-debug -o "$scratch/reinstate" "$binary"
    for name in operator runner; do
        store bud --quiet --isolation chroot --pull-never --layers=false --timestamp 0 \
            --build-arg BUILD_IMAGE="$base" --build-arg PREBUILT=reinstate \
            --build-arg VERSION=test --build-arg REVISION=test \
            --target "$name" --file "$dockerfile" --tag "localhost/reinstate/$name:test" "$scratch" >/dev/null
        rm -f "$out/$name.tar"
        store push --quiet "localhost/reinstate/$name:test" \
            "docker-archive:$out/$name.tar:localhost/reinstate/$name:test"
    done
    rm -rf "$scratch"
    store rmi --prune >/dev/null
}

made="$(cat "$binary" "$dockerfile" "$0" | sha256sum)"
if [ "$(cat "$out/made" 2>/dev/null || true)" != "$made" ] || [ ! -e "$out/operator.tar" ] || [ ! -e "$out/runner.tar" ]; then
    rm -f "$out/made"
    exec 9>"$cache/buildah/lock"
    flock 9
    export -f store build
    export cache base dockerfile out binary
    # Mounts of a build that is killed go with the namespace.
    unshare --mount --propagation private bash -euo pipefail -c build
    printf '%s\n' "$made" >"$out/made"
fi
for cluster in "$@"; do
    for name in operator runner; do
        "$here/enter.sh" "$cluster" ctr --namespace k8s.io images import "$out/$name.tar" >/dev/null
    done
done
