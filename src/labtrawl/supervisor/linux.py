"""What only Linux offers for keeping processes together, and what /proc tells about them.

Sources: man 2 prctl, man 5 proc. `child`, `process` and the cli's process set-up enter.
"""

import ctypes
import os
import resource
import signal
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PEER_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a Unix socket, as the kernel says."""

    pid: int
    uid: int


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """A line of the process table."""

    pid: int
    parent: int
    group: int
    session: int
    is_zombie: bool


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent() -> None:
    """Be sent SIGTERM when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def forbid_inspection() -> None:
    """Keep others of the same user out of memory, descriptors and environment; dump no core."""
    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def adopt_strays() -> None:
    """Become the parent of descendants whose own parent ends, instead of process 1."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def peer_of(sock: socket.socket) -> Peer:
    """Say who connected (SO_PEERCRED); for a socketpair, who made it."""
    size = _PEER_CREDENTIALS.size
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, _gid = _PEER_CREDENTIALS.unpack(raw)
    return Peer(pid, uid)


def processes() -> Iterator[ProcessEntry]:
    """Read the process table; what ends meanwhile is left out."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            entry = process_entry(int(folder.name))
            if entry is not None:
                yield entry


def process_entry(pid: int) -> ProcessEntry | None:
    """Return one process' line, None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the command in brackets and may hold anything, brackets too.
    state, parent, group, session, *_ = text[text.rindex(")") + 2 :].split()
    return ProcessEntry(pid, int(parent), int(group), int(session), state in {"Z", "X"})


def kill_group(group: int, number: signal.Signals) -> None:
    """Signal every process of a group; none left is no error."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def kill(pid: int, number: signal.Signals) -> None:
    """Signal a process; its end is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_descendants() -> None:
    """Kill every process below this one, and the rest of its group."""
    own, group = os.getpid(), os.getpgrp()
    table = {entry.pid: entry for entry in processes()}
    for entry in table.values():
        if entry.pid != own and (entry.group == group or own in _ancestors(entry, table)):
            kill(entry.pid, signal.SIGKILL)


def _ancestors(entry: ProcessEntry, table: Mapping[int, ProcessEntry]) -> set[int]:
    found: set[int] = set()
    parent = entry.parent
    while parent in table and parent not in found:
        found.add(parent)
        parent = table[parent].parent
    return found
