#!/usr/bin/env bash
# Runs suites in a virtual machine with systemd, cgroup v2 and a newer Docker engine of its own: what most users have, and what
# tests may kill and fill.
#   test-vm.sh                 all phases
#   test-vm.sh PHASE [NAME…]   one phase, or only those of its tests whose names contain NAME
# The phases, each on the engine that it configures:
#   systemd      limits, sandboxes, filters, stops, logs and restarts with the systemd cgroup driver, as root
#   cgroupfs     limits with the cgroupfs driver
#   containerd   images and containers with the containerd image store
#   rootless     doctor and containers on a rootless engine
#   engine       the suite that kills, hangs and fills the engine, with a member of group docker
set -euo pipefail
. "$(dirname "$0")/common.sh"
vm=$root/integration-tests/scripts/vm.sh
there=/opt/neargate
tool=$root/emulator/tests/docker_runtime/tool.rs

# inside COMMAND: runs it in the machine, with $as before it, which makes it another user's.
as=
inside() { "$vm" ssh "cd $there && export CI=true NEARGATE_OWN_ENGINE=1 NEARGATE_SLOWNESS=6 TMPDIR=/run && $as $*"; }

# program SUITE: the path of the suite's program, whose name has a hash that cargo reports.
program() {
    (cd "$root" && cargo test --workspace --profile vm --no-run --test "$1" --message-format=json 2>/dev/null) |
        python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("target", {}).get("name") == sys.argv[1] and message.get("executable"):
        print(message["executable"])' "$1"
}

# engine JSON: restarts the engine with these settings.
engine() {
    "$vm" ssh "mkdir -p /etc/docker && echo '$1' >/etc/docker/daemon.json && systemctl reset-failed docker && systemctl restart docker"
    within 120 "$vm" ssh "docker version" >/dev/null || die "the engine does not start with $1"
    load
    inside "./neargate doctor" >&2
}

# load: gives the images to the engine.
load() { inside "docker load --quiet --input images.tar" >&2; }

# check WHAT COMMAND…: runs it, and remembers that it failed.
failed=()
check() {
    local what=$1
    shift
    "$@" || failed+=("$phase: $what")
}

# choose SUITE NAME…: lets wanted be these names, or those given for the phase, as far as a test of the suite has them. That none
# has one of the phase's own is an error: a run of no test proves nothing.
wanted=()
choose() {
    local suite=$1 name
    shift
    [ ${#given[@]} = 0 ] || set -- "${given[@]}"
    wanted=()
    for name in "$@"; do
        if inside "./$suite --list $name" | grep ': test$' >/dev/null; then
            wanted+=("$name")
        elif [ ${#given[@]} = 0 ]; then
            failed+=("$phase: no test of $suite is named $name")
        fi
    done
    chosen=$((chosen + ${#wanted[@]}))
}

# runtime NAME…: tests of the runtime whose names contain one of these.
chosen=0
runtime() {
    choose docker_runtime "$@"
    [ ${#wanted[@]} = 0 ] || check "docker_runtime ${wanted[*]}" inside "./docker_runtime --test-threads 2 ${wanted[*]}"
}

# suite SUITE THREADS NAME…: a suite with a world of its own, which takes one name: once per name.
suite() {
    local suite=$1 threads=$2 name
    shift 2
    choose "$suite" "$@"
    for name in "${wanted[@]}"; do check "$suite $name" inside "./$suite --test-threads $threads $name"; done
}

phase_systemd() {
    engine '{}'
    runtime limits:: oom:: network:: containers:: logs:: clean::
    suite containers 2 limits:: vpc:: isolation:: logs:: restart::
}

phase_cgroupfs() {
    engine '{"exec-opts": ["native.cgroupdriver=cgroupfs"]}'
    runtime limits:: oom::
    suite containers 2 limits::
}

phase_containerd() {
    engine '{"features": {"containerd-snapshotter": true}}'
    runtime images:: containers:: limits::
}

phase_rootless() {
    local socket=unix:///run/user/1000/docker.sock
    "$vm" ssh "loginctl enable-linger dev && within=60; until [ -d /run/user/1000 ] || [ \$((within--)) = 0 ]; do sleep 1; done
        systemd-run --quiet --unit rootless --uid dev --setenv XDG_RUNTIME_DIR=/run/user/1000 \
            --setenv PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/share/docker.io/contrib /usr/share/docker.io/contrib/dockerd-rootless.sh"
    as="runuser -u dev -- env XDG_RUNTIME_DIR=/run/user/1000 DOCKER_HOST=$socket TMPDIR=/home/dev HOME=/home/dev"
    within 180 inside "docker version" >/dev/null || die "the rootless engine does not start"
    load
    inside "./neargate doctor" >&2
    runtime containers::
    as=
    "$vm" ssh "systemctl stop rootless"
}

phase_engine() {
    engine '{}'
    # Every name has it: the whole suite.
    suite own_engine 1 ::
}

phases=(systemd cgroupfs containerd rootless engine)
[ $# = 0 ] || phases=("$1")
given=("${@:2}")

work=$(mktemp -d)
trap 'rm -rf "$work"; "$vm" down' EXIT
for suite in docker_runtime containers own_engine; do
    built=$(program $suite) && [ -x "$built" ] || die "the suite $suite is not built: cargo test --workspace --profile vm --no-run"
    cp "$built" "$work/$suite"
    neargate=$(dirname "$(dirname "$built")")/neargate
done
# The runtime's suite builds the image of its tool with rustc, which the machine does not have.
tag=$(sha256sum "$tool" | cut -c1-12)
docker image inspect "neargate-test-tool:$tag" >/dev/null 2>&1 || "$work/docker_runtime" limits:: >&2
docker save neargate/fixture:latest neargate/busybox:latest "neargate-test-tool:$tag" >"$work/images.tar"

"$vm" up >/dev/null
say "copying the programs and the images into the virtual machine"
"$vm" put "$work"/* "$neargate" $there
"$vm" put "$tool" "$(dirname "$tool")"
for phase in "${phases[@]}"; do
    say "phase $phase"
    "phase_$phase"
done
[ "$chosen" -gt 0 ] || die "no test of the phase ${phases[*]} is named ${given[*]}"
[ ${#failed[@]} = 0 ] || die "failed: $(printf '%s; ' "${failed[@]}")"
say "all phases passed: ${phases[*]}"
