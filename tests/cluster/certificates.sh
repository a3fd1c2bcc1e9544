#!/usr/bin/env bash
# Makes a CA, the certificates that it signs, and a kubeconfig for each client, good for a month.
#
# usage: certificates.sh FOLDER ADDRESS     ADDRESS is the node's
set -euo pipefail
mkdir -p "$1"
cd "$1"
address="$2"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# certificate NAME SUBJECT [ALTERNATIVE-NAMES]
certificate() {
    key "$1"
    {
        printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n'
        printf 'extendedKeyUsage=serverAuth,clientAuth\n'
        [ -z "${3:-}" ] || printf 'subjectAltName=%s\n' "$3"
    } >"$1.extensions"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.request"
    openssl x509 -req -in "$1.request" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
        -extfile "$1.extensions" -out "$1.crt" 2>"$1.log"
}

# kubeconfig NAME
kubeconfig() {
    cat >"$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://$address:443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: test, context: {cluster: test, user: $1}}]
current-context: test
YAML
}

key ca
openssl req -x509 -new -key ca.key -subj /CN=test-only-ca -days 30 -out ca.crt \
    -addext keyUsage=critical,keyCertSign
names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
certificate apiserver /CN=kube-apiserver "$names,IP:127.0.0.1,IP:10.0.0.1,IP:$address"
certificate apiserver-to-kubelet "/O=system:masters/CN=apiserver-to-kubelet"
certificate admin "/O=system:masters/CN=admin"
certificate controller-manager /CN=system:kube-controller-manager
certificate scheduler /CN=system:kube-scheduler
certificate kubelet "/O=system:nodes/CN=system:node:node" "DNS:node,IP:$address,IP:127.0.0.1"
for client in admin controller-manager scheduler kubelet; do kubeconfig "$client"; done
openssl genrsa -out tokens.key 2048 2>tokens.log
openssl rsa -in tokens.key -pubout -out tokens.pub 2>>tokens.log
