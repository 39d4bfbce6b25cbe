"""The last backups, how old the newest is, and how they are made and restored."""

from dataclasses import dataclass

from fastapi import FastAPI, Request

from labtrawl.errors import Conflict
from labtrawl.store import backup
from labtrawl.store.backup import BackupRow
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.trail import note_detail

SHOWN = 30


@dataclass(frozen=True, slots=True)
class BackupsTold:
    """What is set, and the last backups, the newest first; `age_ms` of the newest whole one."""

    path: str | None
    every_hours: float
    keep: int
    age_ms: int | None
    is_too_old: bool
    rows: list[BackupRow]


@dataclass(frozen=True, slots=True)
class BackupWanted:
    """Where a backup is being made now."""

    path: str


def add(app: FastAPI, desk: Desk) -> None:
    """Add /backups, and the making of one."""
    care = desk.site.care

    @twins.page(app, desk, "/backups", BackupsTold, "The last backups, and how they are made")
    async def show(wanted: bool = False) -> Shown:
        rows = await desk.site.store.read(lambda c: backup.newest(c, SHOWN))
        return Shown("backups.html", _told(desk, rows), values={"wanted": wanted})

    @twins.action(app, "/backups/make", None, BackupWanted, "Make a backup now")
    async def make(request: Request) -> Done:
        if care.backup.path is None:
            raise Conflict("backup.path is not set: there is no place to write one to")
        note_detail(request, care.backup.path)
        care.backup_wanted.set()
        return Done("/backups?wanted=true", BackupWanted(str(care.backup.path)), 202)


def _told(desk: Desk, rows: list[BackupRow]) -> BackupsTold:
    plan = desk.site.care.backup
    newest = next((each for each in rows if each.state == "done"), None)
    age = None if newest is None else desk.site.clock.now_ms() - (newest.ended_at or 0)
    is_too_old = bool(plan.most_hours) and (age is None or age > plan.most_hours * 3_600_000)
    path = None if plan.path is None else str(plan.path)
    return BackupsTold(path, plan.every_hours, plan.keep, age, is_too_old, rows)
