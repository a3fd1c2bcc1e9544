#!/usr/bin/env bash
# The first process of a cluster's namespaces: prepares them, starts the servers, and waits.
# Started by up.sh, with FOLDER and PROGRAMS in its environment. When one server ends, all end.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
address=192.168.77.1
pki="$FOLDER/pki"
kube="$PROGRAMS/kube"

# /proc still shows the processes outside: how they know this one.
read -r self _ </proc/self/stat
printf '%s\n' "$self" >"$FOLDER/pid"
mount -t proc proc /proc

say() { printf '%6d s  %s\n' "$SECONDS" "$*"; }

# start NAME COMMAND…
start() {
    local name="$1"
    shift
    "$@" >"$FOLDER/log/$name.log" 2>&1 &
    printf '%s\n' "$!" >"$FOLDER/$name.pid"
    names[$!]="$name"
}
declare -A names

give_up() {
    say "$1"
    tail -n 20 "$FOLDER"/log/*.log
    exit 1
}

# until_ok SECONDS WHAT COMMAND…
until_ok() {
    local limit=$((SECONDS + $1)) what="$2"
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$limit" ] || give_up "waited in vain until $what"
        local server
        for server in "${!names[@]}"; do
            kill -0 "$server" 2>/dev/null || give_up "the ${names[$server]} has ended"
        done
        sleep 0.2
    done
    say "$what"
}

# Folders that the servers write to whatever they are told, covered so that the machine's own stay
# as they are, and no earlier cluster's content is met.
cover() {
    mkdir -p /var/lib/kubelet /var/lib/containerd /var/lib/cni
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/lib/cni
    mount --bind "$FOLDER/kubelet" /var/lib/kubelet
    mount --bind "$FOLDER/containerd" /var/lib/containerd
    mount --bind "$FOLDER/var-log" /var/log
    # Names are asked of an address where nobody answers, so that a wrong one fails at once.
    printf 'nameserver 10.0.0.10\n' >"$FOLDER/resolv.conf"
    [ ! -e /etc/resolv.conf ] || mount --bind "$FOLDER/resolv.conf" /etc/resolv.conf
    # The kubelet sets these; it shall set the private files that are shown in their place.
    local entry file
    for entry in kernel/panic=10 kernel/panic_on_oops=1 vm/overcommit_memory=1 vm/panic_on_oom=0 \
        kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
        file="$FOLDER/kernel-$(basename "${entry%=*}")"
        printf '%s\n' "${entry#*=}" >"$file"
        mount --bind "$file" "/proc/sys/${entry%=*}"
    done
}

# Two addresses of the service range are held by the loopback interface: the API server's, so that
# pods reach it without kube-proxy, and the one of the absent DNS server.
network() {
    ip link set lo up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip address add 10.0.0.1/32 dev lo
    ip address add 10.0.0.10/32 dev lo
    ip link add node type bridge
    ip address add "$address/24" dev node
    ip link set node up
    # A kubelet wants to see a default route before it believes in its address.
    ip route add default dev node
}

# A parent of its own for the pods' groups: a kubelet removes those that it does not know.
control_group() {
    group="reinstate-test-$self"
    local parent
    for parent in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [ -e "$parent/cgroup.procs" ] || continue
        case "$parent" in
            /sys/fs/cgroup/*) [ ! -e /sys/fs/cgroup/cgroup.procs ] || continue ;;
        esac
        mkdir "$parent/$group"
        # A new cpuset of the first version is empty, and takes no process.
        if [ -e "$parent/cpuset.cpus" ]; then
            cat "$parent/cpuset.cpus" >"$parent/$group/cpuset.cpus"
            cat "$parent/cpuset.mems" >"$parent/$group/cpuset.mems"
        fi
    done
}

control_plane() {
    start etcd "$kube" etcd --data-dir="$FOLDER/etcd" --unsafe-no-fsync --log-level=warn \
        --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
        --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
        --initial-cluster=default=http://127.0.0.1:2380
    # The audit log tells who asked for what. Pods leave a node that is gone after seconds, not minutes.
    start apiserver "$kube" apiserver --etcd-servers=http://127.0.0.1:2379 \
        --secure-port=443 --advertise-address="$address" --allow-privileged=true \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC \
        --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement --service-cluster-ip-range=10.0.0.0/24 \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$pki/tokens.pub" --service-account-signing-key-file="$pki/tokens.key" \
        --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
        --kubelet-client-certificate="$pki/apiserver-to-kubelet.crt" \
        --kubelet-client-key="$pki/apiserver-to-kubelet.key" \
        --audit-policy-file="$here/audit.yaml" --audit-log-path="$FOLDER/audit.log" \
        --default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5
    until_ok 180 "API server ready" "$kube" kubectl get --raw /readyz
    # Beside a build on two cores a healthy node may be silent for some seconds.
    start controller-manager "$kube" controller-manager --kubeconfig="$pki/controller-manager.kubeconfig" \
        --service-account-private-key-file="$pki/tokens.key" --root-ca-file="$pki/ca.crt" \
        --use-service-account-credentials=true --leader-elect=false --bind-address=127.0.0.1 \
        --node-monitor-period=2s --node-monitor-grace-period=15s
    start scheduler "$kube" scheduler --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false \
        --bind-address=127.0.0.1
}

containers() {
    cat >"$FOLDER/containerd.toml" <<TOML
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.internal.v1.opt"]
  path = "$FOLDER/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/reinstate/pause:test"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$FOLDER/cni"
TOML
    cat >"$FOLDER/cni/pods.conflist" <<'JSON'
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON
    start containerd containerd -c "$FOLDER/containerd.toml"
    until_ok 60 "containerd ready" ctr version
    ctr --namespace k8s.io images import "$PROGRAMS/pause.tar" >>"$FOLDER/log/images.log"
}

# The node takes part in the machine's memory and disk, whatever they hold: it never evicts by itself.
node() {
    cat >"$FOLDER/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
featureGates: {KubeletInUserNamespace: true}
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$group
enforceNodeAllocatable: []
failSwapOn: false
makeIPTablesUtilChains: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
nodeLeaseDurationSeconds: 8
nodeStatusUpdateFrequency: 2s
serializeImagePulls: false
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
imageGCHighThresholdPercent: 100
volumePluginDir: $FOLDER/kubelet/volume-plugins
resolvConf: $FOLDER/resolv.conf
clusterDNS: [10.0.0.10]
clusterDomain: cluster.local
YAML
    start kubelet "$kube" kubelet --config="$FOLDER/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" \
        --hostname-override=node --node-ip="$address"
    until_ok 120 "node ready" "$kube" kubectl wait --for=condition=Ready node/node --timeout=10s
}

cover
network
control_group
"$here/certificates.sh" "$pki" "$address"
cp "$pki/admin.kubeconfig" "$pki/ca.crt" "$FOLDER/"
export KUBECONFIG="$FOLDER/admin.kubeconfig"
if [ -x "$PROGRAMS/minio" ]; then
    start minio "$here/minio.sh" "$FOLDER/minio" "$address" "$pki"
fi
control_plane
containers
node
touch "$FOLDER/ready"

code=0
wait -n -p ended || code=$?
rm -f "$FOLDER/ready"
give_up "the ${names[$ended]} has ended with code $code"
