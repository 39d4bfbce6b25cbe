"""The audit log as a list: newest first, by number; a search looks at so many rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from labtrawl.store.audit import AuditRow, head, row_of
from labtrawl.store.pages.keyset import Place
from labtrawl.store.schema import audit

PAGE = 50
# Rows that one page looks at for those that match; what lies beyond is the next page's.
SEARCHED = 20_000
# Rows that a download reads at once.
BLOCK = 1000


class Outcome(StrEnum):
    """How it ended, in one word."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the viewer wants: parts of texts in any case, and instants in ms; empty wants all."""

    who: str = ""
    action: str = ""
    outcome: Outcome | None = None
    since: int | None = None
    until: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it wants every row."""
        return self == AuditFilter()


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Rows, newest first. `searched_to` is the oldest number that was looked at for them."""

    rows: Sequence[AuditRow]
    newest: int
    searched_to: int
    previous: int | None
    """The number to go back from, where there may be newer rows that match."""
    next: int | None


COLUMNS: tuple[ColumnElement[Any], ...] = (
    audit.c.id,
    audit.c.at,
    audit.c.tier,
    audit.c.client,
    audit.c.level,
    audit.c.action,
    audit.c.target,
    audit.c.outcome,
    audit.c.detail,
    audit.c.mac,
)
# A status of HTTP from 400 on, or what says so in words.
REFUSED = or_(
    and_(func.length(audit.c.outcome) == 3, audit.c.outcome >= "400", audit.c.outcome < "600"),
    audit.c.outcome.startswith("refused"),
)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.who:
        found.append(audit.c.client.contains(wanted.who, autoescape=True))
    if wanted.action:
        found.append(
            or_(
                audit.c.action.contains(wanted.action, autoescape=True),
                audit.c.target.contains(wanted.action, autoescape=True),
            )
        )
    if wanted.outcome is not None:
        found.append(REFUSED if wanted.outcome is Outcome.REFUSED else ~REFUSED)
    if wanted.since is not None:
        found.append(audit.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(audit.c.at <= wanted.until)
    return found


def _range(connection: Connection, wanted: AuditFilter, newest: int) -> tuple[int, int]:
    """Return the first and the last number that can match; numbers grow with the clock."""
    first, last = 1, newest
    if wanted.since is not None:
        query = select(audit.c.id).where(audit.c.at >= wanted.since)
        first = connection.execute(query.order_by(audit.c.at).limit(1)).scalar() or newest + 1
    if wanted.until is not None:
        query = select(audit.c.id).where(audit.c.at <= wanted.until)
        last = connection.execute(query.order_by(audit.c.at.desc()).limit(1)).scalar() or 0
    return first, last


def list_rows(connection: Connection, wanted: AuditFilter, place: Place[int]) -> AuditPage:
    """Return a page of the rows that are wanted; it looks at `SEARCHED` rows at most."""
    newest = head(connection).id
    first, last = _range(connection, wanted, newest)
    if place.before is not None:
        return _page_before(connection, wanted, place.before, (last, newest))
    top = last if place.after is None else min(place.after - 1, last)
    low = max(first, top - SEARCHED + 1)
    rows = _rows(connection, wanted, low, top, is_backward=False)
    shown = rows[:PAGE]
    has_more = len(rows) > PAGE
    searched_to = shown[-1].id if has_more else low
    goes_on = has_more or low > first
    return AuditPage(
        shown,
        newest,
        searched_to,
        previous=(shown[0].id if shown else top) if top < last else None,
        next=searched_to if goes_on else None,
    )


def _page_before(
    connection: Connection, wanted: AuditFilter, before: int, ends: tuple[int, int]
) -> AuditPage:
    """Return the page of the rows right above a number."""
    last, newest = ends
    top = min(before + SEARCHED, last)
    rows = _rows(connection, wanted, before + 1, top, is_backward=True)
    shown = rows[:PAGE]
    has_more = len(rows) > PAGE
    above = shown[-1].id if has_more else top
    return AuditPage(
        shown[::-1],
        newest,
        before + 1,
        previous=above if has_more or top < last else None,
        next=before + 1,
    )


def _rows(
    connection: Connection, wanted: AuditFilter, low: int, top: int, *, is_backward: bool
) -> list[AuditRow]:
    order = audit.c.id if is_backward else audit.c.id.desc()
    return _read(connection, _within(wanted, low, top).order_by(order).limit(PAGE + 1))


def _within(wanted: AuditFilter, low: int, top: int) -> Select[Any]:
    return select(*COLUMNS).where(audit.c.id.between(low, top), *_conditions(wanted))


def _read(connection: Connection, query: Select[Any]) -> list[AuditRow]:
    return [row_of(row) for row in connection.execute(query).all()]


def block_after(
    connection: Connection, wanted: AuditFilter, after: int
) -> tuple[list[AuditRow], int | None]:
    """Return what is wanted of the rows after a number, oldest first, and the number to go on from.

    That is None at the end.
    """
    newest = head(connection).id
    first, last = _range(connection, wanted, newest)
    low = max(first, after + 1)
    top = min(low + BLOCK - 1, last)
    rows = _read(connection, _within(wanted, low, top).order_by(audit.c.id))
    return rows, top if top < last else None
