"""`make demo` on a terminal: Ctrl+C stops the program alone, and make ends as the program ends."""

import fcntl
import os
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = """
import signal, sys
def stop(number, frame):
    print("stopped by", signal.Signals(number).name, flush=True)
    sys.exit({code})
signal.signal(signal.SIGINT, stop)
print("up", flush=True)
while True: signal.pause()
"""
Start = Callable[[int], tuple[subprocess.Popen[bytes], int]]


@pytest.fixture
def start(tmp_path: Path, repository: Path) -> Iterator[Start]:
    """Starts `make demo` of a stand-in that ends with the given code: (make, its terminal)."""
    opened: list[int] = []

    def started(code: int) -> tuple[subprocess.Popen[bytes], int]:
        shutil.copy(repository / "scripts" / "foreground.py", tmp_path)
        (tmp_path / "program.py").write_text(PROGRAM.format(code=code))
        recipe = f"exec '{sys.executable}' foreground.py '{sys.executable}' program.py"
        (tmp_path / "Makefile").write_text(f"demo:\n\t@{recipe}\n")
        ours, its = os.openpty()
        opened.append(ours)
        make = subprocess.Popen(
            ["make", "demo"],
            cwd=tmp_path,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
        )
        os.close(its)
        return make, ours

    yield started
    for descriptor in opened:
        os.close(descriptor)


def read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 1024)
    return seen


@pytest.mark.parametrize(("code", "make_code"), [(0, 0), (3, 2)])
def test_ctrl_c_on_a_terminal_ends_make_as_the_program_ends(
    start: Start, code: int, make_code: int
) -> None:
    make, terminal = start(code)
    read_until(terminal, b"up")
    os.write(terminal, b"\x03")
    read_until(terminal, b"stopped by SIGINT")
    assert make.wait(20) == make_code
