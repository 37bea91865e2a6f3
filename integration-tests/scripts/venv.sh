#!/usr/bin/env bash
# Makes a Python environment outside the tree with the AWS clients that the suites use, and prints its folder. The
# folder's name is a hash of the pinned versions.
#   venv.sh          make it if it is not there
#   venv.sh --path   print the folder, or fail at once if it is not made
set -euo pipefail
. "$(dirname "$0")/common.sh"

requirements=$root/integration-tests/python/requirements.txt
command -v python3 >/dev/null || apt_install python3 python3-venv ||
    die "Python is missing: as root, apt-get install python3 python3-venv"
folder=$cache/python/$(python3 -V | content_hash - "$requirements")

if [ "${1:-}" = --path ]; then
    [ -d "$folder" ] || die "the AWS clients are not installed: make python"
    echo "$folder"
    exit
fi

if [ ! -d "$folder" ]; then
    exclusively python
fi
if [ ! -d "$folder" ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv ||
        die "Python's venv module is missing: as root, apt-get install python3-venv"
    say "installing the AWS clients (awscli, boto3) into $folder"
    SECONDS=0
    mkdir -p "$cache/python"
    # A venv's scripts name its folder, so it is made in place; the renamed requirements mark a complete one.
    partial=$folder.partial
    rm -rf "$partial"
    python3 -m venv "$partial"
    "$partial/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2
    mv -T "$partial" "$folder"
    # The scripts' first lines still name the folder they were made in.
    grep -rlIF "$partial" "$folder/bin" | xargs sed -i "s#$partial#$folder#g"
    say "AWS clients installed in $SECONDS s"
fi
echo "$folder"
