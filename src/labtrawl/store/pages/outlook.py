"""What a forecast is reckoned from: what was at work lately, what runs, what waits, the budgets.

The rows of waiting jobs are walked by an index and come as sums: whoever shows them keeps them a while.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal_column, select

from labtrawl.domain.eta import Part
from labtrawl.domain.job import OPEN_STATES, JobState
from labtrawl.domain.learned import Kind, Queued, Running, Seen
from labtrawl.store.schema import account, area_access, budget, job, ledger

# What was at work lately: so many jobs, the newest by their last change.
NEWEST = 3_000
# Jobs in hand beyond these are left out.
IN_HAND = 2_000
# The ids of waiting jobs are told apart in so many steps.
STEPS = 64
# And when those that are put off are due, in steps of ten minutes.
LATER_MS = 600_000
LONGEST_BEGUN = 24 * 3_600_000
# What a crawler says of a list that each item has (crawler.cursor): people read it, too.
OF_ITEMS = re.compile(r", (\d+)(?: of (\d+))? items$")


@dataclass(frozen=True, slots=True)
class Outlook:
    """One look at the crawl; `oldest` is the end of the earliest work in `seen`, 0 where all is."""

    now: int
    seen: tuple[Seen, ...]
    running: tuple[Running, ...]
    queued: tuple[Queued, ...]
    oldest: int
    is_discovering: bool
    limit: int | None
    not_before: int


def _parent(parents: Mapping[str, str]) -> ColumnElement[Any]:
    """The resource that a job's resource belongs to; "" for none."""
    return case(dict(parents) or {"": ""}, value=job.c.resource, else_="")


def _units(parents: Mapping[str, str]) -> ColumnElement[Any]:
    """The items that have a list each, of what belongs to items; else the rows of the list."""
    items = case(
        # Of how many something changed nobody knows.
        (job.c.mode == "changes", None),
        (ledger.c.expected.is_not(None), ledger.c.expected),
        (ledger.c.completed_at.is_not(None), ledger.c.collected),
    )
    rows = case((job.c.state == JobState.COMPLETED, job.c.processed_items), else_=job.c.total_items)
    return case((_parent(parents) == "", rows), else_=items)


def _with_parent(parents: Mapping[str, str]) -> Any:
    same = and_(ledger.c.area_id == job.c.area_id, ledger.c.resource == _parent(parents))
    return job.outerjoin(ledger, same)


def _seen_query(parents: Mapping[str, str]) -> Select[Any]:
    return (
        select(
            job.c.resource,
            job.c.mode,
            job.c.requests - job.c.earlier_requests,
            _units(parents),
            job.c.started_at,
            func.coalesce(job.c.finished_at, job.c.updated_at),
            job.c.state,
            job.c.processed_items,
            job.c.total_items,
            job.c.stage,
        )
        .select_from(_with_parent(parents))
        .where(job.c.change > 0)
        .order_by(job.c.change.desc(), job.c.id.desc())
        .limit(NEWEST)
    )


def _seen(row: Any, now: int, nested: Mapping[str, str]) -> Seen | None:
    resource, mode, requests, units, began_at, ended_at, state, read, total, stage = row
    if began_at is None or state not in (JobState.COMPLETED, JobState.RUNNING):
        return None
    is_done = state == JobState.COMPLETED
    share = None if is_done else _share(resource in nested, units, read, total, stage)
    began_at = max(began_at, now - LONGEST_BEGUN)
    return Seen(Kind(resource, mode), requests, units, began_at, ended_at, is_done, share)


def _share(
    is_nested: bool, units: int | None, read: int, total: int | None, stage: str | None
) -> float | None:
    """How much of a list is read, where GitLab told how long it is, or of how many items."""
    if is_nested:
        told = OF_ITEMS.search(stage or "")
        if told is None:
            return None
        read, total = int(told[1]), int(told[2]) if told[2] else units
    return min(1.0, read / total) if total else None


def _running_query(parents: Mapping[str, str]) -> Select[Any]:
    return (
        select(
            job.c.resource,
            job.c.mode,
            job.c.requests - job.c.earlier_requests,
            _units(parents),
            job.c.processed_items,
            job.c.total_items,
            job.c.stage,
        )
        .select_from(_with_parent(parents))
        .where(job.c.state == JobState.RUNNING)
        .order_by(job.c.id)
        .limit(IN_HAND)
    )


def _running(row: Any, nested: Mapping[str, str]) -> Running:
    resource, mode, requests, units, read, total, stage = row
    share = _share(resource in nested, units, read, total, stage)
    return Running(Kind(resource, mode), requests, units, share)


def _queued_query(parents: Mapping[str, str], step: int) -> Select[Any]:
    # Written out, not bound: PostgreSQL groups by the same expression only.
    bucket = job.c.id.op("/")(literal_column(str(step)))
    units = _units(parents)
    columns = (job.c.resource, job.c.mode, job.c.priority)
    return (
        select(
            *columns,
            func.min(job.c.id),
            func.max(job.c.id),
            func.count(),
            func.count(units),
            func.coalesce(func.sum(units), 0),
            func.coalesce(func.max(units), 0),
            func.coalesce(func.min(job.c.run_after), 0),
        )
        .select_from(_with_parent(parents))
        .where(job.c.state == JobState.QUEUED)
        .group_by(*columns, bucket, job.c.run_after.op("/")(literal_column(str(LATER_MS))))
    )


def _queued(row: Any) -> Queued:
    resource, mode, priority, first, last, jobs, known, units, largest, not_before = row
    kind = Kind(resource, mode)
    return Queued(kind, priority, first, last, jobs, known, int(units), largest, not_before)


def _limits(connection: Connection, now: int) -> tuple[int | None, int]:
    """What all accounts may send a minute, and until when none of them may send anything."""
    known = account.outerjoin(
        budget, and_(budget.c.account_id == account.c.id, budget.c["class"] == "rest")
    )
    query = select(budget.c.limit_per_minute, func.coalesce(budget.c.not_before, 0))
    rows = connection.execute(
        query.select_from(known).where(account.c.state == "active").order_by(account.c.id)
    ).all()
    limits = [row[0] for row in rows]
    limit = None if None in limits or not limits else sum(limits)
    until = min((row[1] for row in rows), default=0)
    return limit, until if until > now else 0


def outlook(connection: Connection, parents: Mapping[str, str], now: int) -> Outlook:
    """Look at all that is open; `parents` names the resource that each nested one belongs to."""
    rows = connection.execute(_seen_query(parents)).all()
    seen = tuple(one for row in rows if (one := _seen(row, now, parents)) is not None)
    newest = int(connection.execute(select(func.max(job.c.id))).scalar() or 0)
    queued = connection.execute(_queued_query(parents, newest // STEPS + 1)).all()
    running = connection.execute(_running_query(parents)).all()
    discovery = (job.c.resource == "discovery", job.c.state.in_(OPEN_STATES))
    limit, not_before = _limits(connection, now)
    return Outlook(
        now=now,
        seen=seen,
        running=tuple(_running(row, parents) for row in running),
        queued=tuple(sorted(map(_queued, queued))),
        oldest=min((one.ended_at for one in seen), default=0) if len(rows) == NEWEST else 0,
        is_discovering=connection.execute(select(job.c.id).where(*discovery).limit(1)).first()
        is not None,
        limit=limit,
        not_before=not_before,
    )


def part(connection: Connection, area_id: int, parents: Mapping[str, str]) -> Part:
    """Return the open jobs of an area, each by itself, and the requests that it took so far."""
    of_area = job.c.area_id == area_id
    running = connection.execute(_running_query(parents).where(of_area)).all()
    queued = connection.execute(_queued_query(parents, 1).where(of_area)).all()
    done = connection.execute(select(func.sum(job.c.requests)).where(of_area)).scalar()
    return Part(
        [_running(row, parents) for row in running], sorted(map(_queued, queued)), done or 0
    )


def parts(connection: Connection, account_id: int, parents: Mapping[str, str]) -> dict[int, Part]:
    """Do as `part`, for each area that an account reads and that has open jobs."""
    mine = job.c.area_id.in_(
        select(area_access.c.area_id).where(area_access.c.account_id == account_id)
    )
    running = _running_query(parents).add_columns(job.c.area_id).where(mine)
    queued = _queued_query(parents, 1).add_columns(job.c.area_id).where(mine)
    sums = select(job.c.area_id, func.sum(job.c.requests)).where(mine).group_by(job.c.area_id)
    done = {row[0]: int(row[1] or 0) for row in connection.execute(sums).all()}
    found: dict[int, tuple[list[Running], list[Queued]]] = {}
    for *row, area_id in connection.execute(running).all():
        found.setdefault(area_id, ([], []))[0].append(_running(row, parents))
    for *row, area_id in connection.execute(queued.group_by(job.c.area_id)).all():
        found.setdefault(area_id, ([], []))[1].append(_queued(row))
    return {
        area_id: Part(runs, sorted(waits), done.get(area_id, 0))
        for area_id, (runs, waits) in found.items()
    }


def requests_done(connection: Connection) -> int:
    """Return the requests of all jobs so far; a walk over them."""
    return int(connection.execute(select(func.sum(job.c.requests))).scalar() or 0)
