#!/usr/bin/env bash
# Runs the suite that kills and fills a container engine, in a virtual machine with its own engine. The arguments are the
# suite's: names of tests, --list.
set -euo pipefail
. "$(dirname "$0")/common.sh"
vm=$root/integration-tests/scripts/vm.sh

# The name of the suite's program has a hash; cargo reports it.
suite=$(cd "$root" && cargo test --workspace --no-run --test own_engine --message-format=json 2>/dev/null |
    python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("target", {}).get("name") == "own_engine" and message.get("executable"):
        print(message["executable"])')
[ -x "$suite" ] || die "the suite own_engine is not built: cargo test --workspace --no-run --test own_engine"
neargate=$(dirname "$(dirname "$suite")")/neargate

work=$(mktemp -d)
trap 'rm -rf "$work"; "$vm" down' EXIT
"$vm" up >/dev/null
say "copying the programs and the images into the virtual machine"
cp "$suite" "$work/own_engine"
docker save neargate/fixture:latest neargate/busybox:latest >"$work/images.tar"
"$vm" put "$work/own_engine" "$neargate" "$work/images.tar" /opt/neargate
"$vm" ssh "docker load --quiet --input /opt/neargate/images.tar" >&2
"$vm" ssh "cd /opt/neargate && CI=true NEARGATE_OWN_ENGINE=1 TMPDIR=/run ./own_engine $*"
