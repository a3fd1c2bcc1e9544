#!/usr/bin/env bash
# The full counts, fuzzing, benches: what takes hours and is not in tests/run.sh.
#
# Each part writes a log with its date under target/soak; figures that are worth keeping go from
# there into docs/results/DATE-NAME.md by hand. Run tests/run.sh first: it brings what is needed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

date="$(date -u +%Y-%m-%d)"
out="target/soak/$date"
mkdir -p "$out"
failed=()

# part NAME COMMAND…
part() {
    local name="$1" begun="$SECONDS" result=ok
    shift
    printf '\n==> %s\n' "$name"
    if ! "$@" 2>&1 | tee "$out/$name.log"; then
        result=FAILED
        failed+=("$name")
    fi
    printf '<== %s: %s after %d s; %s\n' "$name" "$result" "$((SECONDS - begun))" "$out/$name.log"
}

# absent NAME FILE: a part that this version does not have is told, not passed over.
absent() {
    printf '\n==> %s: not here: %s is missing\n' "$1" "$2"
}

# Every backup with one bit flipped at 200 places and cut at 200 places; the switch killed 100 times.
part damage env REINSTATE_SOAK_DAMAGE=200 cargo test --locked --release --test it dbackup::
part kills env REINSTATE_SOAK_KILLS=100 cargo test --locked --release --test it -- sqlite::kills runner::kills postgres::switches

# The database of PostgreSQL's own regression suite, plain and as an archive, against psql and pg_restore.
part regression bash tests/soak/regression.sh

# 10,000 finished restores, five quiet minutes, 500 to be run: requests, memory, times.
part scale env REINSTATE_SOAK_FINISHED=10000 REINSTATE_SOAK_QUIET_SECONDS=300 REINSTATE_SOAK_RUNS=500 \
    cargo test --locked --release --test e2e scale:: -- --nocapture --test-threads 1
# The operator killed at each of its writes, before and after, and at 50 moments;
# the runner at 60, of which some end before they are hit.
part node-kills env REINSTATE_SOAK_STEPS=1000 REINSTATE_SOAK_OPERATOR_KILLS=50 REINSTATE_SOAK_RUNNER_KILLS=60 \
    cargo test --locked --release --test e2e kills:: -- --nocapture --test-threads 1
part images bash tests/soak/images.sh
if [ -f tests/soak/fuzz.sh ]; then part fuzz bash tests/soak/fuzz.sh; else absent fuzz tests/soak/fuzz.sh; fi
if [ -d benches/reading ]; then
    # The large backup (some GiB, sealed; memory and files are watched) is not part of a run without names.
    part benches cargo bench --locked --bench reading
    part large cargo bench --locked --bench reading -- large
    # PostgreSQL beside psql and pg_restore, 1 GiB; needs a quiet machine.
    part loading cargo bench --locked --bench loading
else
    absent benches benches/reading
fi

if [ "${#failed[@]}" -gt 0 ]; then
    printf '\nfailed: %s\n' "${failed[*]}"
    exit 1
fi
printf '\nall parts are done; logs in %s\n' "$out"
