#!/usr/bin/env bash
# Makes the file system of a kind node and writes it to stdout as a tar: what the node image that kind publishes holds,
# from Debian's packages and from Kubernetes as it was built here. Run by kind-image.sh, as root, in a mount namespace of
# its own.
#   kind-node.sh CONTROLPLANE COREDNS PAUSE KIND-SOURCE
set -euo pipefail
. "$(dirname "$0")/common.sh"

controlplane=$1 coredns=$2 pause=$3 source=$4
work=$(mktemp -d)
node=$work/node
containerd=
tidy() {
    if [ -n "$containerd" ]; then kill "$containerd" || true; fi
    # Mounts go with the namespace; what they show must not.
    rm -rf --one-file-system "$work"
}
trap tidy EXIT

# The release that kind's own image is made of too; any Debian mirror has it.
release=bookworm
packages=(
    systemd systemd-sysv dbus                                               # services
    conntrack iptables nftables iproute2 ethtool util-linux mount kmod socat # Kubernetes
    containerd runc libseccomp2 containernetworking-plugins pigz            # containers
    bash ca-certificates curl jq procps                                     # kind
)

enter=(chroot "$node" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root)

# in_node COMMAND…: a program of the node.
in_node() { "${enter[@]}" "$@"; }

debian() {
    local mirror
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || die "apt knows no Debian mirror (apt-get indextargets): the node is made of Debian's packages"
    local IFS=,
    mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="${packages[*]}" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/zoneinfo/*' \
        "$release" "$node" "$mirror" >&2
}

# The steps of kind's images/base/Dockerfile, with Debian's containerd, runc and CNI plugins in place of kind's builds.
base() {
    cp -r --no-preserve=mode,ownership "$source"/images/base/files/{etc,kind,usr} "$node/"
    chmod 755 "$node"/usr/local/bin/* "$node"/kind/bin/*
    find "$node/lib/systemd/system/sysinit.target.wants/" -name systemd-tmpfiles-setup.service -delete
    rm -f "$node"/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* "$node"/etc/systemd/system/*.wants/* \
        "$node"/lib/systemd/system/sockets.target.wants/*{udev,initctl}*
    echo "ReadKMsg=no" >>"$node/etc/systemd/journald.conf"
    mkdir -p "$node/etc/kubernetes/manifests" "$node/opt/cni/bin"

    local program
    for program in containerd ctr; do ln -s "/usr/bin/$program" "$node/usr/local/bin/$program"; done
    for program in "$node"/usr/lib/cni/*; do ln -s "${program#"$node"}" "$node/opt/cni/bin/"; done
    # Debian has no fuse-overlayfs snapshotter, which only rootless nodes need.
    sed -i '/^\[proxy_plugins\]/,/containerd-fuse-overlayfs.sock/d' "$node/etc/containerd/config.toml"
    in_node ctr oci spec |
        in_node jq '.hooks.createContainer[0] = {"path": "/kind/bin/mount-product-files.sh"} | del(.process.rlimits)' \
            >"$node/etc/containerd/cri-base.json"

    cp -r --no-preserve=ownership "$root"/integration-tests/kind/node/. "$node/"
    systemctl --quiet --root="$node" enable kubelet.service containerd.service undo-mount-hacks.service kind-cni.service
    systemctl --quiet --root="$node" mask systemd-binfmt.service
    # Each node makes its own.
    : >"$node/etc/machine-id"
}

kubernetes() {
    install -m 755 "$controlplane/hyperkube" "$node/usr/bin/hyperkube"
    local command
    for command in kubelet kubeadm kubectl; do ln -s hyperkube "$node/usr/bin/$command"; done
    version=$(in_node kubeadm version -o short)
    printf '%s' "$version" >"$node/kind/version"
}

archive=$work/archive

# image FOLDER CONFIG: that folder as an image of one layer, in an archive of Docker's form; its names come on stdin.
image() {
    local layer
    tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner -cf "$archive/layer" .
    layer=$(sha256sum "$archive/layer" | cut -d ' ' -f 1)
    mv "$archive/layer" "$archive/$layer.tar"
    # shellcheck disable=SC2016 # jq's own variables
    in_node jq -n --argjson config "$2" --arg layer "sha256:$layer" --arg architecture "$(dpkg --print-architecture)" \
        '{ $architecture, os: "linux", $config, rootfs: { type: "layers", diff_ids: [$layer] } }' >"$archive/$layer.json"
    # shellcheck disable=SC2016
    in_node jq --raw-input --slurp --arg layer "$layer" \
        '{ Config: "\($layer).json", Layers: ["\($layer).tar"], RepoTags: split("\n") | map(select(. != "")) }' \
        >"$archive/$layer.entry"
}

# proxy_tools FOLDER: what kube-proxy calls, with the extensions and libraries that these need.
proxy_tools() {
    local programs=(xtables-nft-multi nft conntrack) extensions=("$node"/usr/lib/*/xtables/*.so) name suffix file
    mkdir -p "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64"
    # Debian's merged /usr, by which the dynamic linker finds the libraries.
    ln -s usr/lib usr/lib64 "$1/"
    cp "${programs[@]/#/$node/usr/sbin/}" "$1/usr/sbin/"
    for name in iptables ip6tables; do
        for suffix in "" -save -restore; do ln -s xtables-nft-multi "$1/usr/sbin/$name$suffix"; done
    done
    (cd "$node" && cp --parents -t "$1" "${extensions[@]#"$node/"}")
    for file in "${programs[@]/#//usr/sbin/}" "${extensions[@]#"$node"}"; do in_node ldd "$file"; done |
        grep -oE '/[^ ]+\.so[^ ]*' | sort -u |
        while read -r file; do
            mkdir -p "$1$(dirname "$file")"
            cp -L "$node$file" "$1$file"
        done
}

# The images that kubeadm and containerd ask for by name, in the node's own store, so that nothing is pulled.
images() {
    local path='"PATH=/usr/local/bin:/usr/sbin"' wanted command
    wanted=$(in_node kubeadm config images list --kubernetes-version "$version")
    # containerd's own sandbox image may be of another version than the one that kubeadm names.
    wanted+=$'\n'$(sed -n 's/^ *sandbox_image = "\(.*\)"/\1/p' "$node/etc/containerd/config.toml")
    named() { grep -E "/($1):" <<<"$wanted" | sort -u; }
    mkdir -p "$archive" "$work"/{kubernetes,etcd,coredns,pause}/{tmp,usr/local/bin}

    install -m 755 "$controlplane/hyperkube" "$work/kubernetes/usr/local/bin/"
    for command in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
        ln -s hyperkube "$work/kubernetes/usr/local/bin/$command"
    done
    proxy_tools "$work/kubernetes"
    install -m 755 "$controlplane/etcd" "$work/etcd/usr/local/bin/"
    install -m 755 "$coredns" "$work/coredns/"
    install -m 755 "$pause" "$work/pause/"

    named 'kube-[a-z-]+' | image "$work/kubernetes" "{\"Env\":[$path]}"
    named etcd | image "$work/etcd" "{\"Env\":[$path]}"
    named coredns | image "$work/coredns" '{"Entrypoint":["/coredns"]}'
    named pause | image "$work/pause" '{"Entrypoint":["/pause"],"User":"65535:65535"}'
    cat "$archive"/*.entry | in_node jq --slurp . >"$archive/manifest.json"
    mkdir "$work/import"
    tar -C "$archive" --exclude='*.entry' -cf "$work/import/images.tar" .
    rm -rf "$archive"
    store
}

# The archive's images go into the node's containerd by that containerd. They are not unpacked: that is done where they
# are first used.
store() {
    local name
    mount -t proc proc "$node/proc"
    mount -t tmpfs tmpfs "$node/run"
    mount --bind "$work/import" "$node/mnt"
    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n' \
        >"$work/import/config.toml"
    # Not by the function: its pid would be a shell's.
    "${enter[@]}" containerd --config /mnt/config.toml >"$work/containerd.log" 2>&1 &
    containerd=$!
    within 20 in_node ctr version >/dev/null 2>&1 ||
        die "the node's containerd does not start: $(tail -n 5 "$work/containerd.log")"
    in_node ctr --namespace k8s.io images import --no-unpack /mnt/images.tar >/dev/null
    in_node ctr --namespace k8s.io images list --quiet | while read -r name; do
        # Else CRI, and with it kubelet, does not see it.
        in_node ctr --namespace k8s.io images label "$name" io.cri-containerd.image=managed >/dev/null
    done
    kill "$containerd"
    wait "$containerd" || true
    containerd=
    umount "$node/mnt" "$node/run" "$node/proc"
}

debian
base
kubernetes
images
tar -C "$node" --numeric-owner -c .
