"""strace on a program that runs: it counts durable calls, or kills right at one of them.

strace counts each kind of call for each thread by itself. The proofs crawl with one job at a time,
so that one thread makes all calls of a kind, and the n-th call is the same in every crawl.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.prove.kills import until

ATTACH_SECONDS = 10.0
CALLS = (
    *("fsync", "fdatasync", "mkdir", "unlink", "rename", "ftruncate"),
    # To a segment, to the database, or over the socket: a report on its way, or its answer.
    *("write", "pwrite64"),
)
# "1234 fsync(7</folder/file>) = 0", of a call that another thread interrupted only the beginning
_LINE = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<rest>.*)")
# Wake-ups between threads and the like: nobody outside the process can see them.
_INWARD = re.compile(r"\d+<(anon_inode|pipe):")
_FORBIDDING = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print(); input()"


def why_not() -> str:
    """Say why strace cannot look into our programs here; empty where it can.

    They forbid inspection, so it needs more than to be the same user's.
    """
    if shutil.which("strace") is None:
        return "strace is not installed"
    with subprocess.Popen(
        (sys.executable, "-c", _FORBIDDING), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as probe:
        assert probe.stdout is not None
        probe.stdout.readline()
        attached = subprocess.run(
            ("timeout", "2", "strace", "-p", str(probe.pid), "-e", "trace=none"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        probe.kill()
    return "" if "attached" in attached.stderr else attached.stderr.strip() or "ptrace is forbidden"


@dataclass(frozen=True, slots=True)
class Tracer:
    """An attached strace and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def has_struck(self) -> bool:
        """Say whether the program was killed at its call."""
        return "+++ killed by SIGKILL +++" in self.log.read_text()


@contextlib.contextmanager
def attached(
    pid: int, log: Path, call: str = "", number: int = 0, *, main_only: bool = False
) -> Iterator[Tracer]:
    """Follow all threads of a process, or its main one; with a call, kill it at its `number`-th.

    The kill comes right before the call, which is not made any more.
    """
    traced = call or ",".join(CALLS)
    rule = ("-e", f"inject={call}:signal=KILL:when={number}") if call else ()
    threads = () if main_only else ("-f",)
    said = log.with_suffix(".err")
    with (
        said.open("wb") as errors,
        subprocess.Popen(
            (
                "strace",
                *threads,
                "-y",
                "-p",
                str(pid),
                "-o",
                str(log),
                "-e",
                f"trace={traced}",
                *rule,
            ),
            stdin=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        try:
            until(lambda: "attached" in said.read_text(), ATTACH_SECONDS, f"strace on {pid}")
            yield Tracer(process, log)
        finally:
            process.send_signal(signal.SIGTERM)  # it lets the program go on without it


def numbers(log: Path, pid: int) -> dict[str, list[int]]:
    """Return, for each kind of call, the numbers of those that are seen outside.

    Of the thread that makes most of them; "report" are the main thread's writes to sockets.
    """
    made: Counter[tuple[str, str]] = Counter()
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for line in log.read_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, call, rest = match["thread"], match["call"], match["rest"]
        made[thread, call] += 1
        if not _INWARD.match(rest) and "= -1 EEXIST" not in line:
            is_report = thread == str(pid) and call == "write"
            found["report" if is_report else call][thread].append(made[thread, call])
    return {call: max(threads.values(), key=len) for call, threads in found.items()}
