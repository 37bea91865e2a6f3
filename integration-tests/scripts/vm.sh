#!/usr/bin/env bash
# A virtual machine with systemd, cgroup v2 and its own Docker engine, by software emulation, only from Debian's packages:
# for tests that kill and fill an engine. Its user `dev` is in group docker. It is built once per content of this script (about
# three minutes) and then starts from a snapshot of its memory in seconds.
#   vm.sh up            build it if it does not exist, start it, print its ssh port
#   vm.sh ssh COMMAND   run a command in it, as root
#   vm.sh put FILE… DIR copy files into a folder of it
#   vm.sh down          stop it; changes made in it are lost
set -euo pipefail
. "$(dirname "$0")/common.sh"

suite=trixie
memory=3G
packages=systemd,systemd-sysv,udev,dbus,iproute2,nftables,iptables,ca-certificates,docker.io,docker-cli,linux-image-cloud-amd64,openssh-server,procps,kmod,initramfs-tools,libgcc-s1,util-linux
# For an engine that runs rootless.
packages+=,dbus-user-session,libpam-systemd,rootlesskit,slirp4netns,uidmap
folder=$cache/vm/$(content_hash "${BASH_SOURCE[0]}")
# The one that was started last.
state=$cache/vm/running

options=(-i "$folder/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=20)
port() { cat "$state/port" 2>/dev/null || die "the virtual machine is not running: $0 up"; }
inside() { ssh "${options[@]}" -p "$(port)" root@127.0.0.1 "$@"; }
is_running() { [ -f "$state/qemu.pid" ] && kill -0 "$(cat "$state/qemu.pid")" 2>/dev/null; }
has_ended() { ! is_running; }
responds() { inside true 2>/dev/null; }

tools() {
    command -v qemu-system-x86_64 >/dev/null && command -v mmdebstrap >/dev/null && command -v ssh >/dev/null ||
        apt_install qemu-system-x86 qemu-utils mmdebstrap openssh-client seabios ipxe-qemu e2fsprogs ||
        die "QEMU and mmdebstrap are missing: as root, apt-get install qemu-system-x86 qemu-utils mmdebstrap openssh-client"
}

# build: the file system, its image, and in the image a snapshot of the memory of a machine that has booted.
build() {
    local root=$folder.new/root
    say "building a virtual machine of Debian $suite (about three minutes)"
    rm -rf "$folder.new" "$folder"
    mkdir -p "$folder.new"
    ssh-keygen -q -t ed25519 -N '' -f "$folder.new/key"
    # The hooks' $1 is the new root, expanded by mmdebstrap.
    # shellcheck disable=SC2016
    as_root mmdebstrap --variant=minbase --mode=root --include=$packages \
        --customize-hook='printf "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n" >"$1/etc/systemd/network/10-vm.network"' \
        --customize-hook='chroot "$1" systemctl enable systemd-networkd ssh docker' \
        --customize-hook='chroot "$1" useradd --create-home --shell /bin/bash --groups docker dev' \
        --customize-hook='echo vm >"$1/etc/hostname"; echo "127.0.1.1 vm" >>"$1/etc/hosts"' \
        --customize-hook='echo "/dev/vda / ext4 defaults,noatime 0 1" >"$1/etc/fstab"' \
        --customize-hook="mkdir -p \"\$1/root/.ssh\"; cp '$folder.new/key.pub' \"\$1/root/.ssh/authorized_keys\"" \
        $suite "$root" >&2
    cp "$root"/boot/vmlinuz-* "$folder.new/vmlinuz"
    cp "$root"/boot/initrd.img-* "$folder.new/initrd"
    truncate -s 8G "$folder.new/disk.raw"
    as_root mkfs.ext4 -q -F -d "$root" "$folder.new/disk.raw"
    qemu-img convert -O qcow2 "$folder.new/disk.raw" "$folder.new/disk.qcow2"
    rm -rf "$folder.new/disk.raw" "$root"
    mv "$folder.new" "$folder"

    boot "$folder/disk.qcow2"
    within 400 responds || die "the virtual machine did not boot: see $state/serial.log"
    within 120 inside docker version >/dev/null || die "Docker did not start in the virtual machine: see $state/serial.log"
    say "saving the memory of the machine"
    monitor "savevm up" quit
    within 120 has_ended || die "QEMU did not end"
    touch "$folder/complete"
}

# boot DISK ARGUMENT…: starts QEMU in the background, on a free port of loopback.
boot() {
    local disk=$1
    shift
    rm -rf "$state"
    mkdir -p "$state"
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' >"$state/port"
    qemu-system-x86_64 -M q35 -cpu max,la57=off -accel tcg,thread=multi,tb-size=512 -smp 2 -m $memory \
        -kernel "$folder/vmlinuz" -initrd "$folder/initrd" \
        -append "root=/dev/vda rw console=ttyS0 quiet mitigations=off systemd.show_status=0" \
        -drive "file=$disk,format=qcow2,if=virtio,cache=unsafe" \
        -nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$(port)-:22" -device virtio-rng-pci \
        -display none -serial "file:$state/serial.log" -monitor "unix:$state/monitor,server,nowait" \
        -pidfile "$state/qemu.pid" -daemonize "$@" 9>&-
}

# monitor COMMAND…: sends each to QEMU and waits for its response.
monitor() {
    python3 - "$state/monitor" "$@" <<'PYTHON'
import socket, sys

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.settimeout(300)
prompt = b"(qemu) "


def response():
    received = b""
    while not received.endswith(prompt):
        more = connection.recv(65536)
        if not more:
            return
        received += more


response()
for command in sys.argv[2:]:
    connection.sendall(command.encode() + b"\n")
    response()
PYTHON
}

up() {
    if is_running && responds; then port; return; fi
    tools
    exclusively vm
    [ -f "$folder/complete" ] || build
    # The snapshot restores the disk with the memory, so that each start has the machine as it was built.
    boot "$folder/disk.qcow2" -loadvm up
    within 120 responds || die "the virtual machine does not respond: see $state/serial.log"
    inside "date -s @$(date +%s)" >/dev/null
    port
}

put() {
    local to=${*: -1} files=("${@:1:$#-1}") file arguments=()
    for file in "${files[@]}"; do
        arguments+=(-C "$(cd "$(dirname "$file")" && pwd)" "$(basename "$file")")
    done
    tar -chf - "${arguments[@]}" | inside "mkdir -p '$to' && tar -C '$to' -xf -"
}

case ${1:-} in
    up) up ;;
    ssh) shift; inside "$@" ;;
    put) shift; put "$@" ;;
    down) if is_running; then kill "$(cat "$state/qemu.pid")"; within 60 has_ended || die "QEMU did not end"; fi ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
