#!/bin/sh
# As RUSTC_WRAPPER: compiles what is fuzzed with coverage counters, this project's code with overflow
# checks and debug assertions too, and all other crates as they are, on the stable toolchain. There
# is no address sanitizer: the project forbids unsafe code.
rustc=$1
shift
name=
previous=
for argument; do
    [ "$previous" = --crate-name ] && name=$argument
    previous=$argument
done
checks=
case $name in
age | age_core | brotli | brotli_decompressor | lz4_flex) ;;
reinstate | sidecar | tar | index | envelope | codec | dump | examine | postgres_script | postgres_archive)
    checks="-Coverflow-checks=yes -Cdebug-assertions=yes"
    ;;
*) exec "$rustc" "$@" ;;
esac
# shellcheck disable=SC2086 # words, on purpose
exec "$rustc" "$@" --cfg fuzzing $checks -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
