"""The list of jobs: a page of its rows, facet counts, and what it may be filtered by."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, text

from labtrawl.domain.job import HoldReason, JobState
from labtrawl.store.pages.keyset import Page, Place
from labtrawl.store.pages.walks import (
    LOOKED,
    JobFilter,
    Key,
    Narrowing,
    Order,
    Walk,
    implied_state,
    narrow,
    path_contains,
    walk_of,
)
from labtrawl.store.schema import account, area, instance, job

__all__ = ["JobFilter", "Key", "Order", "path_contains"]

PAGE = 50
START: Place[int] = Place()
# Counts look at so many jobs and no further; where each has to be asked, at fewer.
COUNTED = 10_000
ASKED = 500
ACCOUNTS = 500


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
    started_at: int | None
    finished_at: int | None


@dataclass(frozen=True, slots=True)
class Count:
    """A number of jobs; `more` where the count stopped before the end."""

    number: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class JobsPage(Page[JobRow]):
    """A page of the list; `previous` and `next` are the keys to go on from.

    `is_cut` says that the look ended before the page was full: there may be more further on.
    """

    previous: Key | None = None
    next: Key | None = None
    is_cut: bool = False


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
    job.c.started_at,
    job.c.finished_at,
)
JOINED = job.join(area, area.c.id == job.c.area_id).outerjoin(
    account, account.c.id == job.c.account_id
)
Found = tuple[JobRow, Key]


def list_jobs(
    connection: Connection, wanted: JobFilter, place: Place[int] | Place[Key], size: int = PAGE
) -> JobsPage:
    """Return one page of the jobs that match, in the order of the filter.

    A place is a job's number where the newest come first, else a `Key`.
    """
    walk = walk_of(wanted, narrow(connection, wanted))
    is_back = place.before is not None
    at = place.before if is_back else place.after
    begin = walk.start if at is None else (0, at) if isinstance(at, int) else at
    found, end = _look(connection, walk, begin, is_back, size + 1)
    more, kept = len(found) > size, found[:size]
    if is_back:
        kept = kept[::-1]
    rows = tuple(row for row, _ in kept)
    first, last = (kept[0][1], kept[-1][1]) if kept else (begin, begin)
    goes_on = more or end is not None
    has_previous, has_next = (goes_on, True) if is_back else (at is not None, goes_on)
    return JobsPage(
        rows,
        has_previous,
        has_next,
        (end if is_back and not more and end else first) if has_previous else None,
        (end if not is_back and not more and end else last) if has_next else None,
        end is not None and not more,
    )


def _look(
    connection: Connection, walk: Walk, at: Key, is_back: bool, size: int
) -> tuple[list[Found], Key | None]:
    """Return up to `size` matches from a key on, and where the look ended, None for the end."""
    found: list[Found] = []
    looked, chunk = 0, size if not walk.aside else 4 * size
    while looked < LOOKED:
        chunk = min(chunk, LOOKED - looked)
        for keys in walk.parts(at, is_back, chunk):
            found += _matches(connection, walk, keys, is_back, size - len(found))
            if len(found) == size:
                return found, found[-1][1]
            passed = _last(connection, keys, chunk)
            if passed is not None:
                at = passed
                break
        else:
            return found, None
        looked, chunk = looked + chunk, 2 * chunk
    return found, at


def _matches(
    connection: Connection,
    walk: Walk,
    keys: Select[int, int],
    is_back: bool,
    size: int,
) -> Iterator[Found]:
    """Yield the first jobs of a part of the walk that match what the index does not answer."""
    looked = keys.subquery("looked")
    number, value = looked.c.id, looked.c.value
    by_number = number if walk.rises is not is_back else number.desc()
    order = (by_number,) if walk.value is None else (value if is_back else value.desc(), by_number)
    query = (
        select(*COLUMNS, value)
        .select_from(looked.join(JOINED, job.c.id == number))
        .where(*walk.aside)
        .order_by(*order)
        .limit(size)
    )
    for *told, kept in connection.execute(query).all():
        row = JobRow(*told)
        yield row, (kept, row.id)


def _last(connection: Connection, keys: Select[int, int], size: int) -> Key | None:
    """Return the key of the last job of a full part, None for a part that has fewer."""
    last = connection.execute(keys.limit(1).offset(size - 1)).first()
    return (last[1], last[0]) if last else None


def first_ids(connection: Connection, wanted: JobFilter, size: int = PAGE) -> tuple[int, ...]:
    """Return the ids of the first page as it would be now."""
    return tuple(row.id for row in list_jobs(connection, wanted, START, size).rows)


def _in_index(connection: Connection, walk: Walk, most: int) -> Count:
    """Count what a walk finds where the index answers everything."""
    looked = select(job.c.id).where(*walk.along, job.c.id > 0).limit(most + 1)
    number = connection.execute(select(func.count()).select_from(looked.subquery())).scalar_one()
    return Count(min(number, most), number > most)


def _by_state(connection: Connection, walk: Walk, most: int) -> tuple[dict[str, int], bool]:
    """Count what matches by state; say whether the look ended before the walk did."""
    looked = select(job.c.id).where(*walk.along, job.c.id > 0).limit(most + 1).subquery("looked")
    met = looked.join(job, job.c.id == looked.c.id).join(area, area.c.id == job.c.area_id)
    matching = func.count().filter(*walk.aside) if walk.aside else func.count()
    query = select(job.c.state, func.count(), matching).select_from(met).group_by(job.c.state)
    rows = connection.execute(query).all()
    return {state: found for state, _, found in rows}, sum(row[1] for row in rows) > most


def count_jobs(
    connection: Connection,
    wanted: JobFilter,
    narrowing: Narrowing | None = None,
    limits: tuple[int, int] = (COUNTED, ASKED),
) -> Count:
    """Count the jobs that match; a count stops at its limit and says so.

    The limits are those of a count in an index, and of one that has to ask each job.
    """
    if wanted.state not in {None, implied_state(replace(wanted, state=None)) or wanted.state}:
        return Count(0)
    known = narrowing or narrow(connection, wanted)
    walk = walk_of(replace(wanted, order=Order.NEWEST), known)
    if not walk.aside:
        return _in_index(connection, walk, limits[0])
    counts, is_cut = _by_state(connection, walk, limits[1] if known.ids is None else limits[0])
    return Count(sum(counts.values()), is_cut)


def next_matching(
    connection: Connection, wanted: JobFilter, after: int, size: int
) -> tuple[list[tuple[int, str]], int | None]:
    """Return (id, state) of the next jobs that match, in the order of their numbers, after one.

    Second, up to which job was looked: None where there is none left.
    """
    walk = walk_of(replace(wanted, order=Order.NEWEST), narrow(connection, wanted))
    found, end = _look(connection, walk, (0, after), True, size)
    return [(row.id, row.state) for row, _ in found], end[1] if end else None


def facets(connection: Connection, wanted: JobFilter) -> dict[str, Count]:
    """Count by state what matches the rest of the filter; the key "" is all of them."""
    narrowing = narrow(connection, wanted)
    if narrowing.ids is not None:
        # Few areas: all their jobs are met once, whatever their state.
        walk = walk_of(replace(wanted, state=None, order=Order.NEWEST), narrowing)
        counts, is_cut = _by_state(connection, walk, COUNTED)
        found = {state.value: Count(counts.get(state, 0), is_cut) for state in JobState}
    else:
        found = {
            state.value: count_jobs(connection, replace(wanted, state=state), narrowing)
            for state in JobState
        }
    total = sum(count.number for count in found.values())
    found[""] = Count(total, any(count.more for count in found.values()))
    return found


# Steps from one word to the next over an index: as many look-ups as there are words.
WORDS = """
WITH RECURSIVE step(word) AS (
  SELECT MIN({column}) FROM job WHERE {column} IS NOT NULL
  UNION ALL
  SELECT (SELECT MIN({column}) FROM job WHERE job.{column} > step.word AND {column} IS NOT NULL)
  FROM step WHERE step.word IS NOT NULL)
SELECT word FROM step WHERE word IS NOT NULL
"""


def resources(connection: Connection) -> tuple[str, ...]:
    """Return every resource that a job was ever made for, sorted."""
    return tuple(connection.execute(text(WORDS.format(column="resource"))).scalars())


@dataclass(frozen=True, slots=True)
class AccountName:
    """An account as a filter names it."""

    id: int
    username: str
    instance: str


@dataclass(frozen=True, slots=True)
class Choices:
    """What the list may be filtered by, with how many there are of each reason."""

    resources: tuple[str, ...]
    holds: dict[str, Count]
    errors: dict[str, Count]
    accounts: tuple[AccountName, ...]


def choices(connection: Connection) -> Choices:
    """Return what there is to choose from; of the accounts the first 500 by name."""
    errors = connection.execute(text(WORDS.format(column="error_reason"))).scalars().all()
    named = (
        select(account.c.id, account.c.username, instance.c.name)
        .join(instance, instance.c.id == account.c.instance_id)
        .order_by(account.c.username, account.c.id)
        .limit(ACCOUNTS)
    )
    holds = {reason: count_jobs(connection, JobFilter(hold=reason)) for reason in HoldReason}
    return Choices(
        resources(connection),
        {reason.value: count for reason, count in holds.items() if count.number},
        {reason: count_jobs(connection, JobFilter(error=reason)) for reason in errors},
        tuple(AccountName(*row) for row in connection.execute(named).all()),
    )
