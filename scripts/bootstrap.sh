#!/bin/sh
# Makes .venv with the locked dependencies and labtrawl itself (editable). Called by `make`.
#   scripts/bootstrap.sh runtime   what labtrawl needs to run
#   scripts/bootstrap.sh dev       the same and the tools of tests and checks
#   scripts/bootstrap.sh proof     besides, what only the long figures need
# Does nothing when all of it is there already. PYTHON=… names the Python to use.
# Exit 2 with one sentence when the machine lacks something that it may not install by itself.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
kind=${1:-runtime}
lock="requirements/$kind.lock"
stamp=".venv/.installed-$kind"
log=.venv/pip.log

# Settings of a user's own Python and pip that would lead the installation out of .venv.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s\n' "labtrawl: $*" >&2
    exit 2
}

is_new_enough() { # a Python that starts and is 3.11 or newer
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or newer; name another one."
        python=$PYTHON
        return
    fi
    for python in python3 python3.13 python3.12 python3.11 python3.14; do
        if is_new_enough "$python"; then return; fi
    done
    fail "Python 3.11 or newer is needed and none was found; install one," \
        "or name it: make install PYTHON=/path/to/python3"
}

can_make_venv() { "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; }

ensure_venv_module() {
    if can_make_venv; then return; fi
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    package="python$version-venv"
    command -v apt-get >/dev/null 2>&1 ||
        fail "$python lacks the modules venv and ensurepip; install them with your system's" \
            "package manager, then run the command again."
    if [ "$(id -u)" -ne 0 ]; then
        fail "$python lacks the module ensurepip; run this, then the command again:" \
            "sudo apt-get install $package"
    fi
    say "Installing $package with apt-get: $python cannot make a virtual environment without it."
    scripts/apt.sh "$package" || fail "apt-get could not install $package; its words are above."
    can_make_venv ||
        fail "$python still lacks ensurepip after $package was installed;" \
            "name another Python: make install PYTHON=/usr/bin/python3"
}

venv_works() { # made here, starts, new enough, has pip; of the Python that was asked for
    [ -x .venv/bin/python ] && grep -qF "$here/.venv" .venv/bin/activate 2>/dev/null &&
        is_new_enough .venv/bin/python && .venv/bin/python -c 'import pip' >/dev/null 2>&1 ||
        return 1
    [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of .venv/bin/python)" ]
}

version_of() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null || echo none; }

make_venv() {
    if venv_works; then return; fi
    find_python
    ensure_venv_module
    if [ -e .venv ] || [ -L .venv ]; then
        say "The .venv here is broken, or was made elsewhere or by another Python: making it anew."
        rm -rf .venv
    fi
    say "Making .venv with $("$python" -V)."
    "$python" -m venv "$here/.venv" || fail "$python could not make .venv; its words are above."
}

wanted() { # what the stamp must say: any change of it installs again
    say "$here"
    cat "$lock" pyproject.toml src/labtrawl/__init__.py | cksum
}

explain_and_fail() {
    if grep -qE 'NewConnectionError|NameResolutionError|name resolution|ConnectTimeoutError|Read timed out|Network is unreachable|Connection refused|ProxyError|SSLError|ConnectionError|Could not find a version' "$log"; then
        fail "pip could not fetch the dependencies: check the network, or name a proxy" \
            "(HTTPS_PROXY) or a mirror (PIP_INDEX_URL), then run the command again;" \
            "pip's own words are in $log."
    fi
    if grep -q 'No space left' "$log"; then
        fail "the disk is full: about 400 MB are needed here; make room and run the command again."
    fi
    fail "pip could not install the dependencies: $(grep -i 'error' "$log" | tail -n 1);" \
        "all its words are in $log."
}

count_packages() { # pip's lines in, progress out: in place on a terminal, now and then elsewhere
    total=$(grep -c '==' "$lock")
    terminal=0
    if [ -t 1 ]; then terminal=1; fi
    awk -v total="$total" -v terminal="$terminal" '
        function show(text) {
            if (terminal) printf "\r%-60s", text
            else print text
            fflush()
        }
        /^(Collecting|Requirement already satisfied)/ {
            n++
            if (terminal || n % 20 == 0) show("  " n " of " total " packages fetched")
        }
        /^Installing collected packages/ { show("  installing …") }
        END { if (terminal) printf "\n" }'
}

install_locked() {
    say "Installing the locked dependencies of $lock into .venv (once; a minute or two)."
    {
        if .venv/bin/python -m pip install --require-hashes --retries 2 -r "$lock" 2>&1; then
            echo "# pip succeeded"
        fi
    } | tee "$log" | count_packages
    grep -q '^# pip succeeded$' "$log" || explain_and_fail
}

install_labtrawl() {
    .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e . >"$log" 2>&1 ||
        explain_and_fail
}

[ "$(uname -s)" = Linux ] || fail "labtrawl runs on Linux; this is $(uname -s)."
case $kind in runtime | dev | proof) ;; *) fail "bootstrap.sh knows runtime, dev and proof, not '$kind'." ;; esac
make_venv
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted)" ]; then exit 0; fi
install_locked
install_labtrawl
wanted >"$stamp"
say "Ready: .venv/bin/labtrawl"
