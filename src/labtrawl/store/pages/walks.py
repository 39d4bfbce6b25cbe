"""How the list of jobs is walked: along which index, in which order, and how far.

An order is offered only where an index has it. What the index cannot answer is asked of each job on
the way; a page looks at `LOOKED` jobs at most, says so, and goes on from there when it is asked to.

The statements are written out: to have SQLAlchemy build them took longer than to answer them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import OPEN_STATES, HoldReason, JobState
from labtrawl.store.pages.saying import MATCHES, SAYS, containing, meant_by

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
    """What the viewer asked for; `area` is part of a path, `error` the reason of a failure.

    `message` is part of what a failure says, or with `whole` all of it; `ANYTHING` in it stands for
    any text. Only failed jobs match one.
    """

    state: JobState | None = None
    resource: str = ""
    area: str = ""
    kind: AreaKind | None = None
    account: int | None = None
    hold: HoldReason | None = None
    error: str = ""
    message: str = ""
    order: Order = Order.NEWEST

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves anything out."""
        rest = (self.state, self.kind, self.account, self.hold)
        words = (self.resource, self.area, self.error, self.message)
        return any(each is not None for each in rest) or any(words)


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
    if wanted.state is None and (wanted.error or wanted.message):
        return JobState.FAILED
    return wanted.state


def offered(wanted: JobFilter) -> tuple[Order, ...]:
    """Return the orders that there are for a filter."""
    state = implied_state(wanted)
    return tuple(order for order, states in OFFERED.items() if state in states)


def order_of(wanted: JobFilter) -> Order:
    """Return the order that a list has: the newest first where the wanted one is not offered."""
    return wanted.order if wanted.order in offered(wanted) else Order.NEWEST


class Piece(NamedTuple):
    """A part of a statement, and what stands for its question marks."""

    text: str
    arguments: tuple[Any, ...] = ()


def both(pieces: Iterable[Piece]) -> Piece:
    """Return the condition that all of these hold."""
    all_of = tuple(pieces)
    return Piece(
        " AND ".join(each.text for each in all_of) or "1 = 1",
        tuple(value for each in all_of for value in each.arguments),
    )


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The areas of a filter: None for all, a list for few, a condition for many."""

    ids: tuple[int, ...] | None = None
    condition: Piece | None = None


def narrow(connection: Connection, wanted: JobFilter) -> Narrowing:
    """Look up the areas that a filter is about."""
    conditions = []
    if wanted.area:
        conditions.append(Piece(f"area.full_path {MATCHES}", (containing(wanted.area),)))
    if wanted.kind is not None:
        conditions.append(Piece("area.kind = ?", (wanted.kind.value,)))
    if not conditions:
        return Narrowing()
    condition = both(conditions)
    found = connection.exec_driver_sql(
        f"SELECT area.id FROM area WHERE {condition.text} LIMIT ?",
        (*condition.arguments, AREAS + 1),
    )
    ids = tuple(found.scalars())
    return Narrowing(ids) if len(ids) <= AREAS else Narrowing(None, condition)


@dataclass(frozen=True, slots=True)
class Walk:
    """A way along one index: what it answers, what is asked of each job, and the order.

    `value` is "" where the job's number is the order; `rises` says that numbers grow among equals.
    `sorts` says that the index has another order: what it finds is sorted, and is not much.
    `columns` are those that `along` compares with one value each, where the index goes by them first.
    """

    along: tuple[Piece, ...]
    aside: tuple[Piece, ...] = ()
    value: str = ""
    rises: bool = False
    sorts: bool = False
    columns: tuple[str, ...] = ()
    start: Key = field(default=(LARGEST, LARGEST))

    def keys(self, at: Key, backwards: bool, size: int, brought: str = "") -> Piece:
        """Return the statement for (id, value) of the jobs that follow a key: equals, then the rest.

        Where something is asked of each job, it is `brought` with the number, lest each is met twice.
        """
        is_up = self.rises is not backwards
        # No index has it so: a planner would rather walk all jobs in their order than sort a few.
        number = "job.id + 0" if self.sorts else "job.id"
        beyond = Piece(f"{number} {'>' if is_up else '<'} ?", (at[1],))
        by_number = f"{number} {'ASC' if is_up else 'DESC'}"
        if not self.value and self.columns:
            return self._within(at[1], is_up, size, brought)
        if not self.value:
            return self._part(f"0 AS value{brought}", self.along, (beyond,), by_number, size)
        bound = Piece(f"{self.value} {'>' if backwards else '<'} ?", (at[0],))
        by_value = f"{self.value} {'ASC' if backwards else 'DESC'}, {by_number}"
        valued = f"{self.value} AS value{brought}"
        further = self._part(valued, self.along, (bound,), by_value, size)
        if abs(at[0]) >= LARGEST:
            return further
        is_same = Piece(f"{self.value} = ?", (at[0],))
        same = self._part(valued, self.along, (is_same, beyond), by_number, size)
        return Piece(
            f"SELECT * FROM ({same.text}) AS same"
            f" UNION ALL SELECT * FROM ({further.text}) AS further LIMIT ?",
            (*same.arguments, *further.arguments, size),
        )

    def _within(self, number: int, is_up: bool, size: int, brought: str) -> Piece:
        """Go along the rows of some values, as one range of the index.

        Were they told to be equal, a planner might rather walk all jobs by their numbers: it thinks
        that those that match lie everywhere.
        """
        values = both(self.along).arguments
        columns, marks = ", ".join(self.columns), ", ".join("?" * len(self.columns))
        beyond = Piece(
            f"({columns}, job.id) {'>' if is_up else '<'} ({marks}, ?)", (*values, number)
        )
        inside = Piece(f"({columns}) {'<=' if is_up else '>='} ({marks})", values)
        way = "ASC" if is_up else "DESC"
        order = ", ".join(f"{column} {way}" for column in (*self.columns, "job.id"))
        return self._part(f"0 AS value{brought}", (), (inside, beyond), order, size)

    def _part(
        self, columns: str, along: tuple[Piece, ...], only: tuple[Piece, ...], order: str, size: int
    ) -> Piece:
        condition = both((*along, *only))
        return Piece(
            f"SELECT job.id AS id, {columns} FROM job WHERE {condition.text}"
            f" ORDER BY {order} LIMIT ?",
            (*condition.arguments, size),
        )

    def steps(self, at: Key, backwards: bool, size: int) -> Piece:
        """Return the statement for (id, value, whether it matches) of the jobs that follow a key."""
        keys = self.keys(at, backwards, size, ASKED_OF if self.aside else "")
        asked = both(self.aside)
        by_number = "ASC" if self.rises is not backwards else "DESC"
        order = f"value {'ASC' if backwards else 'DESC'}, job.id {by_number}"
        return Piece(
            f"SELECT job.id, value, CASE WHEN {asked.text} THEN 1 ELSE 0 END"
            f" FROM ({keys.text}) AS job {self._areas} ORDER BY {order}",
            (*asked.arguments, *keys.arguments),
        )

    def count(self, most: int, state: str = "job.state") -> Piece:
        """Return the statement for (state, looked at, matching) of up to `most` jobs and one.

        `state` names the only one that there is, or is the column to tell them apart by.
        """
        asked = both(self.aside)
        is_asked = bool(self.aside) or state == "job.state"
        brought = ASKED_OF if is_asked else ""
        keys = self._any(brought, most + 1) if self.sorts else self._first(brought, most + 1)
        return Piece(
            f"SELECT {state} AS state, COUNT(*) AS looked,"
            f" COUNT(CASE WHEN {asked.text} THEN 1 END) AS found"
            f" FROM ({keys.text}) AS job {self._areas}"
            f" {'GROUP BY job.state' if state == 'job.state' else ''}",
            (*asked.arguments, *keys.arguments),
        )

    def _first(self, brought: str, size: int) -> Piece:
        """Return the first jobs of the walk: without an order, a planner might read the whole table."""
        return self.keys(self.start, False, size, brought)

    def _any(self, brought: str, size: int) -> Piece:
        """Return some of the jobs, where they are not much and lie in no order."""
        condition = both(self.along)
        return Piece(
            f"SELECT job.id AS id{brought} FROM job WHERE {condition.text} LIMIT ?",
            (*condition.arguments, size),
        )

    @property
    def _areas(self) -> str:
        """The areas of the jobs, where something is asked of them."""
        is_asked = any("area." in each.text for each in self.aside)
        return "JOIN area ON area.id = job.area_id" if is_asked else ""


# What may be asked of a job by itself.
ASKED_OF = (
    ", job.state, job.area_id, job.account_id, job.resource, job.hold_reason, job.error_reason"
    ", job.error_message, job.started_at, job.finished_at"
)


def walk_of(wanted: JobFilter, narrowing: Narrowing) -> Walk:
    """Choose the way through the jobs of a filter."""
    if wanted.message and wanted.hold is None and not wanted.error:
        wanted = replace(wanted, state=wanted.state or JobState.FAILED)
    order = order_of(wanted)
    few = narrowing.ids is not None
    if order is not Order.NEWEST and (few or wanted.state is JobState.RUNNING):
        return _sorted(wanted, narrowing, "areas" if few else "state")
    if order is Order.CHANGED:
        return _by_change(wanted, narrowing)
    if order is Order.PRIORITY:
        asked = (*_all_but(wanted, narrowing), STILL_OPEN)
        open_ones = (Piece("job.finished_at IS NULL"),)
        return Walk(open_ones, asked, "job.priority", True, start=_start(rises=True))
    if order is Order.DURATION:
        ended = (Piece("job.finished_at IS NOT NULL"),)
        return Walk(ended, _all_but(wanted, narrowing), SPENT)
    return _by_number(wanted, narrowing)


SPENT = "(job.finished_at - job.started_at)"
# Compared without an index: the planner shall go along another one.
VALUES = {
    Order.CHANGED: "(job.change + 0)",
    Order.PRIORITY: "(job.priority + 0)",
    Order.DURATION: f"({SPENT} + 0)",
}
_OPEN = ", ".join(f"'{state.value}'" for state in OPEN_STATES)
STILL_OPEN = Piece(f"job.state || '' IN ({_OPEN})")


def _sorted(wanted: JobFilter, narrowing: Narrowing, name: str) -> Walk:
    """Sort the jobs of few areas, or those that crawlers have in hand."""
    order, answers = order_of(wanted), _answers(wanted, narrowing)
    rises = order is Order.PRIORITY
    asked = _all_but(wanted, narrowing, name)
    if order is Order.PRIORITY:
        asked += (STILL_OPEN,)
    if order is Order.DURATION:
        asked += (Piece(f"{SPENT} IS NOT NULL"),)
    return Walk((answers[name][0],), asked, VALUES[order], rises, sorts=True, start=_start(rises))


def _start(rises: bool) -> Key:
    return (LARGEST, 0 if rises else LARGEST)


def _by_change(wanted: JobFilter, narrowing: Narrowing) -> Walk:
    state = implied_state(wanted)
    along: tuple[Piece, ...] = ()
    if state is JobState.FAILED:
        along = (Piece("job.error_reason IS NOT NULL"),)
    elif state is JobState.HELD:
        along = (Piece("job.hold_reason IS NOT NULL"),)
    return Walk(along, _all_but(wanted, narrowing), "job.change")


def _by_number(wanted: JobFilter, narrowing: Narrowing) -> Walk:
    """Go along the index that leaves the fewest jobs to be asked."""
    given = _answers(wanted, narrowing)
    for names in (("areas",), ("error",), ("hold",), ("account",), ("resource", "state")):
        found = [name for name in names if name in given]
        if found:
            along = tuple(given[name][0] for name in found)
            asked = _all_but(wanted, narrowing, *found)
            if "areas" in found:
                return Walk(along, asked, sorts=True)
            return Walk(along, asked, columns=tuple(COLUMNS[name] for name in found))
    return Walk((), _all_but(wanted, narrowing))


COLUMNS = {
    "error": "job.error_reason",
    "hold": "job.hold_reason",
    "account": "job.account_id",
    "resource": "job.resource",
    "state": "job.state",
}


def _answers(wanted: JobFilter, narrowing: Narrowing) -> dict[str, tuple[Piece, Piece]]:
    """Return for each part of a filter its condition along an index, and the same aside."""
    found: dict[str, tuple[Piece, Piece]] = {}
    if narrowing.ids is not None:
        marks = ", ".join("?" * len(narrowing.ids)) or "NULL"
        few = Piece(f"job.area_id IN ({marks})", narrowing.ids)
        found["areas"] = (few, few)
    if wanted.error:
        found["error"] = _is("error_reason", wanted.error)
    if wanted.hold is not None:
        found["hold"] = _is("hold_reason", wanted.hold.value)
    if wanted.account is not None:
        given = (wanted.account,)
        found["account"] = (
            Piece("job.account_id = ?", given),
            Piece("job.account_id + 0 = ?", given),
        )
    if wanted.resource:
        found["resource"] = _is("resource", wanted.resource)
    if wanted.state is not None:
        found["state"] = _is("state", wanted.state.value)
    return found


def _is(column: str, value: str) -> tuple[Piece, Piece]:
    return Piece(f"job.{column} = ?", (value,)), Piece(f"job.{column} || '' = ?", (value,))


def _all_but(wanted: JobFilter, narrowing: Narrowing, *names: str) -> tuple[Piece, ...]:
    """Return what is asked of each job on the way: all that the index does not answer."""
    answers = _answers(wanted, narrowing)
    asked = [each[1] for name, each in answers.items() if name not in names]
    if wanted.message:
        asked.append(Piece(SAYS, (meant_by(wanted.message),)))
    return (*asked, *([] if narrowing.condition is None else [narrowing.condition]))
