#!/bin/sh
# Installs Debian packages as root, without questions: scripts/apt.sh PACKAGE…
# Waits for another apt-get that runs; speaks only when it fails.
set -eu
export DEBIAN_FRONTEND=noninteractive
words=$(mktemp)
trap 'rm -f "$words"' EXIT
# An update that fails (one dead mirror among several) does not stop what the lists we have can do.
apt-get update -qq >"$words" 2>&1 </dev/null || true
if ! apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" \
    >>"$words" 2>&1 </dev/null; then
    cat "$words" >&2
    exit 1
fi
