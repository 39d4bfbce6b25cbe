"""Looking into the dataset a page at a time: any page costs the same, however deep it lies.

For the website. A sink writes whole frames of whole lines (`sink`, `merge`), so a place is the byte
at which a frame begins and the number of a line in it: what comes before is not read. The hash of a
file is not compared here, for that reads all of it; each frame has a checksum, which is.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
import zstandard

from labtrawl.dataset.layout import segment_path
from labtrawl.dataset.policy import Record, parse_line
from labtrawl.errors import CorruptSegment

_CHUNK: Final = 1 << 17
# Characters that stand in JSON as they are, so that a text can be looked for before it is parsed.
_PLAIN: Final = frozenset(map(chr, range(32, 127))) - frozenset("\"\\<>&/'")
# What a line raises that is no record.
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError)


class Piece(Protocol):
    """A segment, as the manifest has it."""

    @property
    def name(self) -> str: ...
    @property
    def length(self) -> int: ...


P = TypeVar("P", bound=Piece)
Takes = Callable[[bytes], Record | None]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a line stands: the byte at which its frame begins, and its number in there, from 0."""

    frame: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """The lines of a frame, and the bytes at which it begins and ends."""

    begin: int
    end: int
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Found(Generic[P]):
    """A record and where it stands."""

    piece: P
    spot: Spot
    record: Record


@dataclass(slots=True)
class Sight(Generic[P]):
    """One page. `goes_on` is the place of what comes next, or how far was looked when time was up.

    `searched` counts the lines that were looked at, `problems` say which files could not be read.
    """

    found: list[Found[P]] = field(default_factory=list)
    goes_on: tuple[P, Spot] | None = None
    searched: int = 0
    is_cut: bool = False
    problems: list[str] = field(default_factory=list)


def frames(root: Path, row: Piece, since: int = 0) -> Iterator[Frame]:
    """Yield the frames of a segment from the one that begins at byte `since`.

    Raises CorruptSegment where the file has another length than its row, or no frame begins there.
    """
    try:
        with segment_path(root, row.name).open("rb") as file:
            length = file.seek(0, 2)
            if length != row.length:
                raise CorruptSegment(f"{row.name} has {length} bytes; {row.length} were committed")
            file.seek(min(since, length))
            yield from _frames(lambda: file.read(_CHUNK), since)
    except FileNotFoundError as error:
        raise CorruptSegment(f"{row.name} is missing") from error
    except OSError as error:
        raise CorruptSegment(f"{row.name} cannot be read: {error.strerror}") from error
    except zstandard.ZstdError as error:
        raise CorruptSegment(f"{row.name} holds no records at byte {since}: {error}") from error


def _frames(read: Callable[[], bytes], begin: int) -> Iterator[Frame]:
    unpacker, waiting = zstandard.ZstdDecompressor(), read()
    while waiting:
        text, taken, waiting = _frame(unpacker, waiting, read)
        yield Frame(begin, begin + taken, text.removesuffix(b"\n").split(b"\n") if text else [])
        waiting, begin = waiting or read(), begin + taken


def _frame(
    unpacker: zstandard.ZstdDecompressor, waiting: bytes, read: Callable[[], bytes]
) -> tuple[bytes, int, bytes]:
    """Unpack one frame; return its text, how many bytes it took, and what was read beyond it."""
    frame, taken, parts = unpacker.decompressobj(), 0, []
    while True:
        parts.append(frame.decompress(waiting))
        taken += len(waiting)
        if frame.eof:
            return b"".join(parts), taken - len(frame.unused_data), frame.unused_data
        waiting = read()
        if not waiting:
            raise zstandard.ZstdError("it ends in the middle")


def record_at(root: Path, row: Piece, spot: Spot) -> tuple[Record, bytes]:
    """Return a record, and its line as it stands in its file.

    Raises CorruptSegment where there is no line, or one that is no record.
    """
    frame = next(frames(root, row, spot.frame), None)
    if frame is None or spot.line >= len(frame.lines):
        raise CorruptSegment(f"{row.name} has no line {spot.line} at byte {spot.frame}")
    line = frame.lines[spot.line]
    try:
        return parse_line(line), line
    except _UNREADABLE as error:
        raise CorruptSegment(_told(row, error)) from error


@dataclass(frozen=True, slots=True)
class Search:
    """How to look: for what `takes`, a page of `size`, until `is_over`, without what is `hidden`.

    What is hidden is told by the name of its piece and its spot.
    """

    root: Path
    takes: Takes
    size: int
    is_over: Callable[[], bool]
    hidden: Set[tuple[str, Spot]] = frozenset()

    def forth(self, pieces: Iterable[P], since: Spot) -> Sight[P]:
        """Return the next records from `since` on in the first piece, then those that follow.

        Once it is over it ends after the frame at hand. What cannot be read is left out and told.
        """
        sight: Sight[P] = Sight()
        for piece in pieces:
            try:
                if self._look_in(piece, since, sight):
                    break
            except (CorruptSegment, *_UNREADABLE) as error:
                sight.problems.append(_told(piece, error))
            since = Spot()
        return sight

    def _look_in(self, piece: P, since: Spot, sight: Sight[P]) -> bool:
        """Look in one piece; say whether that is enough."""
        for frame in frames(self.root, piece, since.frame):
            first = since.line if frame.begin == since.frame else 0
            for number in range(first, len(frame.lines)):
                found = self._found(piece, frame, number)
                if found is not None and len(sight.found) == self.size:
                    sight.goes_on = (piece, found.spot)
                    return True
                sight.searched += 1
                if found is not None:
                    sight.found.append(found)
            if self.is_over():
                sight.goes_on, sight.is_cut = (piece, Spot(frame.end)), True
                return True
        return False

    def back(self, pieces: Iterable[P], until: Spot) -> Sight[P]:
        """Do as `forth`, with the records before `until`; the pieces come backwards.

        A piece is looked through to `until` or to its end before it is over: that is 8 MiB or so.
        """
        sight: Sight[P] = Sight()
        before: Spot | None = until
        for piece in pieces:
            try:
                sight.found[:0] = self._look_before(piece, before, sight)
            except (CorruptSegment, *_UNREADABLE) as error:
                sight.problems.append(_told(piece, error))
            if len(sight.found) > self.size:
                first, sight.found = sight.found[0], sight.found[1:]
                sight.goes_on = (first.piece, first.spot)
                break
            before = None
            if self.is_over():
                sight.goes_on, sight.is_cut = (piece, Spot()), True
                break
        return sight

    def _look_before(self, piece: P, until: Spot | None, sight: Sight[P]) -> list[Found[P]]:
        kept: deque[Found[P]] = deque(maxlen=self.size + 1 - len(sight.found))
        for frame in frames(self.root, piece):
            last = len(frame.lines)
            if until is not None and frame.begin >= until.frame:
                last = min(until.line, last) if frame.begin == until.frame else 0
            for number in range(last):
                sight.searched += 1
                if (found := self._found(piece, frame, number)) is not None:
                    kept.append(found)
            if last < len(frame.lines):
                break
        return list(kept)

    def _found(self, piece: P, frame: Frame, number: int) -> Found[P] | None:
        if (record := self.takes(frame.lines[number])) is None:
            return None
        spot = Spot(frame.begin, number)
        return None if (piece.name, spot) in self.hidden else Found(piece, spot, record)


def _told(piece: Piece, error: Exception) -> str:
    if isinstance(error, CorruptSegment):
        return str(error)
    return f"{piece.name} holds something else than records: {error}"


def sieve(kind: str = "", state: str = "", text: str = "") -> Takes:
    """Return what takes the record of a line that is of this kind and state and holds this text.

    The text is looked for in the values, at any depth, whether in small letters or large.
    """
    wanted = text.lower()
    plain = wanted.encode() if wanted and _PLAIN.issuperset(wanted) else b""

    def takes(line: bytes) -> Record | None:
        if plain and plain not in line.lower() and b"\\u" not in line:
            return None
        record = parse_line(line)
        if (kind and record.kind != kind) or (state and record.state != state):
            return None
        if wanted and not _holds(record, wanted):
            return None
        return record

    return takes


def _holds(record: Record, wanted: str) -> bool:
    waiting: list[Any] = [record.id, msgspec.json.decode(record.body)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif each is not None and wanted in str(each).lower():
            return True
    return False


class _Named(msgspec.Struct, frozen=True, gc=False):
    id: int | str
    kind: str


_NAMED: Final = msgspec.json.Decoder(_Named)


def superseded(root: Path, pieces: Iterable[P]) -> set[tuple[str, Spot]]:
    """Return (name, spot) of each line of a list that a newer line of the same object replaces.

    `pieces` come in the order of their commit. It reads the whole list, and memory holds an entry for
    each object. Raises CorruptSegment.
    """
    newest: dict[tuple[str, int | str], tuple[str, Spot]] = {}
    older: set[tuple[str, Spot]] = set()
    for piece in pieces:
        for frame in frames(root, piece):
            for number, line in enumerate(frame.lines):
                one = _NAMED.decode(line)
                known = newest.get((one.kind, one.id))
                if known is not None:
                    older.add(known)
                newest[one.kind, one.id] = piece.name, Spot(frame.begin, number)
    return older
