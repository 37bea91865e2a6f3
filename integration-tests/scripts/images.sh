#!/usr/bin/env bash
# Builds the fixture images without a registry: each carries a hash of its contents and is rebuilt only when that changed.
#   neargate/fixture         the workspace's own program, static, the only file of its image (fixtures/app)
#   neargate/provider-init   what writes a kubelet's files into a task, the same way (provider/init)
#   neargate/busybox         Debian's busybox-static with a name for each applet: a shell for task definitions that need one
set -euo pipefail
. "$(dirname "$0")/common.sh"

label=neargate.fixture.content
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# import NAME FOLDER CHANGE…: an image of that folder's contents.
import() {
    local name=$1 folder=$2 changes=() hash
    shift 2
    local change
    for change in "$@" 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'; do
        changes+=(--change "$change")
    done
    mkdir -p "$folder"/etc "$folder"/tmp
    chmod 1777 "$folder/tmp"
    printf 'root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n' >"$folder/etc/passwd"
    printf 'root:x:0:\napp:x:1000:\n' >"$folder/etc/group"
    tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$work/layer.tar" .
    hash=$(printf '%s\n' "${changes[@]}" | content_hash - "$work/layer.tar")
    if [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$name" 2>/dev/null)" = "$hash" ]; then
        return
    fi
    docker import "${changes[@]}" --change "LABEL $label=$hash" "$work/layer.tar" "$name" >/dev/null
    say "built the image $name"
}

# program PACKAGE NAME: a program of the workspace, static, the only file of its image.
program() {
    local package=$1 name=$2 host target=$root/target/static
    command -v cargo >/dev/null || die "Rust is missing: install it from https://rustup.rs/"
    host=$(rustc -vV | sed -n 's/^host: //p')
    # Its own target, so that the flag applies only to the program and not to build scripts, and its own folder, so that it
    # does not invalidate the workspace's build.
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --manifest-path "$root/Cargo.toml" \
        --package "$package" --release --target "$host" --target-dir "$target"
    install -D -m 755 "$target/$host/release/$package" "$work/$package/$package"
    import "$name" "$work/$package" "ENTRYPOINT [\"/$package\"]"
}

busybox() {
    local binary=$cache/busybox/busybox
    if [ ! -x "$binary" ]; then
        command -v apt-get >/dev/null || die "the busybox image is made of Debian's busybox-static: apt-get is missing"
        chmod 755 "$work"
        mkdir "$work/deb"
        # As root, apt-get fetches as the user _apt, who must be able to write here.
        chmod 777 "$work/deb"
        download() { (cd "$work/deb" && apt-get download -q busybox-static >&2); }
        if ! download; then
            as_root apt-get update -q >&2 || die "apt knows no busybox-static: as root, apt-get update"
            download || die "Debian's busybox-static could not be fetched: see apt-get's message above"
        fi
        dpkg-deb -x "$work"/deb/*.deb "$work/deb/root"
        install -D -m 755 "$work/deb/root/bin/busybox" "$binary.$$"
        mv "$binary.$$" "$binary"
    fi
    install -D -m 755 "$binary" "$work/busybox/bin/busybox"
    local applet
    "$binary" --list | while read -r applet; do
        [ "$applet" = busybox ] || ln -s busybox "$work/busybox/bin/$applet"
    done
    import neargate/busybox:latest "$work/busybox" 'CMD ["sh"]'
}

exclusively images
program neargate-fixture neargate/fixture:latest
program neargate-provider-init neargate/provider-init:latest
busybox
