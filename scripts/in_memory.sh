#!/usr/bin/env bash
# Runs a command line of pytest with its temporary files in memory, where there is plenty of it:
# tests that make durable what nobody keeps wait for no disk then. Elsewhere it runs it as it is.
set -euo pipefail
MEMORY=/dev/shm
# Short, as is the folder of the tests below it: the path of a Unix socket may have 107 bytes.
NAME=lt
NEEDED_KIB=$((8 * 1024 * 1024))

has_room() {
    local shared free
    shared=$(df -k --output=avail "$MEMORY" 2>/dev/null | tail -n 1) || return 1
    free=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
    [ -w "$MEMORY" ] && [ "$shared" -ge "$NEEDED_KIB" ] && [ "$free" -ge $((2 * NEEDED_KIB)) ]
}

# What a run left that was killed would be memory that nobody gives back.
remove_strays() {
    local folder
    for folder in "$MEMORY/$NAME".*; do
        if [ -O "$folder" ] && ! kill -0 "${folder##*.}" 2>/dev/null; then rm -rf "$folder"; fi
    done
}

if has_room; then
    remove_strays
    export TMPDIR="$MEMORY/$NAME.$$"
    # PostgreSQL runs as another user, who has to get through.
    mkdir -m 711 "$TMPDIR"
    trap 'rm -rf "$TMPDIR"' EXIT
    set -- "$@" --basetemp "$TMPDIR/t"
    echo "The tests keep their temporary files in memory, in $TMPDIR, until they end."
fi
"$@"
