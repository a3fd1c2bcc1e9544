# shellcheck shell=bash
# For scripts that build images: a store of buildah's of our own, so that nothing of the user's images
# is touched or met. To be read by `source`, after `cache` is set, and `storage` where it is not to be the
# common one; builds run inside `private`.

base=docker.io/library/debian:bookworm-slim
storage="${storage:-$cache/buildah}"
mkdir -p "$storage"
export cache base storage

store() { buildah --root "$storage/root" --runroot "$storage/run" "$@"; }

# Puts base.tar into the store under the name of the image that it stands in for.
base_image() {
    local version container
    version="$(sha256sum <"$cache/bin/base.tar")"
    [ "$(cat "$storage/base" 2>/dev/null || true)" != "$version" ] || return 0
    container="$(store from scratch)"
    store add --quiet "$container" "$cache/bin/base.tar" / >/dev/null
    store commit --quiet --rm "$container" "$base" >/dev/null
    printf '%s\n' "$version" >"$storage/base"
}

# private FUNCTION: runs it alone among those that use the store, without what a build that was cut
# has left there; its mounts go with the namespace, however it ends.
private() {
    exec 8>"$storage/lock"
    flock 8
    export -f store base_image "$1"
    unshare --mount --propagation private bash -euo pipefail -c "store rm --all >/dev/null; base_image; $1"
    exec 8>&-
}
