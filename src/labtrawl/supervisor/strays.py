"""Descendants that outlived their parent: the supervisor adopts them, and here they are ended.

Nothing of ours goes into the background on its own; what left its group is swept. `cli` enters.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path

from labtrawl.supervisor import linux


class Strays:
    """Reaps adopted processes, and kills those outside the sessions of live children.

    For a process whose only children are a supervisor's programs.
    """

    def __init__(self, live: Callable[[], Collection[int]]) -> None:
        """`live` tells the pids of the programs, which are not ours to reap."""
        self._live = live

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Adopt from now on, and sweep whenever a child ends."""
        linux.adopt_strays()
        loop.add_signal_handler(signal.SIGCHLD, self.sweep)

    def sweep(self) -> None:
        """End and reap every adopted process that has no business any more."""
        live = set(self._live())
        for pid in _own_children():
            entry = None if pid in live else linux.process_entry(pid)
            if entry is None:
                continue
            if entry.is_zombie:
                _reap(pid)
            elif entry.session not in live:
                linux.kill(pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _own_children() -> list[int]:
    own = os.getpid()
    lists = list(Path(f"/proc/{own}/task").glob("*/children"))
    if not lists:  # a kernel without CONFIG_PROC_CHILDREN
        return [entry.pid for entry in linux.processes() if entry.parent == own]
    return [int(pid) for each in lists for pid in each.read_text().split()]
