#!/usr/bin/env bash
# Finds kind or builds it, and prints the path of the program: the one in PATH if it is no older than the module that
# integration-tests/kind pins, else that module, built into a cache outside the tree.
#   kind-binary.sh            build it if it is not there; cold this takes a minute
#   kind-binary.sh --source   print the folder of the module's source: the files of its node image, the image it publishes
set -euo pipefail
. "$(dirname "$0")/common.sh"

module=$root/integration-tests/kind
command -v go >/dev/null || die "Go is missing (1.24 or newer): install it from https://go.dev/dl/ and put its bin folder into PATH"
export GOFLAGS=-buildvcs=false

if [ "${1:-}" = --source ]; then
    cd "$module"
    go mod download sigs.k8s.io/kind || die "the source of kind could not be fetched: see Go's message above"
    go list -m -f '{{.Dir}}' sigs.k8s.io/kind
    exit
fi

pinned=$(sed -n 's/^\tsigs\.k8s\.io\/kind v\([^ ]*\).*/\1/p' "$module/go.mod")
if command -v kind >/dev/null; then
    # `kind version -q` prints only the number.
    found=$(kind version -q 2>/dev/null || true)
    if [ -n "$found" ] && printf '%s\n' "$pinned" "$found" | sort --check=quiet --version-sort; then
        command -v kind
        exit
    fi
    say "kind ${found:-(unknown)} in PATH is older than $pinned: building that one"
fi

binary=$cache/kind-binary/$(go env GOVERSION GOARCH | content_hash - "$module"/go.{mod,sum})/kind
if [ ! -x "$binary" ]; then
    exclusively kind-binary
fi
if [ ! -x "$binary" ]; then
    say "building kind $pinned"
    SECONDS=0
    mkdir -p "$(dirname "$binary")"
    (cd "$module" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$binary.$$" sigs.k8s.io/kind)
    mv "$binary.$$" "$binary"
    say "kind built in $SECONDS s"
fi
echo "$binary"
