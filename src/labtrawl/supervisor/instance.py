"""One labtrawl a data folder: the lock files.

`labtrawl.lock` belongs to the supervisor alone. `children.lock` is inherited by every child and so
is held until the last of them is gone, even when the supervisor was killed. `cli` enters.
"""

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.errors import ConfigError, DiskFull

_POLL_SECONDS = 0.05
# `holder_of` holds the lock for an instant when nobody else does.
_GLANCE_SECONDS = 0.2
_LOCK = "labtrawl.lock"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a data folder, and where its control socket is."""

    pid: int
    control: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A held data folder; `descriptor` is for children to inherit."""

    descriptor: int


def holder_of(data_dir: Path) -> Holder | None:
    """Return who runs on this data folder now, None when nobody does."""
    path = data_dir / _LOCK
    if not path.exists():
        return None
    with _opened(path, os.O_RDONLY) as descriptor:
        if _try_lock(descriptor, fcntl.LOCK_SH):
            return None
        return _read_holder(descriptor)


def _read_holder(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
    except msgspec.MsgspecError:
        return None  # it has taken the lock and not yet written its name


@asynccontextmanager
async def hold(
    data_dir: Path, control: Path, clock: Clock, patience_seconds: float
) -> AsyncIterator[Hold]:
    """Hold the data folder.

    ConfigError when a supervisor runs there, or when the children of one that was killed are still
    there after `patience_seconds`.
    """
    _make_data_dir(data_dir)
    with ExitStack() as stack:
        own = stack.enter_context(_opened(data_dir / _LOCK, os.O_RDWR | os.O_CREAT))
        if not await _lock(own, clock, _GLANCE_SECONDS):
            raise ConfigError(_occupied(data_dir, _read_holder(own)))
        os.ftruncate(own, 0)
        shared = stack.enter_context(_opened(data_dir / "children.lock", os.O_RDWR | os.O_CREAT))
        await _wait_for_children(shared, clock, patience_seconds)
        _write_holder(own, data_dir, Holder(os.getpid(), os.fspath(control)))
        yield Hold(shared)


def _write_holder(descriptor: int, data_dir: Path, holder: Holder) -> None:
    try:
        os.pwrite(descriptor, msgspec.json.encode(holder), 0)
    except OSError as error:
        raise DiskFull(f"the data folder {data_dir} takes no data: {error.strerror}") from error


def _make_data_dir(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the data folder {data_dir} cannot be made: {error.strerror}; "
            "name another by --data-dir"
        ) from error


def _occupied(data_dir: Path, holder: Holder | None) -> str:
    who = f" (pid {holder.pid})" if holder else ""
    return (
        f"a labtrawl already runs on this data folder{who}; "
        f"stop it with `labtrawl stop --data-dir '{data_dir}'`"
    )


async def _wait_for_children(descriptor: int, clock: Clock, patience_seconds: float) -> None:
    if _try_lock(descriptor, fcntl.LOCK_EX):
        return
    logs.get("supervisor").info("waiting_for_children_of_an_earlier_run")
    if not await _lock(descriptor, clock, patience_seconds):
        raise ConfigError(
            "processes of an earlier run still use this data folder; wait or end them"
        )


async def _lock(descriptor: int, clock: Clock, patience_seconds: float) -> bool:
    until = clock.monotonic() + patience_seconds
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if clock.monotonic() >= until:
            return False
        await clock.sleep(_POLL_SECONDS)
    return True


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
