#!/usr/bin/env bash
# Makes base.tar in FOLDER: a small Debian of the image's release, from the machine's own mirror.
#
# usage: base.sh FOLDER
#
# It stands in for an image of a registry where the tests build the Dockerfile: it holds the same
# packages as debian:bookworm-slim and, like the Rust image, a CA bundle.
set -euo pipefail
out="${1:?usage: base.sh FOLDER}"
# `indextargets` names the mirror in whatever form the machine's sources are written.
mirror="$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' |
    sed -n 's/ bookworm$//p' | head -n 1)"
root="$out/root"
mkdir "$root"
# What it mounts in there goes with the namespace, however it ends.
unshare --mount --propagation private debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >&2
tar -C "$root" --exclude='./var/cache/*' --exclude='./var/lib/apt/lists/*' --exclude='./proc/*' --exclude='./sys/*' \
    --numeric-owner -cf "$out/base.tar" .
rm -rf "$root"
