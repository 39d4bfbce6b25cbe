"""The list of jobs: rows, facet counts, what changed. Newest first, by id."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal,
    select,
    text,
)

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import JobState
from labtrawl.store.pages.keyset import Page, Place, cut
from labtrawl.store.schema import account, area, job

PAGE = 50
# Up to here the areas of a filter are looked up first; more are so many that a walk finds rows soon.
AREAS = 500
# Counts look at this many jobs and no further.
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What the viewer asked for; `area` is part of a path."""

    state: JobState | None = None
    resource: str = ""
    area: str = ""
    kind: AreaKind | None = None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as a line of a list."""

    id: int
    state: str
    hold_reason: str | None
    resource: str
    processed_items: int
    total_items: int | None
    attempt: int
    requests: int
    stage: str
    run_after: int | None
    error_reason: str | None
    error_message: str | None
    updated_at: int
    change: int
    area_id: int
    area_kind: str
    full_path: str
    area_name: str
    account: str | None
    priority: int


@dataclass(frozen=True, slots=True)
class Count:
    """A number of jobs; `more` where the count stopped before the end."""

    number: int
    more: bool = False


COLUMNS: tuple[ColumnElement[Any], ...] = (
    job.c.id,
    job.c.state,
    job.c.hold_reason,
    job.c.resource,
    job.c.processed_items,
    job.c.total_items,
    job.c.attempt,
    job.c.requests,
    job.c.stage,
    job.c.run_after,
    job.c.error_reason,
    job.c.error_message,
    job.c.updated_at,
    job.c.change,
    area.c.id,
    area.c.kind,
    area.c.full_path,
    area.c.name,
    account.c.username,
    job.c.priority,
)
JOINED = job.join(area, area.c.id == job.c.area_id).outerjoin(
    account, account.c.id == job.c.account_id
)


def path_contains(part: str) -> ColumnElement[bool]:
    """Match a part of an area's path in any case; no character of it is a wildcard."""
    return area.c.full_path.contains(part, autoescape=True)


@dataclass(frozen=True, slots=True)
class _Narrowing:
    """The areas of a filter: None for all, a list for few, a condition for many."""

    ids: tuple[int, ...] | None
    condition: ColumnElement[bool] | None


def _narrow(connection: Connection, wanted: JobFilter) -> _Narrowing:
    conditions = []
    if wanted.area:
        conditions.append(path_contains(wanted.area))
    if wanted.kind is not None:
        conditions.append(area.c.kind == wanted.kind.value)
    if not conditions:
        return _Narrowing(None, None)
    found = connection.execute(select(area.c.id).where(*conditions).limit(AREAS + 1)).scalars()
    ids = tuple(found)
    if len(ids) <= AREAS:
        return _Narrowing(ids, None)
    return _Narrowing(None, and_(*conditions))


def _aside(column: Column[str]) -> ColumnElement[str]:
    """Compare a column without an index: the planner shall start from the few areas instead."""
    return column.concat(literal(""))


def _conditions(wanted: JobFilter, narrowing: _Narrowing) -> list[ColumnElement[bool]]:
    few = narrowing.ids is not None
    conditions: list[ColumnElement[bool]] = []
    if wanted.state is not None:
        state = _aside(job.c.state) if few else job.c.state
        conditions.append(state == wanted.state.value)
    if wanted.resource:
        resource = _aside(job.c.resource) if few else job.c.resource
        conditions.append(resource == wanted.resource)
    if narrowing.ids is not None:
        conditions.append(job.c.area_id.in_(narrowing.ids))
    if narrowing.condition is not None:
        conditions.append(narrowing.condition)
    return conditions


def page_query(
    connection: Connection, wanted: JobFilter, place: Place[int], size: int = PAGE
) -> Select[*tuple[Any, ...]]:
    """Build the statement of one page; `place` counts downwards: after 7 comes 6."""
    query = select(*COLUMNS).select_from(JOINED)
    query = query.where(*_conditions(wanted, _narrow(connection, wanted))).limit(size + 1)
    if place.before is not None:
        return query.where(job.c.id > place.before).order_by(job.c.id)
    # The bound is always there: a search from a key, never a scan.
    below = literal(place.after if place.after is not None else 2**62, BigInteger)
    return query.where(job.c.id < below).order_by(job.c.id.desc())


def list_jobs(
    connection: Connection, wanted: JobFilter, place: Place[int], size: int = PAGE
) -> Page[JobRow]:
    """Return one page of the jobs that match, newest first."""
    found = connection.execute(page_query(connection, wanted, place, size)).all()
    return cut([JobRow(*row) for row in found], place, size)


def first_ids(connection: Connection, wanted: JobFilter, size: int = PAGE) -> tuple[int, ...]:
    """Return the ids of the first page as it would be now."""
    query = page_query(connection, wanted, Place(), size).with_only_columns(job.c.id)
    return tuple(connection.execute(query).scalars())[:size]


def count_query(connection: Connection, wanted: JobFilter) -> Select[int, int]:
    """Build the statement that counts (jobs looked at, jobs that match), up to a limit."""
    narrowing = _narrow(connection, wanted)
    plain = _Narrowing(narrowing.ids, None)
    looked = (
        select(job.c.id, job.c.area_id)
        .where(*_conditions(wanted, plain), job.c.id > 0)
        .limit(COUNTED + 1)
        .subquery()
    )
    if narrowing.condition is None:
        return select(func.count(), func.count()).select_from(looked)
    matching = func.count().filter(narrowing.condition)
    joined = looked.join(area, area.c.id == looked.c.area_id)
    return select(func.count(), matching).select_from(joined)


def count_jobs(connection: Connection, wanted: JobFilter) -> Count:
    """Count the jobs that match; after 10,000 jobs looked at the count stops and says so."""
    looked, matching = connection.execute(count_query(connection, wanted)).one()
    if looked <= COUNTED:
        return Count(matching)
    return Count(min(matching, COUNTED), more=True)


def facets(connection: Connection, wanted: JobFilter) -> dict[str, Count]:
    """Count by state what matches the rest of the filter; the key "" is all of them."""
    others = (wanted.resource, wanted.area, wanted.kind)
    found = {state.value: count_jobs(connection, JobFilter(state, *others)) for state in JobState}
    total = sum(count.number for count in found.values())
    found[""] = Count(total, any(count.more for count in found.values()))
    return found


# Steps from one word to the next over the index: as many look-ups as there are resources.
RESOURCES = """
WITH RECURSIVE step(resource) AS (
  SELECT MIN(resource) FROM job
  UNION ALL
  SELECT (SELECT MIN(resource) FROM job WHERE job.resource > step.resource)
  FROM step WHERE step.resource IS NOT NULL)
SELECT resource FROM step WHERE resource IS NOT NULL
"""


def resources(connection: Connection) -> tuple[str, ...]:
    """Return every resource that a job was ever made for, sorted."""
    return tuple(connection.execute(text(RESOURCES)).scalars())
