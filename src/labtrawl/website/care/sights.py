"""Gathers what the checks judge: for the website, and for `labtrawl doctor` with nothing running."""

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from labtrawl.errors import LabtrawlError
from labtrawl.store import backup, care, discoveries, notices, seen
from labtrawl.store.engine import Connection, database_path
from labtrawl.store.migrate import is_newest
from labtrawl.store.secrets import key_path, open_cipher
from labtrawl.website.given.care import BackupPlan
from labtrawl.website.given.facts import (
    BackupFacts,
    CrawlerFacts,
    DatabaseFacts,
    DiskFacts,
    Facts,
    GitLabFacts,
    ProgramFacts,
)

T = TypeVar("T")
DATABASE_SECONDS = 10.0
WEEK_MS = 7 * 86_400_000


class Read(Protocol):
    """How a snapshot of the database is read: `Store.read`, `Snapshots.read`."""

    def __call__(self, work: Callable[[Connection], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What only who runs knows; see `Facts` for what None means."""

    missing_sockets: Sequence[str] | None = None
    programs: Sequence[ProgramFacts] | None = None
    crawlers: Sequence[CrawlerFacts] | None = None
    wanted_crawlers: int = 0
    problems: Sequence[str] = ()
    gitlabs: Sequence[GitLabFacts] = ()
    fault: tuple[str | None, int | None] = (None, None)
    backup: BackupPlan = field(default_factory=BackupPlan)
    secret_files: Sequence[Path] = ()


async def gather(read: Read, data_dir: Path, around: Around, now_ms: int) -> Facts:
    """Look at everything; a database that does not answer is a fact like another."""
    told, answers = dict[str, Any](_NOTHING), True
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            told |= await read(_of_database)
    except (LabtrawlError, TimeoutError):
        answers = False
    machine = await asyncio.to_thread(_of_machine, data_dir, around, told, answers)
    return Facts(
        now=now_ms,
        missing_sockets=around.missing_sockets,
        programs=around.programs,
        crawlers=around.crawlers,
        wanted_crawlers=around.wanted_crawlers,
        problems=around.problems,
        gitlabs=around.gitlabs,
        accounts=told["accounts"],
        discoveries=told["discoveries"],
        backup=_backups(around.backup, told["backups"]),
        versions=told["versions"],
        fields=told["fields"],
        fallen=told["fallen"],
        stop_requests=told["stop_requests"],
        failed_deliveries=told["failed_deliveries"],
        **machine,
    )


_NOTHING: Mapping[str, Any] = {
    "is_newest": False,
    "accounts": (),
    "discoveries": (),
    "backups": (),
    "versions": (),
    "fields": (),
    "fallen": (),
    "stop_requests": 0,
    "failed_deliveries": 0,
    "growth": 0,
}


def _of_database(connection: Connection) -> dict[str, Any]:
    newest = is_newest(connection)
    if not newest:  # an older one has not all of the tables
        return {"is_newest": False}
    return {
        "is_newest": True,
        "accounts": care.accounts(connection),
        "discoveries": discoveries.unfinished(connection),
        "backups": backup.newest(connection, 20),
        "versions": seen.versions(connection),
        "fields": seen.fields(connection),
        "fallen": seen.fallen(connection),
        "stop_requests": care.stop_requests_open(connection),
        "failed_deliveries": notices.failed_since(connection, care.now_ms(connection) - WEEK_MS),
        "growth": care.growth_a_day(connection),
    }


def _of_machine(
    data_dir: Path, around: Around, told: Mapping[str, Any], answers: bool
) -> dict[str, Any]:
    path = database_path(data_dir)
    fault, looked_at = around.fault
    database = DatabaseFacts(
        answers,
        told["is_newest"],
        _length(path),
        _length(path.with_name(f"{path.name}-wal")),
        fault,
        looked_at,
    )
    return {
        "database": database,
        "disk": _disk(data_dir, told["growth"]),
        "key_problem": _key_problem(data_dir),
        "open_files": [str(each) for each in (path, *around.secret_files) if _is_open(each)],
    }


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _disk(data_dir: Path, grown: int) -> DiskFacts | None:
    try:
        usage = shutil.disk_usage(data_dir)
    except OSError:
        return None
    # As the overview: what is kept for root, or lies beyond a quota, is nobody's room.
    return DiskFacts(usage.free, usage.free + usage.used, grown, os.access(data_dir, os.W_OK))


def _key_problem(data_dir: Path) -> str:
    """Say why the keys do not open; a folder of `labtrawl crawl` has none, and needs none."""
    if not key_path(data_dir).exists() and (data_dir / "config" / "crawl.json").is_file():
        return ""
    try:
        open_cipher(key_path(data_dir))
    except LabtrawlError as error:
        return str(error)
    return ""


def _is_open(path: Path) -> bool:
    """Say whether others can read a file; a closed folder around it keeps them out."""
    with contextlib.suppress(OSError):
        can_read = path.stat().st_mode & 0o044
        can_enter = path.parent.stat().st_mode & 0o011
        return bool(can_read and can_enter)
    return False


def _backups(plan: BackupPlan, rows: Sequence[backup.BackupRow]) -> BackupFacts:
    """`rows` are the newest first."""
    newest = next((each for each in rows if each.state == "done"), None)
    ended = next((each for each in rows if each.state != "running"), None)
    failed = ended if ended is not None and ended.state == "failed" else None
    return BackupFacts(plan.is_scheduled, plan.most_hours, newest, failed)


def missing_of(sockets: Mapping[str, Path]) -> list[str]:
    """Return the paths at which there should be a socket, and is none."""
    return [str(path) for path in sockets.values() if not _is_socket(path)]


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
