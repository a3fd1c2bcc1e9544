# Every task of the project. CI runs the last one, `bash tests/run.sh`, through .ci/run.

# What is there to do
default:
    @just --list

# The README's example, restored
demo:
    mkdir -p target/demo
    cargo run --release -- run -f examples/sqlite.yaml --claim backups=tests/fixtures/dbackup --claim app-data=target/demo

# Format
fmt:
    cargo fmt

# Format check, lints, docs
lint:
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --release --no-deps --document-private-items

# Unit and integration tests; tests/parts/install.sh brings the servers
test:
    cargo test --release --lib --bins --test it

# Tests on a Kubernetes node, all or those of a name; as root
e2e *names:
    cargo test --release --test e2e -- {{names}}

# The two images of the built binary, as archives in target/tmp/images
images:
    cargo build --release
    tests/cluster/images.sh target/release/reinstate target/tmp/images

# Write the generated files again: crds/, tables of docs/, what is rendered from the chart and from contrib/
generate:
    REINSTATE_GENERATE=1 cargo test --release --test it -- generated chart::files contrib

# Licences, bans, sources
deny:
    cargo deny check bans licenses sources

# Benchmarks of the reading side, as ratios
bench:
    cargo bench --bench reading

# The full counts, fuzzing and the large backup; hours
soak:
    tests/soak/run.sh

# What CI runs
ci:
    bash tests/run.sh
