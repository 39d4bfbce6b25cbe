"""What one account sees: its areas with their figures, one of them, and the account itself.

Each question takes the account; an area that it does not see is as missing as one that is not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Subquery,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from labtrawl.domain.consent import Mode
from labtrawl.domain.job import OPEN_STATES, JobState
from labtrawl.domain.visit import DISCOVERY
from labtrawl.errors import Missing
from labtrawl.store.areas import NOT_SEEN
from labtrawl.store.discoveries import Unfinished, unfinished
from labtrawl.store.gaps import NOBODY_KNOWS, unexplained
from labtrawl.store.schema import (
    account,
    area,
    area_access,
    area_choice,
    instance,
    job,
    ledger,
    segment,
)

OTHER = area_access.alias("other_access")
OTHERS = area_choice.alias("other_choice")
NO_REASON: ColumnElement[bool] = literal_column(unexplained("ledger"))


def seen(account_id: int) -> Subquery:
    """Return the areas of an account: those it reads, and those it was found to see and does not.

    The latter are what a participant excluded, or withdrew from, or lost on GitLab.
    """
    read = select(area_access.c.area_id, area_access.c.role, literal(1).label("is_read")).where(
        area_access.c.account_id == account_id
    )
    is_read = exists().where(
        OTHER.c.area_id == area_choice.c.area_id, OTHER.c.account_id == account_id
    )
    found = select(area_choice.c.area_id, area_choice.c.role, literal(0)).where(
        area_choice.c.account_id == account_id, ~is_read
    )
    return union_all(read, found).subquery("seen")


def lists_of(mine: Subquery) -> Any:
    """Return the lists of an account's areas, each with its job, if any."""
    lists = mine.join(ledger, ledger.c.area_id == mine.c.area_id)
    return lists.outerjoin(job, job.c.id == ledger.c.job_id)


def is_shown(mine: Subquery, account_id: int) -> ColumnElement[bool]:
    """Say whether a list's records are shown to an account.

    Not where anything of it was ever stored with more rights, be it by its owner, who has fewer now:
    it may hold what GitLab does not show this account. And of an area that it reads no more, only
    what nobody else read since.
    """
    highest = select(func.max(OTHER.c.role)).where(OTHER.c.area_id == mine.c.area_id)
    by_role = and_(
        mine.c.role >= func.coalesce(highest.correlate(mine).scalar_subquery(), mine.c.role),
        mine.c.role >= func.coalesce(ledger.c.stored_role, mine.c.role),
    )
    return and_(
        or_(by_role, _is_left(mine, account_id)),
        or_(mine.c.is_read == 1, job.c.account_id == account_id),
    )


def _is_left(mine: Subquery, account_id: int) -> ColumnElement[bool]:
    """Say whether a list is of an area that the account lost on GitLab, and nobody reads now.

    The role that it had is not known any more. The one that it read with last is, and must do for
    what was there before, unless no other account ever was found to see the area.
    """
    is_read = exists().where(OTHER.c.area_id == mine.c.area_id)
    is_others = exists().where(
        OTHERS.c.area_id == mine.c.area_id, OTHERS.c.account_id != account_id
    )
    had = func.coalesce(job.c.read_role, NOT_SEEN) >= func.coalesce(ledger.c.stored_role, NOT_SEEN)
    return and_(mine.c.role == NOT_SEEN, ~is_read, or_(had, ~is_others))


@dataclass(frozen=True, slots=True)
class MyAccount:
    """An account without its secrets; instants in ms, None where it does not end."""

    username: str
    gitlab_user_id: int
    instance_name: str
    instance_url: str
    scopes: str
    state: str
    verified_at: int
    expires_at: int | None
    is_renewed: bool
    """Whether a new token is asked for by itself before the present one ends."""
    is_connected: bool
    """Whether there is a token; there is none once its owner or an admin took it away."""
    is_off: bool
    """Whether an admin switched it off."""
    is_of_study: bool
    """Whether it takes a consent to use it."""


@dataclass(frozen=True, slots=True)
class MyArea:
    """An area that an account sees, without its figures."""

    id: int
    instance_id: int
    kind: str
    full_path: str
    name: str
    parent_path: str
    role: int
    is_read: bool
    """Whether this account reads it; else it was excluded, or is not to be seen any more."""
    wanted: bool | None
    """What its owner said of this very area; None for nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was done for an area: its lists, those that need no more reading, its records.

    `open` counts its jobs that go on by themselves, `held` those of them that wait for somebody.
    `gaps` are the lists that hold less, by the reason, or by what they are where nobody knows it or
    the account's areas were not looked up to the end. `last_at` is when a list was last worked at.
    """

    lists: int = 0
    ended: int = 0
    records: int = 0
    open: int = 0
    running: int = 0
    held: int = 0
    last_at: int | None = None
    gaps: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MyLine:
    """One list of an area: what was expected and what is there, why less, and what is done now.

    Where it `is_unexplained` there is less, and nobody knows why.
    """

    resource: str
    expected: int | None
    collected: int
    reason: str | None
    completed_at: int | None
    updated_at: int
    job_state: str | None
    hold_reason: str | None
    run_after: int | None
    processed_items: int | None
    total_items: int | None
    is_unexplained: bool
    is_mine: bool
    """Whether nobody with more rights read it: only then its records are shown."""


@dataclass(frozen=True, slots=True)
class MyPlace:
    """One area as its page needs it."""

    area: MyArea
    web_url: str
    instance_name: str
    discovered_at: int
    lines: Sequence[MyLine]


AREA: tuple[ColumnElement[Any], ...] = (
    area.c.id,
    area.c.instance_id,
    area.c.kind,
    area.c.full_path,
    area.c.name,
    area.c.parent_path,
)


def _areas(account_id: int, *more: ColumnElement[Any]) -> Any:
    mine = seen(account_id)
    said = and_(area_choice.c.area_id == area.c.id, area_choice.c.account_id == account_id)
    home = mine.join(area, area.c.id == mine.c.area_id).outerjoin(area_choice, said)
    home = home.join(instance, instance.c.id == area.c.instance_id)
    columns = (*AREA, mine.c.role, mine.c.is_read, area_choice.c.wanted, *more)
    return select(*columns).select_from(home).order_by(area.c.id)


def _area(row: Any) -> MyArea:
    *plain, is_read, wanted = row
    return MyArea(*(*plain, bool(is_read), None if wanted is None else bool(wanted)))


def my_account(connection: Connection, account_id: int) -> MyAccount:
    """Return an account; Missing where there is none."""
    query = select(
        account.c.username,
        account.c.gitlab_user_id,
        instance.c.name,
        instance.c.url,
        account.c.scopes,
        account.c.state,
        account.c.verified_at,
        account.c.expires_at,
        account.c.refresh_token != "",
        account.c.token != "",
        account.c.disabled_at.is_not(None),
        account.c.mode == Mode.STUDY,
    ).join(instance, instance.c.id == account.c.instance_id)
    row = connection.execute(query.where(account.c.id == account_id)).first()
    if row is None:
        raise Missing(f"There is no account {account_id}.")
    return MyAccount(*(*row[:8], *map(bool, row[8:])))


def my_areas(connection: Connection, account_id: int) -> list[MyArea]:
    """Return every area of an account, by its number."""
    return [_area(row) for row in connection.execute(_areas(account_id)).all()]


def my_figures(connection: Connection, account_id: int) -> dict[int, Figures]:
    """Return the figures of every area that an account sees and that something is planned for."""
    lists: dict[int, list[Any]] = {}
    for area_id, reason, number, ended, records in connection.execute(_lists(account_id)).all():
        found = lists.setdefault(area_id, [0, 0, 0, {}])
        found[0], found[1], found[2] = found[0] + number, found[1] + ended, found[2] + records
        if reason is not None:
            found[3][reason] = number
    jobs = {row[0]: row[1:] for row in connection.execute(_jobs(account_id)).all()}
    for lost in unfinished(connection):
        if lost.area_id in jobs:
            lists.setdefault(lost.area_id, [0, 0, 0, {}])[3][DISCOVERY] = 1
    none: tuple[Any, ...] = (0, 0, 0, None)
    made: dict[int, Figures] = {}
    for each in sorted(lists.keys() | jobs.keys()):
        *counts, gaps = lists.get(each, none)
        made[each] = Figures(*(*counts, *jobs.get(each, none), gaps or {}))
    return made


def _ones(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _lists(account_id: int) -> Any:
    mine = seen(account_id)
    ended = or_(ledger.c.completed_at.is_not(None), ledger.c.reason.is_not(None))
    reason = case((NO_REASON, NOBODY_KNOWS), else_=ledger.c.reason).label("why")
    records = cast(func.coalesce(func.sum(ledger.c.collected), 0), BigInteger)
    return (
        select(ledger.c.area_id, reason, func.count(), _ones(ended), records)
        .select_from(mine.join(ledger, ledger.c.area_id == mine.c.area_id))
        .group_by(ledger.c.area_id, reason)
        .order_by(ledger.c.area_id, reason)
    )


def _jobs(account_id: int) -> Any:
    mine = seen(account_id)
    worked = case((job.c.started_at.is_not(None), job.c.updated_at))
    return (
        select(
            job.c.area_id,
            _ones(job.c.state.in_(OPEN_STATES)),
            _ones(job.c.state == JobState.RUNNING),
            _ones(job.c.state == JobState.HELD),
            func.max(worked),
        )
        .select_from(mine.join(job, job.c.area_id == mine.c.area_id))
        .group_by(job.c.area_id)
    )


def my_place(connection: Connection, account_id: int, area_id: int) -> MyPlace:
    """Return one area with its lists; Missing where the account does not see it."""
    query = _areas(account_id, area.c.web_url, instance.c.name, area.c.discovered_at)
    row = connection.execute(query.where(area.c.id == area_id)).first()
    if row is None:
        raise Missing(f"There is no area {area_id}.")
    lines = [
        MyLine(*(*each[:-2], *map(bool, each[-2:])))
        for each in connection.execute(_lines(account_id, area_id)).all()
    ]
    lines += [_line_of(lost) for lost in unfinished(connection) if lost.area_id == area_id]
    return MyPlace(*(_area(row[:9]), *row[9:], lines))


def _line_of(lost: Unfinished) -> MyLine:
    """The list of the account's areas, which did not come to its end."""
    why = (None, 0, lost.reason, None, lost.updated_at, lost.state, None, None, None, None)
    return MyLine(DISCOVERY, *why, is_unexplained=False, is_mine=False)


def _lines(account_id: int, area_id: int) -> Any:
    mine = seen(account_id)
    return (
        select(
            ledger.c.resource,
            ledger.c.expected,
            ledger.c.collected,
            ledger.c.reason,
            ledger.c.completed_at,
            ledger.c.updated_at,
            job.c.state,
            job.c.hold_reason,
            job.c.run_after,
            job.c.processed_items,
            job.c.total_items,
            case((NO_REASON, 1), else_=0),
            case((is_shown(mine, account_id), 1), else_=0),
        )
        .select_from(lists_of(mine))
        .where(mine.c.area_id == area_id)
        .order_by(ledger.c.resource)
    )


@dataclass(frozen=True, slots=True)
class MySum:
    """What is stored and shown to an account: areas, lists with records, lines, bytes on the disk."""

    areas: int
    lists: int
    records: int
    bytes: int


def my_sum(connection: Connection, account_id: int) -> MySum:
    """Add up what an account may take away."""
    mine = seen(account_id)
    same = and_(segment.c.area_id == ledger.c.area_id, segment.c.resource == ledger.c.resource)
    lists = (
        select(
            ledger.c.area_id,
            func.sum(segment.c.records).label("records"),
            func.sum(segment.c.length).label("bytes"),
        )
        .select_from(lists_of(mine).join(segment, same))
        .where(is_shown(mine, account_id))
        .group_by(ledger.c.area_id, ledger.c.resource)
        .subquery()
    )
    query = select(
        func.count(lists.c.area_id.distinct()),
        func.count(),
        cast(func.coalesce(func.sum(lists.c.records), 0), BigInteger),
        cast(func.coalesce(func.sum(lists.c.bytes), 0), BigInteger),
    )
    return MySum(*connection.execute(query).one())
