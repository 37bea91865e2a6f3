#!/usr/bin/env bash
# Makes sure that the compilers are installed: a C compiler from Debian if it is missing (SQLite and ring are compiled,
# and Rust links with it); the user installs Rust and Go; if one is missing, one line says so.
set -euo pipefail
. "$(dirname "$0")/common.sh"

command -v cargo >/dev/null || die "Rust is missing: install it from https://rustup.rs/ (rust-toolchain.toml picks the version)"
command -v go >/dev/null || die "Go is missing (1.24 or newer): install it from https://go.dev/dl/ and put its bin folder into PATH"
command -v cc >/dev/null || apt_install gcc libc6-dev || die "a C compiler is missing: as root, apt-get install gcc libc6-dev"

# tools.sh wrk: also what the bench makes its load with. Without it the bench makes a load of its own, and says so.
if [ "${1:-}" = wrk ]; then
    command -v wrk >/dev/null || apt_install wrk || say "wrk is missing: the bench makes its load by itself (as root, apt-get install wrk)"
fi
