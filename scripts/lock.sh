#!/bin/sh
# Writes requirements/*.lock: every package with its version and hashes, for Linux and every Python
# that pyproject.toml allows. The files hold no registry address: they are true for any mirror.
#   scripts/lock.sh             keeps the versions that are locked as far as pyproject.toml allows
#   scripts/lock.sh --upgrade   takes the newest
set -eu
cd "$(dirname "$0")/.."

write_lock() { # name, what is wanted, options of uv
    lock="requirements/$1.lock"
    wanted=$2
    shift 2
    .venv/bin/uv pip compile "$wanted" --quiet --universal --generate-hashes --no-header \
        --no-annotate --no-emit-index-url --no-emit-find-links --python-version 3.11 \
        --output-file "$lock" "$@" >/dev/null
    {
        echo "# Made by \`make lock\` from $wanted. Do not edit."
        grep -v '^#' "$lock"
    } >"$lock.new"
    mv "$lock.new" "$lock"
}

write_lock runtime pyproject.toml --group build "$@"
write_lock dev pyproject.toml --group dev --extra postgresql --constraints requirements/runtime.lock "$@"
write_lock proof pyproject.toml --group proof --constraints requirements/dev.lock "$@"
# The peers of `make bench-crawl`, each for an environment of its own.
for wanted in requirements/bench/*.in; do
    peer=$(basename "$wanted" .in)
    write_lock "bench/$peer" "$wanted" "$@"
done
