#!/usr/bin/env bash
# Serves S3 at https://ADDRESS:9000 with MinIO, under a certificate of the CA in PKI.
#
# usage: minio.sh FOLDER ADDRESS PKI
set -euo pipefail
folder="$1" address="$2" pki="$3"
mkdir -p "$folder/certs" "$folder/data"
cp "$pki/ca.crt" "$folder/certs/ca.crt"
cp "$pki/apiserver.crt" "$folder/certs/public.crt"
cp "$pki/apiserver.key" "$folder/certs/private.key"
export MINIO_ROOT_USER=test-only-key-id MINIO_ROOT_PASSWORD=test-only-secret-key
export MINIO_SITE_REGION=us-east-1 MINIO_BROWSER=off
exec "${PROGRAMS:-${XDG_CACHE_HOME:-$HOME/.cache}/reinstate/bin}/minio" server --quiet \
    --address "$address:9000" --certs-dir "$folder/certs" "$folder/data"
