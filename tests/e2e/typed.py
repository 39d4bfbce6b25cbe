"""Runs `labtrawl` as a person types it: in a folder of their own, with or without a terminal."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "labtrawl")
# Makes the terminal given as standard input the controlling one, so that Ctrl+C is a signal.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence of a refusal; anything else fails."""
        assert self.code not in {0, 70}, self
        assert "Traceback" not in self.err + self.out
        assert self.err.startswith("labtrawl: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("labtrawl: ").rstrip("\n")


def environment(**more: str) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LABTRAWL_")}
    return {**clean, "COLUMNS": "200", "NO_COLOR": "1", **more}


def labtrawl(folder: Path, *arguments: str, **more: str) -> Ended:
    """Run a command to its end, without a terminal."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Running:
    """A command that goes on, and what it said so far (both streams)."""

    def __init__(self, process: "subprocess.Popen[bytes]", source: int) -> None:
        self.process = process
        self.said = ""
        self._source = source

    def until(self, pattern: str) -> re.Match[str]:
        """Read until it said something like `pattern`; fail when it ends before."""
        while (found := re.search(pattern, self.said)) is None:
            assert self._read(), f"{pattern!r} never came, but: {self.said}"
        return found

    def end(self) -> int:
        """Read to its end and return the exit code."""
        while self._read():
            pass
        return self.process.wait(60)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def type(self, keys: bytes) -> None:
        """Press keys on its terminal."""
        os.write(self._source, keys)

    def hang_up(self) -> None:
        """Close its terminal, as a window that is closed; nothing is read any more."""
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, self._source)
        os.close(nowhere)

    def _read(self) -> bool:
        try:
            more = os.read(self._source, 65536)
        except OSError:  # how Linux says that the other end of a terminal is closed
            return False
        self.said += more.decode(errors="replace").replace("\r\n", "\n")
        return bool(more)


@contextmanager
def started(
    folder: Path,
    *arguments: str,
    terminal: bool = False,
    under: Sequence[str] = (),
    **more: str,
) -> Iterator[Running]:
    """Start a command that goes on; it is stopped at the end, whatever happened.

    `under` is the start of the command line, a program that becomes the command.
    """
    ours, theirs = os.openpty() if terminal else os.pipe()
    command = [*under, *COMMAND, *arguments]
    if terminal:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x18\x00\x78\x00" + bytes(4))  # 24 x 120
        command = [sys.executable, "-c", _TAKE_TERMINAL, *command]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(**more, TERM="xterm"),
        stdin=theirs if terminal else subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    running = Running(process, ours)
    try:
        yield running
        if process.poll() is None:
            running.interrupt()
            running.end()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def pids(folder: Path, data_dir: str) -> list[int]:
    """The supervisor of a data folder and all its programs."""
    told = json.loads(labtrawl(folder, "status", "--json", "--data-dir", data_dir).out)
    return [told["pid"], *(each["pid"] for each in told["programs"] if each["pid"])]


def alive(numbers: list[int]) -> list[int]:
    return [number for number in numbers if Path(f"/proc/{number}").exists()]


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def files(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size."""
    found = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.stat().st_size for each in found}


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
