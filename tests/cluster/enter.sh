#!/usr/bin/env bash
# Runs a command inside a cluster's namespaces, with KUBECONFIG and the PATH set.
#
# usage: enter.sh FOLDER COMMAND…     for example: enter.sh FOLDER kubectl get pods -A
set -euo pipefail
folder="$(realpath "${1:?usage: enter.sh FOLDER COMMAND…}")"
shift
[ -e "$folder/ready" ] || { printf 'tests/cluster: no cluster runs in %s\n' "$folder" >&2; exit 1; }
export KUBECONFIG="$folder/admin.kubeconfig"
export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate/bin:$PATH"
exec nsenter --target "$(cat "$folder/pid")" --mount --net --pid --wdns="$PWD" -- "$@"
