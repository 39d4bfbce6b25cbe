"""How the list of jobs is walked: along which index, in which order, and how far.

An order is offered only where an index has it. What the index cannot answer is asked of each job on
the way; a page looks at `LOOKED` jobs at most, says so, and goes on from there when it is asked to.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    literal,
    select,
)

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import OPEN_STATES, HoldReason, JobState
from labtrawl.store.schema import area, job

# Up to here the areas of a filter are looked up first; more are so many that a walk finds rows soon.
AREAS = 200
# A page looks at so many jobs and no further.
LOOKED = 1000
LARGEST = 2**62

# What the order goes by, and the job's number.
Key = tuple[int, int]


class Order(StrEnum):
    """What the list may be sorted by."""

    NEWEST = "newest"
    CHANGED = "changed"
    PRIORITY = "priority"
    DURATION = "duration"


# The states (None: any) that an order has an index for.
OFFERED: dict[Order, frozenset[JobState | None]] = {
    Order.NEWEST: frozenset({None, *JobState}),
    Order.CHANGED: frozenset({None, JobState.RUNNING, JobState.HELD, JobState.FAILED}),
    Order.PRIORITY: frozenset({None, *OPEN_STATES}),
    Order.DURATION: frozenset({None, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}),
}


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What the viewer asked for; `area` is part of a path, `error` the reason of a failure."""

    state: JobState | None = None
    resource: str = ""
    area: str = ""
    kind: AreaKind | None = None
    account: int | None = None
    hold: HoldReason | None = None
    error: str = ""
    order: Order = Order.NEWEST

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves anything out."""
        rest = (self.state, self.kind, self.account, self.hold)
        return any(each is not None for each in rest) or bool(
            self.resource or self.area or self.error
        )


@dataclass(frozen=True, slots=True)
class Target:
    """The jobs that an operation is about: all that match a filter, or these."""

    filter: JobFilter | None = None
    ids: tuple[int, ...] = ()


def target_of(wanted: str) -> Target:
    """Return the target that an operation's row holds."""
    return msgspec.json.decode(wanted, type=Target)


def implied_state(wanted: JobFilter) -> JobState | None:
    """Return the state that a filter is about: only a held job has a hold reason."""
    if wanted.state is None and wanted.hold is not None:
        return JobState.HELD
    if wanted.state is None and wanted.error:
        return JobState.FAILED
    return wanted.state


def offered(wanted: JobFilter) -> tuple[Order, ...]:
    """Return the orders that there are for a filter."""
    state = implied_state(wanted)
    return tuple(order for order, states in OFFERED.items() if state in states)


def order_of(wanted: JobFilter) -> Order:
    """Return the order that a list has: the newest first where the wanted one is not offered."""
    return wanted.order if wanted.order in offered(wanted) else Order.NEWEST


def path_contains(part: str) -> ColumnElement[bool]:
    """Match a part of an area's path in any case; no character of it is a wildcard."""
    return area.c.full_path.contains(part, autoescape=True)


def aside(column: Column[Any]) -> ColumnElement[Any]:
    """Compare a column without an index: the planner shall go along another one."""
    return column.concat(literal(""))


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The areas of a filter: None for all, a list for few, a condition for many."""

    ids: tuple[int, ...] | None = None
    condition: ColumnElement[bool] | None = None


def narrow(connection: Connection, wanted: JobFilter) -> Narrowing:
    """Look up the areas that a filter is about."""
    conditions = []
    if wanted.area:
        conditions.append(path_contains(wanted.area))
    if wanted.kind is not None:
        conditions.append(area.c.kind == wanted.kind.value)
    if not conditions:
        return Narrowing()
    found = connection.execute(select(area.c.id).where(*conditions).limit(AREAS + 1)).scalars()
    ids = tuple(found)
    return Narrowing(ids) if len(ids) <= AREAS else Narrowing(None, and_(*conditions))


@dataclass(frozen=True, slots=True)
class Walk:
    """A way along one index: what it answers, what is asked of each job, and the order.

    `value` is None where the job's number is the order; `rises` says that numbers grow among equals.
    `sorts` says that the index has another order: what it finds is sorted, and is not much.
    """

    along: tuple[ColumnElement[bool], ...]
    aside: tuple[ColumnElement[bool], ...] = ()
    value: ColumnElement[int] | None = None
    rises: bool = False
    sorts: bool = False
    start: Key = field(default=(LARGEST, LARGEST))

    def parts(self, at: Key, backwards: bool, size: int) -> Iterator[Select[int, int]]:
        """Yield the statements that go on from a key, each by one search: equals, then the rest."""
        value = literal(0, BigInteger) if self.value is None else self.value
        keys = select(job.c.id.label("id"), value.label("value")).where(*self.along).limit(size)
        is_up = self.rises is not backwards
        number = literal(at[1], BigInteger)
        # No index has it so: a planner would rather walk all jobs in their order than sort a few.
        own: ColumnElement[int] = job.c.id + 0 if self.sorts else job.c.id.expression
        beyond = own > number if is_up else own < number
        by_number = own if is_up else own.desc()
        if self.value is None:
            yield keys.where(beyond).order_by(by_number)
            return
        if abs(at[0]) < LARGEST:
            yield keys.where(self.value == literal(at[0], BigInteger), beyond).order_by(by_number)
        bound = literal(at[0], BigInteger)
        further = self.value > bound if backwards else self.value < bound
        by_value = self.value if backwards else self.value.desc()
        yield keys.where(further).order_by(by_value, by_number)


def walk_of(wanted: JobFilter, narrowing: Narrowing) -> Walk:
    """Choose the way through the jobs of a filter."""
    order = order_of(wanted)
    few = narrowing.ids is not None
    if order is not Order.NEWEST and (few or wanted.state is JobState.RUNNING):
        return _sorted(wanted, narrowing, "areas" if few else "state")
    if order is Order.CHANGED:
        return _by_change(wanted, narrowing)
    if order is Order.PRIORITY:
        states = [state.value for state in OPEN_STATES]
        asked = (*_all_but(wanted, narrowing), aside(job.c.state).in_(states))
        open_ones = (job.c.finished_at.is_(None),)
        return Walk(open_ones, asked, job.c.priority, True, start=_start(rises=True))
    if order is Order.DURATION:
        spent = job.c.finished_at - job.c.started_at
        return Walk((job.c.finished_at.is_not(None),), _all_but(wanted, narrowing), spent)
    return _by_number(wanted, narrowing)


VALUES: dict[Order, ColumnElement[int]] = {
    Order.CHANGED: job.c.change + 0,
    Order.PRIORITY: job.c.priority + 0,
    Order.DURATION: (job.c.finished_at - job.c.started_at) + 0,
}


def _sorted(wanted: JobFilter, narrowing: Narrowing, name: str) -> Walk:
    """Sort the jobs of few areas, or those that crawlers have in hand."""
    order, answers = order_of(wanted), _answers(wanted, narrowing)
    rises = order is Order.PRIORITY
    asked = _all_but(wanted, narrowing, name)
    if order is Order.PRIORITY:
        asked += (aside(job.c.state).in_([state.value for state in OPEN_STATES]),)
    if order is Order.DURATION:
        asked += (job.c.finished_at.is_not(None),)
    return Walk((answers[name][0],), asked, VALUES[order], rises, True, _start(rises))


def _start(rises: bool) -> Key:
    return (LARGEST, 0 if rises else LARGEST)


def _by_change(wanted: JobFilter, narrowing: Narrowing) -> Walk:
    state = implied_state(wanted)
    along: tuple[ColumnElement[bool], ...] = ()
    if state is JobState.FAILED:
        along = (job.c.error_reason.is_not(None),)
    elif state is JobState.HELD:
        along = (job.c.hold_reason.is_not(None),)
    return Walk(along, _all_but(wanted, narrowing), job.c.change)


def _by_number(wanted: JobFilter, narrowing: Narrowing) -> Walk:
    """Go along the index that leaves the fewest jobs to be asked."""
    given = _answers(wanted, narrowing)
    for names in (("areas",), ("error",), ("hold",), ("account",), ("resource", "state")):
        found = [name for name in names if name in given]
        if found:
            along = tuple(given[name][0] for name in found)
            return Walk(along, _all_but(wanted, narrowing, *found), sorts="areas" in found)
    return Walk((), _all_but(wanted, narrowing))


def _answers(
    wanted: JobFilter, narrowing: Narrowing
) -> dict[str, tuple[ColumnElement[bool], ColumnElement[bool]]]:
    """Return for each part of a filter its condition along an index, and the same aside."""
    found: dict[str, tuple[ColumnElement[bool], ColumnElement[bool]]] = {}
    if narrowing.ids is not None:
        few = job.c.area_id.in_(narrowing.ids)
        found["areas"] = (few, few)
    if wanted.error:
        found["error"] = _both(job.c.error_reason, wanted.error)
    if wanted.hold is not None:
        found["hold"] = _both(job.c.hold_reason, wanted.hold.value)
    if wanted.account is not None:
        account = literal(wanted.account, BigInteger)
        found["account"] = (job.c.account_id == account, job.c.account_id + 0 == account)
    if wanted.resource:
        found["resource"] = _both(job.c.resource, wanted.resource)
    if wanted.state is not None:
        found["state"] = _both(job.c.state, wanted.state.value)
    return found


def _both(column: Column[Any], value: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return column == value, aside(column) == value


def _all_but(
    wanted: JobFilter, narrowing: Narrowing, *names: str
) -> tuple[ColumnElement[bool], ...]:
    """Return what is asked of each job on the way: all that the index does not answer."""
    answers = _answers(wanted, narrowing)
    asked = [each[1] for name, each in answers.items() if name not in names]
    return (*asked, *([] if narrowing.condition is None else [narrowing.condition]))
