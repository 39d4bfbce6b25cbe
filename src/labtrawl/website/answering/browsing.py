"""Records for the pages: a place in an address, a page of records, one of them, in plain words."""

import asyncio
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from labtrawl.clock import Clock
from labtrawl.dataset.browse import Found, Search, Sight, Spot, record_at, sieve, superseded
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.policy import Record
from labtrawl.errors import CorruptSegment, Missing
from labtrawl.store.engine import Connection
from labtrawl.store.pages.records import (
    ListKey,
    Piece,
    Reach,
    Stored,
    lists,
    path_of,
    pieces,
    stored,
    walk,
    walk_back,
)
from labtrawl.website.given.site import Site

PAGE = 50
# Looking for a text takes as long as this at most; the page then says how far it looked.
SEARCH_SECONDS = 0.5
# In a list of no more lines, and bytes on the disk, it is found out which lines are older versions.
FEW_LINES = 5_000
FEW_BYTES = 2 << 20
# So many look at once: it is work for a processor, and the other pages need theirs.
AT_ONCE = 2
SUMMARY = 160
LONGEST = 1_000_000
PLACE = r"([0-9]{1,18})-([a-z0-9_]{1,64})-([0-9]{1,18})\.([0-9]{1,9})\.([0-9]{1,15})\.([0-9]{1,9})"
_PLACE = re.compile(PLACE)
# By the first of these fields that it has a record is called in a list; where a study keeps none of
# them, by these others.
CALLED = (
    *("title", "name", "username", "ref", "short_id", "action_name", "key", "path", "body"),
    *("tag_name", "sha"),
)
ELSE_CALLED = ("iid", "state", "status", "action", "created_at")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: the list, the segment with its fence, and the spot in there."""

    key: ListKey
    piece_id: int
    fence: int
    spot: Spot

    @classmethod
    def read(cls, text: str) -> "Place":
        """Return the place that a text names; Missing where it names none."""
        match = _PLACE.fullmatch(text)
        if match is None:
            raise Missing("There is no such place.")
        area_id, resource, *numbers = match.groups()
        piece_id, fence, frame, line = map(int, numbers)
        return cls(ListKey(int(area_id), resource), piece_id, fence, Spot(frame, line))

    @classmethod
    def of(cls, piece: Piece, spot: Spot) -> "Place":
        """Return the place of a spot in a segment."""
        return cls(piece.of.key, piece.id, piece.fence, spot)

    def __str__(self) -> str:
        numbers = (self.piece_id, self.fence, self.spot.frame, self.spot.line)
        return f"{self.key.area_id}-{self.key.resource}-{'.'.join(map(str, numbers))}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a viewer asked for; "" for all. `versions` is newest or all."""

    area: int | None = None
    resource: str = ""
    kind: str = ""
    state: str = ""
    text: str = ""
    versions: str = ""


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record as a line of a list; `is_older` where it is known that a newer one replaces it."""

    place: str
    area_id: int
    full_path: str
    resource: str
    called: str
    is_older: bool | None
    record: Record

    @property
    def fetched(self) -> datetime:
        """When it was read from GitLab."""
        return datetime.fromisoformat(self.record.fetched_at)


@dataclass(frozen=True, slots=True)
class RecordsTold:
    """A page of records. `previous` and `next` are places; `is_cut` says that time was up.

    `searched` are the lines that were looked at for it, `stored` all there are by resource.
    `knows_versions` says whether older versions are told from the newest.
    """

    rows: Sequence[RecordRow]
    previous: str | None
    next: str | None
    searched: int
    is_cut: bool
    stored: Sequence[Stored]
    knows_versions: bool
    problems: Sequence[str]
    area_path: str


class Browsing:
    """Reads records for the pages, a few at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._root = dataset_root(site.data_dir)
        self._seats = asyncio.Semaphore(AT_ONCE)
        # One look of each account at a time: whoever asks for many does not keep the others waiting.
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def page(
        self, reach: Reach, wanted: Wanted, since: Place | None, until: Place | None
    ) -> RecordsTold:
        """Return a page of what is within reach: from `since` on, or what is before `until`."""
        looking = _Looking(self._root, self._site.clock, reach, wanted)
        turn = self._turns.setdefault(reach.account_id or 0, asyncio.Lock())
        async with turn, self._seats:
            return await self._site.store.read(lambda c: looking.page(c, since, until))

    async def one(self, reach: Reach, place: Place) -> tuple[RecordRow, bytes]:
        """Return one record and its line; Missing where it is not within reach, or not any more."""
        return await self._site.store.read(lambda c: _one(c, self._root, reach, place))


@dataclass(frozen=True, slots=True)
class _Looking:
    root: Path
    clock: Clock
    reach: Reach
    wanted: Wanted

    def page(self, connection: Connection, since: Place | None, until: Place | None) -> RecordsTold:
        path = path_of(connection, self.reach)
        kept = stored(connection, replace(self.reach, resource=""))
        older = self._older(connection)
        search = self._search(older)
        if until is not None:
            around = _back(connection, self.reach, search, until)
        else:
            around = _forth(connection, self.reach, search, since)
        return self._told(around, kept, older, path)

    def _search(self, older: set[tuple[str, Spot]] | None) -> Search:
        wanted, monotonic = self.wanted, self.clock.monotonic
        over = monotonic() + SEARCH_SECONDS
        hidden = older if older and wanted.versions == "newest" else set()
        takes = sieve(wanted.kind, wanted.state, wanted.text)
        return Search(self.root, takes, PAGE, lambda: monotonic() > over, hidden)

    def _older(self, connection: Connection) -> set[tuple[str, Spot]] | None:
        """Return the lines that newer ones replace; None where that is too much to look through."""
        reach = self.reach
        if reach.area_id is None or not reach.resource:
            return None
        found = list(walk(connection, reach, None, 0))
        lines, size = sum(one.records for one in found), sum(one.length for one in found)
        if lines > FEW_LINES or size > FEW_BYTES:
            return None
        try:
            return superseded(self.root, found)
        except (CorruptSegment, msgspec.MsgspecError, RecursionError):
            return None  # the page tells which file it is

    def _told(
        self,
        around: "_Around",
        kept: Sequence[Stored],
        older: set[tuple[str, Spot]] | None,
        path: str,
    ) -> RecordsTold:
        sight, previous, following = around
        return RecordsTold(
            rows=[_row(each, older) for each in sight.found],
            previous=str(previous) if previous else None,
            next=str(following) if following else None,
            searched=sight.searched,
            is_cut=sight.is_cut,
            stored=kept,
            knows_versions=older is not None,
            problems=sight.problems,
            area_path=path,
        )


_Around = tuple[Sight[Piece], Place | None, Place | None]


def _forth(connection: Connection, reach: Reach, search: Search, since: Place | None) -> _Around:
    key, number = (since.key, since.piece_id) if since else (None, 0)
    waiting = iter(walk(connection, reach, key, number))
    first = next(waiting, None)
    if first is None:
        return Sight(), None, None
    spot = _spot(first, since)
    sight = search.forth(_chain(first, waiting), spot)
    previous = Place.of(first, spot) if since else None
    return sight, previous, Place.of(*sight.goes_on) if sight.goes_on else None


def _back(connection: Connection, reach: Reach, search: Search, until: Place) -> _Around:
    waiting = iter(walk_back(connection, reach, until.key, until.piece_id))
    first = next(waiting, None)
    if first is None:
        return Sight(), None, until
    is_same = (first.of.key, first.id, first.fence) == (until.key, until.piece_id, until.fence)
    spot = until.spot if is_same else Spot(first.length)
    sight = search.back(_chain(first, waiting), spot)
    at = Place.of(sight.found[0].piece, sight.found[0].spot) if sight.found else until
    if sight.is_cut and sight.goes_on:
        at = Place.of(*sight.goes_on)
    return sight, at if sight.goes_on else None, until


def _spot(first: Piece, since: Place | None) -> Spot:
    """Return where to begin: files that were put together meanwhile are read from their beginning."""
    if since is None or (first.id, first.fence) != (since.piece_id, since.fence):
        return Spot()
    return since.spot


def _chain(first: Piece, others: Iterable[Piece]) -> Iterable[Piece]:
    yield first
    yield from others


def _one(connection: Connection, root: Path, reach: Reach, place: Place) -> tuple[RecordRow, bytes]:
    of = next(iter(lists(connection, reach, place.key, limit=1)), None)
    if of is None or of.key != place.key:
        raise Missing("There is no such record.")
    for piece in pieces(connection, of, place.piece_id)[:1]:
        if (piece.id, piece.fence) == (place.piece_id, place.fence):
            try:
                record, line = record_at(root, piece, place.spot)
            except CorruptSegment as error:
                raise Missing(f"This record cannot be read: {error}.") from error
            return _row(Found(piece, place.spot, record), None), line
    raise Missing("Its file was put together with others meanwhile: look it up in the list again.")


def _row(found: Found[Piece], older: set[tuple[str, Spot]] | None) -> RecordRow:
    piece, record = found.piece, found.record
    return RecordRow(
        place=str(Place.of(piece, found.spot)),
        area_id=piece.of.area_id,
        full_path=piece.of.full_path or piece.of.name,
        resource=piece.of.resource,
        called=_called(record),
        is_older=None if older is None else (piece.name, found.spot) in older,
        record=record,
    )


def _called(record: Record) -> str:
    """Return a few words that tell a record from others."""
    try:
        body = msgspec.json.decode(record.body)
    except RecursionError:  # nested as deep as the gate lets pass
        return ""
    found = [text for name in CALLED if (text := _text(body.get(name)))][:1]
    found = found or [f"{name} {text}" for name in ELSE_CALLED if (text := _text(body.get(name)))]
    text = ", ".join(found)
    return text if len(text) <= SUMMARY else f"{text[:SUMMARY]}…"


def _text(value: object) -> str:
    return " ".join(str(value)[:LONGEST].split()) if isinstance(value, str | int) else ""


def pretty(body: bytes | msgspec.Raw) -> str:
    """Write JSON for people, over many lines; what would not be seen, or turn letters round, is escaped.

    At most a million letters of it: no page shows more.
    """
    try:
        text = json.dumps(json.loads(bytes(body)), ensure_ascii=False, indent=2)
    except RecursionError:  # nested as deep as the gate lets pass
        text = bytes(body).decode("utf-8", "replace")
    shown = "".join(map(_shown, text[:LONGEST]))
    return shown if len(text) <= LONGEST else f"{shown}\n… ({len(text) - LONGEST:,} more letters)"


def _shown(letter: str) -> str:
    if letter == "\n" or unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return letter
    return json.dumps(letter)[1:-1]
