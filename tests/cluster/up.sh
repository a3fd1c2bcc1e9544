#!/usr/bin/env bash
# Starts a Kubernetes cluster of one node for the tests, with MinIO beside it, and waits until it is ready.
#
# usage: up.sh [--tied] FOLDER
#   --tied   stays in the foreground: the cluster ends when this process is killed
#
# Everything runs in mount, network and process namespaces of its own: ending the first process of
# them ends it all (down.sh), and what it mounts and configures is never seen outside. FOLDER holds
# its state, logs and admin.kubeconfig; enter.sh runs commands inside. Only root can do this.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
tied=false
if [ "${1:-}" = --tied ]; then
    tied=true
    shift
fi
folder="$(realpath -m "${1:?usage: up.sh [--tied] FOLDER}")"
say() { printf 'tests/cluster: %s\n' "$*" >&2; }

[ "$(id -u)" -eq 0 ] || { say "only root can make the namespaces that a node needs"; exit 1; }

if ! "$tied"; then
    if [ -e "$folder/lock" ]; then
        flock --nonblock "$folder/lock" rm -f "$folder/ready" || { say "a cluster runs in $folder already"; exit 1; }
    fi
    mkdir -p "$(dirname "$folder")"
    setsid bash "$0" --tied "$folder" >"$folder.log" 2>&1 </dev/null &
    starter=$!
    until [ -e "$folder/ready" ]; do
        kill -0 "$starter" 2>/dev/null || { cat "$folder.log" >&2; exit 1; }
        sleep 0.2
    done
    mv "$folder.log" "$folder/log/up.log"
    say "ready: KUBECONFIG=$folder/admin.kubeconfig, $here/enter.sh $folder kubectl get nodes"
    exit
fi

mkdir -p "$folder"
# The lock is held by every process of the cluster: it is free exactly when all of them are gone,
# however they ended. No number of a process is trusted that was written by an earlier cluster.
if [ ! -e "$folder/lock" ] && [ -n "$(ls -A "$folder")" ]; then
    say "$folder is neither empty nor a cluster's folder"
    exit 1
fi
exec 9>>"$folder/lock"
flock --nonblock 9 || { say "a cluster runs in $folder already"; exit 1; }
find "$folder" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
mkdir -p "$folder"/{log,etcd,kubelet,containerd,cni,var-log,volumes}

# Control groups outlive the processes of a cluster that was killed; a name holds the owner's number.
for group in /sys/fs/cgroup/reinstate-test-* /sys/fs/cgroup/*/reinstate-test-*; do
    [ -d "$group" ] || continue
    [ -e "/proc/${group##*-}" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || say "left: $group"
done

export FOLDER="$folder" PROGRAMS="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate/bin"
exec unshare --mount --net --pid --fork --kill-child --propagation private bash "$here/inside.sh"
