# Two images of one binary: `--target operator` and `--target runner`.
#
#   docker build --target operator --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
#
# They hold the binary, the shared libraries that it asks for, how these look up host names, and the
# CA bundle. There is no shell and no other program in them. Two builds of one revision with the same
# SOURCE_DATE_EPOCH are equal to the byte, for every platform that BUILD_IMAGE exists for.

ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm

FROM ${BUILD_IMAGE} AS build
# A binary in the context, taken in place of compiling one. BUILD_IMAGE needs no Rust then, but the
# glibc that the binary was linked with, and a CA bundle.
ARG PREBUILT
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY . .
# Names of functions and line tables would be most of the size; what a panic says names its line anyway.
RUN set -eu; \
    if [ -z "${PREBUILT:-}" ]; then \
        export CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_STRIP=symbols; \
        cargo build --locked --release --bin reinstate; \
    fi; \
    install -D -m 0755 "${PREBUILT:-target/release/reinstate}" /image/reinstate; \
    ldd /image/reinstate | sed -nE 's/^[^/]*(\/[^ ]+) \(0x.*/\1/p' | while read -r library; do \
        install -D -m 0755 "${library}" "/image${library}"; \
    done; \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt; \
    # Without it glibc asks DNS alone, and a pod's hostAliases would not count.
    printf 'hosts: files dns\n' >/image/etc/nsswitch.conf; \
    find /image -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM scratch AS image
COPY --from=build /image/ /
USER 65532:65532
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="Reinstate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM image AS operator
LABEL org.opencontainers.image.title="reinstate-operator" \
      org.opencontainers.image.description="Restores databases from backups: watches DatabaseRestores and runs a Job for each"
EXPOSE 8080
ENTRYPOINT ["/reinstate", "operator"]

FROM image AS runner
LABEL org.opencontainers.image.title="reinstate-runner" \
      org.opencontainers.image.description="Restores databases from backups: the one run of a Job"
ENTRYPOINT ["/reinstate", "runner"]
