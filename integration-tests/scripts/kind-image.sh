#!/usr/bin/env bash
# Makes sure that the engine has an image for kind's nodes, and prints its name: the one that kind publishes where the
# engine has it or can pull it, else one made here from Debian's packages and Go modules (kind-node.sh). What was made
# is kept as a tar in the cache, under a hash of all that decides its contents, for an engine that lost its images.
# Cold this takes about three minutes on two cores beside the control plane's ten.
set -euo pipefail
. "$(dirname "$0")/common.sh"

scripts=$root/integration-tests/scripts
files=$root/integration-tests/kind
image=neargate/kind-node:latest
label=neargate.kind-node.content

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# content CONTROLPLANE: a hash of all that the image is made of, but for the versions of Debian's packages.
content() {
    {
        go env GOVERSION GOARCH
        basename "$1"
        tar -C "$files" --sort=name --owner=0 --group=0 --numeric-owner --mode=go-w --mtime=@0 \
            -c node coredns go.sum pause.c
    } | content_hash - "$scripts/kind-node.sh" "${BASH_SOURCE[0]}"
}

# kept HASH: whether that image is on the engine, or comes back from the cache.
kept() {
    local tar=$cache/kind-node/$1.tar
    if [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null)" = "$1" ]; then return; fi
    [ -f "$tar" ] || return
    local former
    former=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null || true)
    # What kind's own base image declares; import knows no STOPSIGNAL, which kind does not need.
    docker import --change 'ENV container=docker' \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' --change "LABEL $label=$1" "$tar" "$image" >/dev/null
    # In use by a cluster that runs, the former one stays.
    [ -z "$former" ] || docker rmi "$former" >/dev/null 2>&1 || true
}

# pull IMAGE: an engine without internet says so at once or, behind a firewall that drops packets, never. One that has
# found the image is given the time that a slow line needs.
pull() {
    timeout 1200 docker pull "$1" >"$work/pull" 2>&1 &
    local pull=$!
    settled() { grep -q 'Pulling from' "$work/pull" || ! kill -0 "$pull" 2>/dev/null; }
    if within 15 settled && grep -q 'Pulling from' "$work/pull"; then
        say "pulling $1"
    else
        kill "$pull" 2>/dev/null || true
    fi
    wait "$pull"
}

make_node() {
    local controlplane=$1 tar=$2
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap ||
        die "mmdebstrap is missing: as root, apt-get install mmdebstrap; or pull kind's own node image: docker pull $published"
    command -v cc >/dev/null || apt_install gcc libc6-dev || die "a C compiler is missing: as root, apt-get install gcc libc6-dev"

    say "building CoreDNS (cold: 70 s)"
    (cd "$files/coredns" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags '-s -w' -o "$work/coredns" .) ||
        die "CoreDNS could not be built: see Go's message above"
    cc -Os -static -s -o "$work/pause" "$files/pause.c"

    say "making the node's file system from Debian's packages (40 s)"
    mkdir -p "$(dirname "$tar")"
    chmod 755 "$work"
    # In a mount namespace of its own, so that no mount outlives it.
    as_root unshare --mount "$scripts/kind-node.sh" "$controlplane" "$work/coredns" "$work/pause" "$source" >"$tar.$$" || {
        rm -f "$tar.$$"
        die "the node's file system could not be made (it takes root, or sudo that asks nothing): see above"
    }
    mv "$tar.$$" "$tar"
}

source=$("$scripts/kind-binary.sh" --source)
published=$(sed -n 's/^const Image = "\(.*\)"$/\1/p' "$source/pkg/apis/config/defaults/image.go")
if docker image inspect "$published" >/dev/null 2>&1; then
    echo "$published"
    exit
fi

exclusively kind-node
if controlplane=$("$scripts/controlplane.sh" --path 2>/dev/null) && kept "$(content "$controlplane")"; then
    echo "$image"
elif pull "$published"; then
    echo "$published"
else
    reason=$(tail -n 1 "$work/pull")
    say "the engine can't pull $published (${reason:-no answer}): making a node image here"
    controlplane=$("$scripts/controlplane.sh")
    hash=$(content "$controlplane")
    SECONDS=0
    make_node "$controlplane" "$cache/kind-node/$hash.tar"
    kept "$hash"
    say "built the image $image in $SECONDS s"
    echo "$image"
fi
