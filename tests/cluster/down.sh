#!/usr/bin/env bash
# Ends the cluster of a folder: killing the first process of its namespaces kills all, and with the
# namespaces go the mounts and interfaces. What is left is the folder itself, and the logs in it.
#
# usage: down.sh FOLDER
set -euo pipefail
folder="${1:?usage: down.sh FOLDER}"
if [ ! -e "$folder/lock" ] || flock --nonblock "$folder/lock" true; then
    printf 'tests/cluster: no cluster runs in %s\n' "$folder" >&2
    exit
fi
pid="$(cat "$folder/pid")"
kill -KILL "$pid"
flock "$folder/lock" true
rm -f "$folder/ready"
for group in "/sys/fs/cgroup/reinstate-test-$pid" /sys/fs/cgroup/*/"reinstate-test-$pid"; do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
done
