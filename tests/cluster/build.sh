#!/usr/bin/env bash
# Builds the test cluster's programs into a folder: kube (every server, and kubectl), helm, and the
# pause image as an archive for containerd.
#
# usage: build.sh FOLDER     GO names the go command
set -euo pipefail
cd "$(dirname "$0")"
out="${1:?usage: build.sh FOLDER}"
go="${GO:-go}"
export CGO_ENABLED=0

kubernetes="$("$go" list -m -f '{{.Version}}' k8s.io/kubernetes)"
helm="$("$go" list -m -f '{{.Version}}' helm.sh/helm/v3)"

# Without these the servers call themselves v0.0.0, and clients refuse to work with that.
minor="${kubernetes#v1.}"
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
    flags+=" -X $package.gitCommit=test -X $package.buildDate=2026-01-01T00:00:00Z"
done
"$go" build -trimpath -ldflags "$flags" -o "$out/kube" .
ln -sf kube "$out/kubectl"
"$go" build -trimpath -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$helm" -o "$out/helm" helm.sh/helm/v3/cmd/helm

# An image is two JSON files and a tar: no container tool is needed for one file.
scratch="$out/.pause"
mkdir "$scratch"
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/root"
"$go" build -trimpath -ldflags "-s -w" -o "$scratch/root/pause" ./pause
tar -C "$scratch/root" --sort=name --mtime=@0 --owner=0 --group=0 -cf "$scratch/layer.tar" pause
layer="$(sha256sum "$scratch/layer.tar" | cut -d' ' -f1)"
cat >"$scratch/config.json" <<JSON
{"architecture":"$("$go" env GOARCH)","os":"linux","config":{"Entrypoint":["/pause"],"User":"65535:65535"},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
JSON
cat >"$scratch/manifest.json" <<JSON
[{"Config":"config.json","RepoTags":["localhost/reinstate/pause:test"],"Layers":["layer.tar"]}]
JSON
tar -C "$scratch" -cf "$out/pause.tar" manifest.json config.json layer.tar
