#!/usr/bin/env bash
# Builds both images twice from the sources alone, as a release does, and compares them to the byte.
#
# The Rust image that the Dockerfile names is of a registry; what stands in for it here is Debian's
# base with a C compiler, this machine's Rust toolchain and the crates of Cargo.lock.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate"
work="$cache/soak-images"
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
storage="$work/store"
# shellcheck source=tests/cluster/store.sh
source tests/cluster/store.sh
sysroot="$(rustc --print sysroot)" revision="$(git rev-parse HEAD)" epoch="$(git log -1 --format=%ct)"
version="$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1)"
toolchain=localhost/reinstate/rust:test
export work sysroot revision epoch version toolchain

CARGO_HOME="$work/cargo" cargo fetch --locked

rust_image() {
    local container
    container="$(store from --pull-never "$base")"
    store run --isolation chroot "$container" -- \
        sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null'
    store config --env CARGO_HOME=/usr/local/cargo --env CARGO_NET_OFFLINE=true \
        --env PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    store commit --quiet --rm "$container" "$toolchain" >/dev/null
}

# Two contexts, two empty caches of layers, an hour between the times of their files.
build_twice() {
    rust_image
    local round name fresh
    for round in 1 2; do
        mkdir "$work/$round"
        git archive HEAD | tar -C "$work/$round" -x
        find "$work/$round" -exec touch --date="@$((epoch + 3600 * round))" {} +
        for name in operator runner; do
            # The first target of a round compiles; the second finds that layer.
            fresh=()
            [ "$name" = runner ] || fresh=(--no-cache)
            store bud --isolation chroot --pull-never --layers "${fresh[@]}" --timestamp "$epoch" \
                --volume "$sysroot:/usr/local/rust:ro" --volume "$work/cargo:/usr/local/cargo" \
                --build-arg BUILD_IMAGE="$toolchain" --build-arg SOURCE_DATE_EPOCH="$epoch" \
                --build-arg VERSION="$version" --build-arg REVISION="$revision" \
                --target "$name" --tag "localhost/reinstate/$name:round-$round" "$work/$round"
            store inspect --type image --format '{{.FromImageDigest}}' "localhost/reinstate/$name:round-$round" >"$work/$name.$round"
            rm -f "$work/$name.tar"
            store push --quiet "localhost/reinstate/$name:round-$round" "docker-archive:$work/$name.tar"
            printf '%s, round %s: %s, %s bytes, %s compressed\n' "$name" "$round" "$(cat "$work/$name.$round")" \
                "$(stat --format=%s "$work/$name.tar")" "$(gzip --stdout "$work/$name.tar" | wc --bytes)"
        done
    done
    cmp "$work/operator.1" "$work/operator.2"
    cmp "$work/runner.1" "$work/runner.2"
    echo "both images are the same twice"
}
export -f rust_image
private build_twice
