"""Where the records lie that somebody may see: lists in a fixed order, and their segments.

For the pages that show records, and for the archive. An account sees those lists of its areas that
nobody with more rights read; without an account (operators) it is every list of one area.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, cast, exists, func, or_, select

from labtrawl.errors import Missing
from labtrawl.store.pages.mine import is_shown, lists_of, seen
from labtrawl.store.schema import area, instance, ledger, segment

AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose records, or everybody's; narrowed to an area and to a resource ("" for all)."""

    account_id: int | None
    area_id: int | None = None
    resource: str = ""


@dataclass(frozen=True, slots=True)
class ListKey:
    """The place of a list in the order of the lists: areas as they were discovered."""

    area_id: int
    resource: str


@dataclass(frozen=True, slots=True)
class ListRow:
    """A list with records; instance, kind and GitLab's number are what its area is known by."""

    area_id: int
    instance_id: int
    kind: str
    gitlab_id: int
    full_path: str
    name: str
    instance_name: str
    resource: str

    @property
    def key(self) -> ListKey:
        """Where it stands."""
        return ListKey(self.area_id, self.resource)


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment of a list; number and fence together name one content, for ever."""

    of: ListRow
    id: int
    fence: int
    name: str
    length: int
    sha256: str
    records: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of one resource: lists, and lines in them."""

    resource: str
    lists: int
    lines: int


LIST = (
    area.c.id,
    area.c.instance_id,
    area.c.kind,
    area.c.gitlab_id,
    area.c.full_path,
    area.c.name,
    instance.c.name,
    ledger.c.resource,
)
PIECE = (
    segment.c.id,
    segment.c.fence,
    segment.c.name,
    segment.c.length,
    segment.c.sha256,
    segment.c.records,
)
SAME = and_(segment.c.area_id == ledger.c.area_id, segment.c.resource == ledger.c.resource)


@dataclass(frozen=True, slots=True)
class _Lists:
    """The lists within reach: where they are joined from, what holds of them, and their order."""

    home: Any
    conditions: tuple[Any, ...]
    place: Any


def _within(reach: Reach) -> _Lists:
    conditions: list[Any] = []
    home: Any = ledger
    place: Any = ledger.c.area_id
    if reach.account_id is not None:
        mine = seen(reach.account_id)
        home, place = lists_of(mine), mine.c.area_id
        conditions.append(is_shown(mine, reach.account_id))
    if reach.area_id is not None:
        conditions.append(place == reach.area_id)
    if reach.resource:
        conditions.append(ledger.c.resource == reach.resource)
    return _Lists(home, tuple(conditions), place)


def lists(
    connection: Connection,
    reach: Reach,
    since: ListKey | None = None,
    *,
    backwards: bool = False,
    limit: int = AT_ONCE,
) -> list[ListRow]:
    """Return lists with records from `since` on, or from it back; it is one of them."""
    within = _within(reach)
    place = within.place
    home = within.home.join(area, area.c.id == ledger.c.area_id)
    home = home.join(instance, instance.c.id == area.c.instance_id)
    query = select(*LIST).select_from(home).where(*within.conditions, exists().where(SAME))
    query = query.limit(limit)
    if since is not None:
        own = ledger.c.resource
        inside = own <= since.resource if backwards else own >= since.resource
        beyond = place < since.area_id if backwards else place > since.area_id
        # The first bound is what the index is searched by.
        first = place <= since.area_id if backwards else place >= since.area_id
        query = query.where(first, or_(beyond, inside))
    order = (place, ledger.c.resource)
    query = query.order_by(*(each.desc() for each in order) if backwards else order)
    return [ListRow(*row) for row in connection.execute(query).all()]


def path_of(connection: Connection, reach: Reach) -> str:
    """Return the path of the area within reach, "" for all; Missing where there is no such area."""
    if reach.area_id is None:
        return ""
    query = select(func.coalesce(func.nullif(area.c.full_path, ""), area.c.name))
    query = query.where(area.c.id == reach.area_id)
    if reach.account_id is not None:
        mine = seen(reach.account_id)
        query = query.where(exists().where(mine.c.area_id == area.c.id))
    found = connection.execute(query).scalar()
    if found is None:
        raise Missing(f"There is no area {reach.area_id}.")
    return str(found)


def pieces(connection: Connection, of: ListRow, since: int = 0) -> list[Piece]:
    """Return the segments of a list from a number on, in the order of their commit."""
    query = select(*PIECE).where(
        segment.c.area_id == of.area_id, segment.c.resource == of.resource, segment.c.id >= since
    )
    rows = connection.execute(query.order_by(segment.c.id)).all()
    return [Piece(of, *row) for row in rows]


def walk(
    connection: Connection, reach: Reach, since: ListKey | None, number: int
) -> Iterator[Piece]:
    """Yield all segments within reach from segment `number` of the list `since` on."""
    for one in _lists(connection, reach, since, backwards=False):
        yield from pieces(connection, one, number if one.key == since else 0)


def walk_back(connection: Connection, reach: Reach, until: ListKey, number: int) -> Iterator[Piece]:
    """Yield all segments within reach back from segment `number` of the list `until`, with it."""
    for one in _lists(connection, reach, until, backwards=True):
        for piece in reversed(pieces(connection, one)):
            if one.key != until or piece.id <= number:
                yield piece


def _lists(
    connection: Connection, reach: Reach, since: ListKey | None, *, backwards: bool
) -> Iterator[ListRow]:
    """Yield all lists from `since` on, or back; few at a time, for mostly the first is enough."""
    limit, last = 2, None
    while True:
        found = lists(connection, reach, since, backwards=backwards, limit=limit)
        yield from (one for one in found if one.key != last)
        if len(found) < limit:
            return
        since = last = found[-1].key
        limit = AT_ONCE


def stored(connection: Connection, reach: Reach) -> list[Stored]:
    """Return what is stored within reach, by resource."""
    within = _within(reach)
    lines = cast(func.coalesce(func.sum(segment.c.records), 0), BigInteger)
    query = select(ledger.c.resource, func.count(ledger.c.area_id.distinct()), lines)
    query = query.select_from(within.home.join(segment, SAME)).where(*within.conditions)
    rows = connection.execute(query.group_by(ledger.c.resource).order_by(ledger.c.resource)).all()
    return [Stored(*row) for row in rows]
