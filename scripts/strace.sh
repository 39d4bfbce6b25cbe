#!/bin/sh
# Gets strace for `make prove` where that needs no question: root on Debian without it.
# Elsewhere the proofs kill at the same durable steps through a hook in the process, and say so.
set -eu
cd "$(dirname "$0")/.."
if command -v strace >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing strace with apt-get for the proofs (once)."
    if scripts/apt.sh strace; then exit 0; fi
fi
echo "strace is not installed: the proofs use their own hook at each durable step instead."
