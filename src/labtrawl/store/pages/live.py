"""What changed of that which is on somebody's screen: one reading for all viewers together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from labtrawl.store.pages.job import JobDetail, job_detail
from labtrawl.store.pages.jobs import (
    COLUMNS,
    JOINED,
    Count,
    JobFilter,
    JobRow,
    facets,
    first_ids,
)
from labtrawl.store.pages.keyset import Place
from labtrawl.store.schema import job


@dataclass(frozen=True, slots=True)
class JobsView:
    """A page of the list of jobs: these rows, the counts, and on the first page what is new."""

    wanted: JobFilter
    ids: tuple[int, ...]
    is_first: bool


@dataclass(frozen=True, slots=True)
class JobView:
    """The page of one job, with a page of its children."""

    id: int
    place: Place[int]


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The overview; its figures are read apart."""


@dataclass(frozen=True, slots=True)
class PageView:
    """A page that asks for itself again after something was committed, whatever it was."""


View = JobsView | JobView | OverviewView | PageView


@dataclass(frozen=True, slots=True)
class Reading:
    """What changed, as of the change `top`."""

    top: int
    rows: Mapping[int, JobRow]
    facets: Mapping[JobFilter, Mapping[str, Count]]
    first_ids: Mapping[JobFilter, Sequence[int]]
    details: Mapping[JobView, JobDetail]


def any_state(wanted: JobFilter) -> JobFilter:
    """Return the rest of a filter: what the counts by state belong to."""
    return replace(wanted, state=None)


def newest_change(connection: Connection) -> int:
    """Return the number of the newest change of any job, 0 before the first."""
    return int(connection.execute(select(func.max(job.c.change))).scalar() or 0)


def changed_rows(connection: Connection, ids: Iterable[int], since: int) -> list[JobRow]:
    """Return those of these jobs that changed after `since`."""
    query = select(*COLUMNS).select_from(JOINED)
    query = query.where(job.c.id.in_(sorted(ids)), job.c.change > since)
    return [JobRow(*row) for row in connection.execute(query).all()]


def changed_families(connection: Connection, ids: Iterable[int], since: int) -> set[int]:
    """Return those of these jobs that changed after `since`, or whose children did."""
    wanted = sorted(ids)
    own = select(job.c.id).where(job.c.id.in_(wanted), job.c.change > since)
    children = select(job.c.parent_id).where(job.c.parent_id.in_(wanted), job.c.change > since)
    found = connection.execute(own.union(children)).scalars()
    return {each for each in found if each is not None}


def read(connection: Connection, views: Iterable[View], since: int) -> Reading:
    """Read once, in one snapshot, what changed of these views after `since`."""
    if (top := newest_change(connection)) <= since:
        return Reading(top, {}, {}, {}, {})
    lists = [view for view in views if isinstance(view, JobsView)]
    singles = [view for view in views if isinstance(view, JobView)]
    rows = changed_rows(connection, {each for view in lists for each in view.ids}, since)
    families = changed_families(connection, {view.id for view in singles}, since)
    filters = {any_state(view.wanted) for view in lists}
    firsts = {view.wanted for view in lists if view.is_first}
    return Reading(
        top=top,
        rows={row.id: row for row in rows},
        facets={wanted: facets(connection, wanted) for wanted in filters},
        first_ids={wanted: first_ids(connection, wanted) for wanted in firsts},
        details={
            view: job_detail(connection, view.id, view.place)
            for view in singles
            if view.id in families
        },
    )
