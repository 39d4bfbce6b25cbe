"""The list of jobs: a page of its rows, facet counts, and what it may be filtered by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, text

from labtrawl.domain.job import HoldReason, JobState
from labtrawl.store.pages.keyset import Page, Place
from labtrawl.store.pages.walks import (
    LOOKED,
    JobFilter,
    Key,
    Narrowing,
    Order,
    Piece,
    Walk,
    implied_state,
    narrow,
    walk_of,
)
from labtrawl.store.schema import account, area, instance, job

__all__ = ["JobFilter", "Key", "Order"]

PAGE = 50
START: Place[int] = Place()
# Counts look at so many jobs and no further; where each has to be asked, at fewer.
COUNTED = 10_000
ASKED = 200
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
# Of these jobs, by their numbers.
ROWS = f"{select(*COLUMNS).select_from(JOINED)} WHERE job.id IN ({{marks}})"


def list_jobs(
    connection: Connection,
    wanted: JobFilter,
    place: Place[int] | Place[Key],
    size: int = PAGE,
    narrowing: Narrowing | None = None,
) -> JobsPage:
    """Return one page of the jobs that match, in the order of the filter.

    A place is a job's number where the newest come first, else a `Key`.
    """
    walk = walk_of(wanted, narrowing or narrow(connection, wanted))
    is_back = place.before is not None
    at = place.before if is_back else place.after
    begin = walk.start if at is None else (0, at) if isinstance(at, int) else at
    found, end = _look(connection, walk, begin, is_back, size + 1)
    more, kept = len(found) > size, found[:size]
    if is_back:
        kept = kept[::-1]
    first, last = (kept[0], kept[-1]) if kept else (begin, begin)
    goes_on = more or end is not None
    has_previous, has_next = (goes_on, True) if is_back else (at is not None, goes_on)
    return JobsPage(
        _rows(connection, kept),
        has_previous,
        has_next,
        (end if is_back and not more and end else first) if has_previous else None,
        (end if not is_back and not more and end else last) if has_next else None,
        end is not None and not more,
    )


def _look(
    connection: Connection, walk: Walk, at: Key, is_back: bool, size: int
) -> tuple[list[Key], Key | None]:
    """Return up to `size` matches from a key on, and where the look ended, None for the end."""
    found: list[Key] = []
    looked, chunk = 0, size if not walk.aside else LOOKED if walk.sorts else 4 * size
    while looked < LOOKED:
        chunk = min(chunk, LOOKED - looked)
        steps = walk.steps(at, is_back, chunk)
        met = connection.exec_driver_sql(steps.text, steps.arguments).all()
        for number, value, matches in met:
            at = (value, number)
            if matches:
                found.append(at)
            if len(found) == size:
                return found, at
        if len(met) < chunk:
            return found, None
        looked, chunk = looked + chunk, 2 * chunk
    return found, at


def _rows(connection: Connection, keys: Sequence[Key]) -> tuple[JobRow, ...]:
    """Return the jobs with these keys, in their order."""
    if not keys:
        return ()
    numbers = tuple(number for _, number in keys)
    query = ROWS.format(marks=", ".join("?" * len(numbers)))
    rows = {row[0]: JobRow(*row) for row in connection.exec_driver_sql(query, numbers).all()}
    return tuple(rows[number] for number in numbers)


def first_ids(connection: Connection, wanted: JobFilter, size: int = PAGE) -> tuple[int, ...]:
    """Return the ids of the first page as it would be now."""
    walk = walk_of(wanted, narrow(connection, wanted))
    found, _ = _look(connection, walk, walk.start, False, size + 1)
    return tuple(number for _, number in found[:size])


Limits = tuple[int, int]


def _most(walk: Walk, narrowing: Narrowing, limits: Limits) -> int:
    """Return at how many jobs a count stops: fewer where each of many has to be asked."""
    return limits[1] if walk.aside and narrowing.ids is None else limits[0]


def _count(connection: Connection, pieces: Sequence[Piece]) -> list[tuple[str, int, int]]:
    """Return (state, looked at, matching) of each of these counts, in one statement."""
    statement = " UNION ALL ".join(each.text for each in pieces)
    arguments = tuple(value for each in pieces for value in each.arguments)
    rows = connection.exec_driver_sql(statement, arguments).all()
    return [(state, looked, found) for state, looked, found in rows]


def count_jobs(
    connection: Connection,
    wanted: JobFilter,
    narrowing: Narrowing | None = None,
    limits: Limits = (COUNTED, ASKED),
) -> Count:
    """Count the jobs that match; a count stops at its limit and says so.

    The limits are those of a count in an index, and of one that has to ask each job.
    """
    if wanted.state not in {None, implied_state(replace(wanted, state=None)) or wanted.state}:
        return Count(0)
    known = narrowing or narrow(connection, wanted)
    walk = walk_of(replace(wanted, order=Order.NEWEST), known)
    most = _most(walk, known, limits)
    return _counted(_count(connection, [walk.count(most, "''")]), most)


def _counted(rows: Sequence[tuple[str, int, int]], most: int) -> Count:
    looked, found = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return Count(min(found, most), looked > most)


def next_matching(
    connection: Connection, wanted: JobFilter, after: int, size: int
) -> tuple[list[tuple[int, str]], int | None]:
    """Return (id, state) of the next jobs that match, in the order of their numbers, after one.

    Second, up to which job was looked: None where there is none left.
    """
    walk = walk_of(replace(wanted, order=Order.NEWEST), narrow(connection, wanted))
    found, end = _look(connection, walk, (0, after), True, size)
    return [(row.id, row.state) for row in _rows(connection, found)], end[1] if end else None


def facets(
    connection: Connection, wanted: JobFilter, narrowing: Narrowing | None = None
) -> dict[str, Count]:
    """Count by state what matches the rest of the filter; the key "" is all of them."""
    narrowing = narrowing or narrow(connection, wanted)
    rest = replace(wanted, state=None, order=Order.NEWEST)
    implied = implied_state(rest)
    if implied is not None:
        found = {implied.value: count_jobs(connection, rest, narrowing)}
    elif narrowing.ids is not None or wanted.account is not None:
        found = _by_state(connection, walk_of(rest, narrowing), narrowing)
    else:
        found = _of_each_state(connection, rest, narrowing)
    counts = {state.value: found.get(state.value, Count(0)) for state in JobState}
    is_cut = any(count.more for count in counts.values())
    return counts | {"": Count(sum(count.number for count in counts.values()), is_cut)}


def _by_state(connection: Connection, walk: Walk, narrowing: Narrowing) -> dict[str, Count]:
    """Count along an index that knows no states: its jobs are met once, whatever theirs is."""
    most = COUNTED if narrowing.ids is not None else ASKED
    rows = _count(connection, [walk.count(most)])
    is_cut = sum(row[1] for row in rows) > most
    found = {state: matching for state, _, matching in rows}
    return {state.value: Count(found.get(state, 0), is_cut) for state in JobState}


def _of_each_state(
    connection: Connection, rest: JobFilter, narrowing: Narrowing
) -> dict[str, Count]:
    """Count along the index of each state."""
    walks = {state: walk_of(replace(rest, state=state), narrowing) for state in JobState}
    most = {state: _most(walk, narrowing, (COUNTED, ASKED)) for state, walk in walks.items()}
    counts = [walk.count(most[state], f"'{state.value}'") for state, walk in walks.items()]
    rows = {row[0]: row for row in _count(connection, counts)}
    return {state.value: _counted([rows[state.value]], most[state]) for state in JobState}


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
