# Shared by the scripts beside this file: their folders and messages. Sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${NEARGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/neargate}
export root cache

# Progress goes to stderr: stdout is for the result.
say() { printf '%s\n' "neargate: $*" >&2; }

# die MESSAGE: one line that says what is missing and how to get it.
die() { say "$*"; exit 1; }

# as_root COMMAND…: directly as root, else by sudo if it needs no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 126
    fi
}

# apt_install PACKAGE…: from Debian, without questions. Fails if there is no apt or no root.
apt_install() {
    command -v apt-get >/dev/null || return 127
    say "installing from Debian: $*"
    as_root apt-get update -q >&2 || return
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

# within SECONDS COMMAND…: tries the command until it succeeds; fails if it does not in that time.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.3
    done
}

# kubectl ARGUMENT…: the one in PATH, else that of the control plane.
kubectl() {
    local program
    program=$(type -P kubectl) || program=$("$root/integration-tests/scripts/controlplane.sh")/kubectl
    "$program" "$@"
}

# content_hash FILE…: twelve hex digits over the files' contents (and stdin, for `-`).
content_hash() { cat "$@" | sha256sum | cut -c 1-12; }

# exclusively NAME: holds a lock of that name until the script ends, so that two runs do not build the same thing.
exclusively() {
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    if ! flock -n 9; then say "waiting for another run that prepares $1"; flock 9; fi
}
