"""The programs with a hook at each durable step, for machines where strace cannot run.

`python stepping.py supervisor FOLDER CRAWLER WEBSITE` starts website and crawler as `labtrawl
start` does, each killed by its own hand before the step of that number (0: never). FOLDER counts
the steps, a byte each, and remembers who was killed: the next life of a program lives on.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from labtrawl.cli import crawler
from labtrawl.cli.main import execute
from labtrawl.cli.options import read_settings
from labtrawl.cli.programs import programs_of
from labtrawl.cli.start import supervise
from labtrawl.config import Settings
from labtrawl.dataset.disk import LocalDisk
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.store.engine import Store
from labtrawl.supervisor.process import Program


def counted(folder: Path, program: str) -> int:
    """Return how many steps a program made in all its lives."""
    path = folder / f"{program}.steps"
    return path.stat().st_size if path.exists() else 0


def was_killed(folder: Path, program: str) -> bool:
    """Say whether a program was killed at its step."""
    return (folder / f"{program}.killed").exists()


class Steps:
    """Counts the durable steps of this process, and ends it at one of them."""

    def __init__(self, folder: Path, program: str, number: int) -> None:
        self._lock = threading.Lock()
        self._steps = folder / f"{program}.steps"
        self._killed = folder / f"{program}.killed"
        self._left = 0 if self._killed.exists() else number

    def step(self, *_: object) -> None:
        """Count one; the last thing that this process does may be here."""
        with self._lock:
            with self._steps.open("ab") as file:
                file.write(b".")
            self._left -= 1
            if self._left == 0:
                self._killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, step: Callable[..., None]) -> None:
    """Let `step` be made before each call of a method."""
    method = getattr(owner, name)

    def stepped(*arguments: Any, **named: Any) -> Any:
        step()
        return method(*arguments, **named)

    setattr(owner, name, stepped)


def hook_crawler(steps: Steps) -> None:
    """Each operation of the disk, and each report to the website."""

    class SteppedDisk(LocalDisk):
        pass

    for name in ("make_folder", "create", "write", "sync", "close", "sync_folder", "remove"):
        before(SteppedDisk, name, steps.step)
    before(DirectCommunicationClient, "send_event", steps.step)
    setattr(crawler, "LocalDisk", SteppedDisk)  # noqa: B010 - mypy: a name that cli imported


def hook_website(steps: Steps) -> None:
    """Each commit of the writer, and each answer that follows it."""

    def committing(_: Connection) -> None:
        if threading.current_thread().name == "store-writer":
            steps.step()

    event.listen(Engine, "commit", committing)
    before(Store, "_answer", steps.step)


def programs(settings: Settings, folder: str, numbers: dict[str, str]) -> list[Program]:
    """Return the programs of `labtrawl start`, each through this file."""
    return [
        replace(program, argv=(sys.executable, "-P", __file__, name, folder, numbers[name]))
        for program in programs_of(settings)
        for name in [program.name.partition("-")[0]]
    ]


def main(role: str, folder: str, *given: str) -> int:
    """Be the supervisor, or one of its children."""
    if role == "supervisor":
        numbers = dict(zip(("crawler", "website"), given, strict=True))
        return supervise(read_settings(None, {}), lambda s: programs(s, folder, numbers))
    hook = {"crawler": hook_crawler, "website": hook_website}[role]
    hook(Steps(Path(folder), role, int(given[0])))
    return execute(["run", role])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
