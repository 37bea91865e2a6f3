#!/usr/bin/env bash
# Builds the control plane (Kubernetes and etcd) from Go modules, into a cache outside the tree, and prints its folder.
#   controlplane.sh          build it if it is not there; cold this takes about ten minutes on two cores
#   controlplane.sh --path   print the folder, or fail at once if it is not built
# The folder's name is a hash of all that decides its contents, so a change of version or compiler builds anew.
set -euo pipefail
. "$(dirname "$0")/common.sh"

source=$root/integration-tests/controlplane
commands="kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet kubeadm kube-proxy"

command -v go >/dev/null || die "Go is missing (1.24 or newer): install it from https://go.dev/dl/ and put its bin folder into PATH"
go_version=$(go env GOVERSION)
case $go_version in
    go1.[0-9] | go1.[0-9].* | go1.1[0-9]* | go1.2[0-3]*) die "Go is too old ($go_version; 1.24 or newer is needed): see https://go.dev/dl/" ;;
esac

hash=$(printf '%s\n' "$go_version" "$(go env GOARCH)" |
    content_hash - "$source"/{go.mod,go.sum,main.go} "$source"/etcd/{go.mod,go.sum} "${BASH_SOURCE[0]}")
folder=$cache/controlplane/$hash

if [ "${1:-}" = --path ]; then
    [ -d "$folder" ] || die "the control plane is not built: make controlplane"
    echo "$folder"
    exit
fi

if [ ! -d "$folder" ]; then
    exclusively controlplane
fi
if [ ! -d "$folder" ]; then
    mkdir -p "$cache/controlplane"
    partial=$(mktemp -d "$cache/controlplane/.partial.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    export CGO_ENABLED=0 GOFLAGS=-buildvcs=false

    kubernetes=$(cd "$source" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
    minor=${kubernetes#v1.}
    stamp="-s -w"
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        stamp="$stamp -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
        stamp="$stamp -X $package.gitTreeState=clean -X $package.buildDate=2026-01-01T00:00:00Z"
    done
    say "building Kubernetes $kubernetes into $folder (cold: 8 minutes on two cores, 2.4 GB of memory at its peak)"
    SECONDS=0
    (cd "$source" && go build -trimpath -ldflags "$stamp" -o "$partial/hyperkube" .)
    for command in $commands; do ln -s hyperkube "$partial/$command"; done
    say "Kubernetes built in $SECONDS s"

    etcd=$(cd "$source/etcd" && go list -m -f '{{.Version}}' go.etcd.io/etcd/server/v3)
    say "building etcd $etcd (cold: 40 s)"
    SECONDS=0
    (cd "$source/etcd" && go build -trimpath -ldflags "-s -w" -o "$partial/etcd" go.etcd.io/etcd/server/v3)
    say "etcd built in $SECONDS s"

    chmod 755 "$partial"
    mv -T "$partial" "$folder"
fi
echo "$folder"
