"""The tree of areas and the page of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, or_, select

from labtrawl.domain.area import AreaKind
from labtrawl.domain.failure import REFUSALS
from labtrawl.domain.visit import DISCOVERY
from labtrawl.errors import Missing
from labtrawl.store.discoveries import Unfinished, unfinished
from labtrawl.store.gaps import unexplained
from labtrawl.store.pages.jobs import COLUMNS, JOINED, JobRow
from labtrawl.store.pages.keyset import Page, Place, cut
from labtrawl.store.schema import account, area, area_access, area_path, instance, job, ledger

PAGE = 50
JOBS = 100
# A blank cannot be part of a GitLab path and sorts before all that can: children follow their
# parent at once, before its neighbour "parent-2".
# Written out, not bound: only so the planner knows the index by it.
TREE = func.replace(area.c.full_path, literal_column("'/'"), literal_column("' '"))
NO_REASON: ColumnElement[bool] = literal_column(unexplained("ledger"))


@dataclass(frozen=True, slots=True)
class AreaFilter:
    """What the viewer asked for; `path` is a part of one."""

    path: str = ""
    kind: AreaKind | None = None


@dataclass(frozen=True, slots=True)
class AreaKey:
    """The place of an area in the tree."""

    full_path: str
    id: int


@dataclass(frozen=True, slots=True)
class AreaRow:
    """An area without its figures."""

    id: int
    kind: str
    full_path: str
    name: str
    parent_path: str
    web_url: str
    gitlab_id: int
    instance_name: str
    discovered_at: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class Seer:
    """An account that sees an area, with its access level."""

    username: str
    role: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class AreaSum:
    """An area with what was done for it; what GitLab does not give did not fail, it was refused.

    `gaps` are its lists that hold less, its account's discovery among them; of `unexplained` ones
    nobody knows why.
    """

    row: AreaRow
    jobs: int
    jobs_done: int
    jobs_failed: int
    jobs_refused: int
    records: int
    gaps: int
    unexplained: int
    seers: Sequence[Seer]


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One resource of an area: the ledger row and the job that fills it.

    Where it `is_unexplained` there is less, and nobody knows why.
    """

    resource: str
    expected: int | None
    expected_by: str
    collected: int
    reason: str | None
    detail: str
    completed_at: int | None
    updated_at: int
    job_id: int | None
    job_state: str | None
    is_unexplained: bool = False


@dataclass(frozen=True, slots=True)
class PathSeen:
    """A path that an area had, and since when."""

    full_path: str
    seen_from: int


@dataclass(frozen=True, slots=True)
class AreaDetail:
    """An area's page."""

    total: AreaSum
    ledger: Sequence[LedgerLine]
    paths: Sequence[PathSeen]
    jobs: Sequence[JobRow]
    parent_id: int | None


AREA_COLUMNS: tuple[ColumnElement[Any], ...] = (
    area.c.id,
    area.c.kind,
    area.c.full_path,
    area.c.name,
    area.c.parent_path,
    area.c.web_url,
    area.c.gitlab_id,
    instance.c.name,
    area.c.discovered_at,
    area.c.seen_at,
)
WITH_INSTANCE = area.join(instance, instance.c.id == area.c.instance_id)


def _beyond(key: AreaKey, forwards: bool) -> ColumnElement[bool]:
    tree, path = TREE, key.full_path.replace("/", " ")
    # The first bound is what the index is searched by.
    if forwards:
        return and_(tree >= path, or_(tree > path, area.c.id > key.id))
    return and_(tree <= path, or_(tree < path, area.c.id < key.id))


def page_of_areas(
    connection: Connection, wanted: AreaFilter, place: Place[AreaKey], size: int
) -> Page[AreaRow]:
    """Return one page of the areas that match, in the order of the tree."""
    query = select(*AREA_COLUMNS).select_from(WITH_INSTANCE).limit(size + 1)
    if wanted.path:
        query = query.where(area.c.full_path.contains(wanted.path, autoescape=True))
    if wanted.kind is not None:
        query = query.where(area.c.kind == wanted.kind.value)
    if place.before is not None:
        query = query.where(_beyond(place.before, forwards=False))
        query = query.order_by(TREE.desc(), area.c.id.desc())
    else:
        if place.after is not None:
            query = query.where(_beyond(place.after, forwards=True))
        query = query.order_by(TREE, area.c.id)
    rows = [AreaRow(*row) for row in connection.execute(query).all()]
    return cut(rows, place, size)


def list_areas(
    connection: Connection, wanted: AreaFilter, place: Place[AreaKey], size: int = PAGE
) -> Page[AreaSum]:
    """Return one page of the tree with the figures of each area."""
    page = page_of_areas(connection, wanted, place, size)
    return Page(_sums(connection, page.rows), page.has_previous, page.has_next)


def _sums(connection: Connection, rows: Sequence[AreaRow]) -> list[AreaSum]:
    ids = [row.id for row in rows]
    jobs = _job_counts(connection, ids)
    records = _record_counts(connection, ids)
    seers = _seers(connection, ids)
    return [
        AreaSum(
            row, *jobs.get(row.id, (0, 0, 0, 0)), *records.get(row.id, (0, 0, 0)), seers[row.id]
        )
        for row in rows
    ]


def _ones(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _job_counts(connection: Connection, ids: list[int]) -> dict[int, tuple[int, int, int, int]]:
    is_refused = func.coalesce(job.c.error_reason, "").in_(sorted(REFUSALS))
    done, failed = job.c.state == "completed", job.c.state == "failed"
    counts = _ones(done), _ones(failed & ~is_refused), _ones(failed & is_refused)
    query = select(job.c.area_id, func.count(), *counts).where(job.c.area_id.in_(ids))
    found = connection.execute(query.group_by(job.c.area_id)).all()
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in found}


def _record_counts(connection: Connection, ids: list[int]) -> dict[int, tuple[int, int, int]]:
    gaps = _ones(or_(ledger.c.reason.is_not(None), NO_REASON))
    query = select(ledger.c.area_id, func.sum(ledger.c.collected), gaps, _ones(NO_REASON))
    query = query.where(ledger.c.area_id.in_(ids)).group_by(ledger.c.area_id)
    found = {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query).all()}
    for lost in unfinished(connection):
        if lost.area_id in ids:
            stored, less, why_not = found.get(lost.area_id, (0, 0, 0))
            found[lost.area_id] = (stored, less + 1, why_not)
    return found


def _seers(connection: Connection, ids: list[int]) -> dict[int, list[Seer]]:
    query = (
        select(area_access.c.area_id, account.c.username, area_access.c.role, area_access.c.seen_at)
        .join(account, account.c.id == area_access.c.account_id)
        .where(area_access.c.area_id.in_(ids))
        .order_by(area_access.c.role.desc(), account.c.username)
    )
    found: dict[int, list[Seer]] = {each: [] for each in ids}
    for area_id, *seer in connection.execute(query).all():
        found[area_id].append(Seer(*seer))
    return found


def ledger_lines(connection: Connection, ids: Sequence[int]) -> dict[int, list[LedgerLine]]:
    """Return the ledger of these areas, each row with the state of its job.

    That of an account has its discovery, where that did not come to its end.
    """
    query = (
        select(
            ledger.c.area_id,
            ledger.c.resource,
            ledger.c.expected,
            ledger.c.expected_by,
            ledger.c.collected,
            ledger.c.reason,
            ledger.c.detail,
            ledger.c.completed_at,
            ledger.c.updated_at,
            ledger.c.job_id,
            job.c.state,
            case((NO_REASON, 1), else_=0),
        )
        .select_from(ledger.outerjoin(job, job.c.id == ledger.c.job_id))
        .where(ledger.c.area_id.in_(ids))
        .order_by(ledger.c.resource)
    )
    found: dict[int, list[LedgerLine]] = {each: [] for each in ids}
    for area_id, *line in connection.execute(query).all():
        found[area_id].append(LedgerLine(*(*line[:-1], bool(line[-1]))))
    for lost in unfinished(connection):
        if lost.area_id in found:
            found[lost.area_id].append(_line_of(lost))
    return found


def _line_of(lost: Unfinished) -> LedgerLine:
    """An account's list of areas that did not come to its end: a gap like those of other lists."""
    why = (None, "", 0, lost.reason, lost.detail, None)
    return LedgerLine(DISCOVERY, *why, lost.updated_at, lost.job_id, lost.state)


def _paths(connection: Connection, area_id: int) -> list[PathSeen]:
    query = select(area_path.c.full_path, area_path.c.seen_from)
    query = query.where(area_path.c.area_id == area_id)
    query = query.order_by(area_path.c.seen_from.desc(), area_path.c.full_path)
    return [PathSeen(*row) for row in connection.execute(query).all()]


def _jobs(connection: Connection, area_id: int) -> list[JobRow]:
    query = select(*COLUMNS).select_from(JOINED).where(job.c.area_id == area_id)
    found = connection.execute(query.order_by(job.c.id.desc()).limit(JOBS)).all()
    return [JobRow(*row) for row in found]


def _parent(connection: Connection, row: AreaRow) -> int | None:
    if not row.parent_path:
        return None
    query = select(area.c.id).where(area.c.full_path == row.parent_path, area.c.kind == "group")
    found: int | None = connection.execute(query.limit(1)).scalar()
    return found


def area_detail(connection: Connection, area_id: int) -> AreaDetail:
    """Return an area's page; Missing where there is none."""
    query = select(*AREA_COLUMNS).select_from(WITH_INSTANCE).where(area.c.id == area_id)
    found = connection.execute(query).first()
    if found is None:
        raise Missing(f"There is no area {area_id}.")
    row = AreaRow(*found)
    return AreaDetail(
        total=_sums(connection, [row])[0],
        ledger=ledger_lines(connection, [area_id])[area_id],
        paths=_paths(connection, area_id),
        jobs=_jobs(connection, area_id),
        parent_id=_parent(connection, row),
    )
