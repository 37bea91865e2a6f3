#!/usr/bin/env bash
# Makes sure that a Docker engine responds: a running one is used as it is, an installed one is started, a missing one
# is installed from Debian. If it can't, it prints in one line what to do.
set -euo pipefail
. "$(dirname "$0")/common.sh"

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if answers; then exit; fi
[ -z "${DOCKER_HOST:-}" ] || die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST: start it, or unset DOCKER_HOST"
case $(docker version 2>&1 || true) in
    *"permission denied"*) die "Docker's socket refuses $(id -un): sudo usermod -aG docker $(id -un), then log in again" ;;
esac

if ! command -v docker >/dev/null || ! command -v dockerd >/dev/null; then
    apt_install docker.io ||
        die "Docker's engine is missing: as root, apt-get install docker.io (elsewhere: https://docs.docker.com/engine/install/)"
fi
if ! answers && [ -d /run/systemd/system ]; then
    say "starting Docker's engine (systemctl)"
    as_root systemctl start docker >&2 || true
elif ! answers && [ -x /etc/init.d/docker ]; then
    say "starting Docker's engine (service)"
    as_root service docker start >&2 || true
fi
if ! within 10 answers && ! pgrep -x dockerd >/dev/null; then
    mkdir -p "$cache"
    say "starting Docker's engine in the background; its log: $cache/dockerd.log"
    as_root sh -c "setsid nohup dockerd >'$cache/dockerd.log' 2>&1 </dev/null 9>&- &" ||
        die "Docker's engine does not run and $(id -un) may not start it: as root, systemctl start docker"
fi
within 60 answers || die "Docker's engine did not come up within 60 s; see $cache/dockerd.log or: journalctl -u docker"
say "Docker's engine $(docker version --format '{{.Server.Version}}') is up"
