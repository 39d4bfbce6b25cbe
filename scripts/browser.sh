#!/bin/sh
# Makes sure that a Chromium is installed for the browser tests. Called by `make test`.
# Takes $CHROMIUM, or chromium, chromium-browser or google-chrome from PATH; else root gets Debian's
# chromium, others the command to run. There is no silent skip: without a browser the tests fail.
set -eu
cd "$(dirname "$0")/.."

if [ -n "${CHROMIUM:-}" ]; then
    if command -v "$CHROMIUM" >/dev/null 2>&1; then exit 0; fi
    echo "labtrawl: CHROMIUM=$CHROMIUM is no program; name an installed Chromium." >&2
    exit 2
fi
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing chromium and fonts-liberation with apt-get for the browser tests (once)."
    if scripts/apt.sh chromium fonts-liberation && command -v chromium >/dev/null 2>&1; then exit 0; fi
fi
echo "labtrawl: the browser tests need Chromium; run this, then the command again:" \
    "sudo apt-get install chromium fonts-liberation" \
    "(or name an installed one: CHROMIUM=/path/to/chromium make test)" >&2
exit 2
