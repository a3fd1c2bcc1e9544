#!/usr/bin/env bash
# Passes all tests and checks of the project, and brings what they need.
#
# Needs: a Rust toolchain with rustfmt and clippy, a C compiler, and the package registries (crates,
# Go modules, PyPI, apt). As root on Debian the missing tools are installed; else they are named.
# The tests on a Kubernetes node need root for its namespaces; with KUBECONFIG they use the cluster
# that it names (see tests/e2e/harness/cluster.rs).
# Downloads and builds are kept in ${XDG_CACHE_HOME:-~/.cache}/reinstate, so a second run is short.
# CARGO_TARGET_DIR is honoured; with CI=true it lies in that cache, because a clean checkout brings none.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# One version, because another one may read deny.toml in another way.
DENY_VERSION=0.20.2

cache="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate"
logs="$cache/logs"
mkdir -p "$logs"
if [ "${CI:-}" = true ] && [ -z "${CARGO_TARGET_DIR:-}" ]; then
    export CARGO_TARGET_DIR="$cache/target"
fi

failed=()
times=()

# step NAME COMMAND…: says what is done and how long it took; goes on after a failure.
step() {
    local name="$1" begun="$SECONDS" result=ok
    shift
    printf '\n==> %s\n' "$name"
    if ! "$@"; then
        result=FAILED
        failed+=("$name")
    fi
    times+=("$(printf '%-7s %5d s  %s' "$result" "$((SECONDS - begun))" "$name")")
    printf '<== %s: %s after %d s\n' "$name" "$result" "$((SECONDS - begun))"
}

summary() {
    printf '\n'
    printf '%s\n' "${times[@]}"
    printf '%-7s %5d s  %s\n' all "$SECONDS" "$1"
}

rust_tools() {
    local component
    for component in fmt clippy; do
        cargo "$component" --version && continue
        rustup component add "${component/#fmt/rustfmt}" || return
    done
    cargo --version
}

wait_for_parts() {
    wait "$parts"
    local code=$?
    cat "$logs/parts.log"
    return "$code"
}

# The pages are for those who change the code, private items included, so links to these are right.
docs() {
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --release --no-deps --document-private-items
}

deny() {
    local tool="$cache/cargo/bin/cargo-deny"
    if [ "$("$tool" --version 2>/dev/null)" != "cargo-deny $DENY_VERSION" ]; then
        # Beside the project's own target folder: a tool's build must not turn it over.
        env -u CARGO_TARGET_DIR cargo install --quiet --locked --root "$cache/cargo" \
            --version "$DENY_VERSION" cargo-deny || return
    fi
    "$tool" check bans licenses sources
}

tests() {
    cargo test --locked --release --lib --bins --test it 2>&1 | tee "$logs/tests.log"
}

# The node and the images are brought up by the tests themselves; here it is told how long they take.
images() {
    bash tests/cluster/images.sh "${CARGO_TARGET_DIR:-target}/release/reinstate" "${CARGO_TARGET_DIR:-target}/tmp/images"
}

# More threads than cores, because these tests mostly wait for the cluster.
node_tests() {
    cargo test --locked --release --test e2e -- --test-threads 6 2>&1 | tee "$logs/node-tests.log"
}

# The parts' builds wait much for the network, so they begin first, beside everything else.
bash tests/parts/install.sh >"$logs/parts.log" 2>&1 &
parts=$!
trap 'kill "$parts" 2>/dev/null' EXIT

step "Rust tools" rust_tools
step "format" cargo fmt --check
step "build" cargo build --locked --release --all-targets
step "lints" cargo clippy --locked --release --all-targets -- -D warnings
step "docs" docs
step "licences, bans, sources" deny
step "parts: Kubernetes, MinIO, toxiproxy, tools" wait_for_parts
trap - EXIT
step "tests" tests
step "images" images
step "tests on a Kubernetes node" node_tests

summary "tests/run.sh"
if [ "${#failed[@]}" -gt 0 ]; then
    printf '\nfailed:'
    printf ' [%s]' "${failed[@]}"
    printf '\n'
fi
printf '\n'
grep -hE '^test result: |^test .* FAILED$|^error' "$logs/tests.log" "$logs/node-tests.log"
[ "${#failed[@]}" -eq 0 ]
