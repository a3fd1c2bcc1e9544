#!/usr/bin/env bash
# Fuzzes every target for SECONDS (default 600), one after the other, and prints one row each for
# docs/results. Needs the stable toolchain and a C++ compiler; the layout is that of cargo-fuzz.
# Usage: tests/soak/fuzz.sh [seconds] [target…]
set -euo pipefail
cd "$(dirname "$0")/../../fuzz"
seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(sidecar tar index envelope codec dump examine postgres_script postgres_archive)

./seeds.sh
RUSTC_WRAPPER=$PWD/instrument.sh nice cargo build --release --locked --bins

echo "| target | executions | seconds | coverage (edges) | corpus | findings |"
echo "|---|---|---|---|---|---|"
failed=0
for target in "${targets[@]}"; do
    mkdir -p "artifacts/$target"
    log=artifacts/$target/log
    found=0
    nice -n 15 "target/release/$target" "corpus/$target" -artifact_prefix="artifacts/$target/" \
        -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=25 -max_len=131072 \
        -print_final_stats=1 >"$log" 2>&1 || { found=1 failed=1; }
    runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
    cover=$(grep -ao 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2 || true)
    took=$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) .*/\1/p' "$log")
    finding=none
    [ $found = 0 ] || finding="see $log"
    echo "| $target | ${runs:-?} | ${took:-?} | ${cover:-?} | $(find "corpus/$target" -type f | wc -l) | $finding |"
done
exit $failed
