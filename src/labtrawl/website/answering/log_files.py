"""The logs that the supervisor keeps, read for the website: newest first, filtered, read on.

A program writes JSON lines into NAME.log, which moves aside to NAME.log.1 … when it is full (see
`supervisor.output`). Each line is masked once more on its way out. Plain reading: call it in a thread.
"""

import heapq
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from labtrawl import logs

MOST_LINES = 500
# So far back a search goes; the download has no such end.
SEARCHED_BYTES = 8 * 1024 * 1024
# What is read on at once; the rest comes with the next round.
READ_ON_BYTES = 256 * 1024
KEPT_FILES = 5
LEVELS = ("debug", "info", "warning", "error", "critical")
PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

_BLOCK = 64 * 1024
_EVENT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
# Such a value is another word in JSON, or stands there only once it is masked.
_WRITTEN_OTHERWISE = frozenset({"none", "secret"})
_HEAD = frozenset({"timestamp", "level", "logger", "event"})


class _Stamp(msgspec.Struct):
    timestamp: str = ""


_STAMP: msgspec.json.Decoder[_Stamp] = msgspec.json.Decoder(_Stamp)


class LogLine(msgspec.Struct, frozen=True):
    """One line; `at` is ISO 8601, UTC. Nothing in it steers a terminal or a page."""

    at: str
    program: str
    level: str
    words: str
    job: int | None = None


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What the viewer wants; empty wants all. `level` is the lowest that is shown."""

    program: str = ""
    level: str = ""
    text: str = ""
    job: int | None = None

    def takes(self, line: LogLine) -> bool:
        """Say whether a line is wanted."""
        if self.level and _weight(line.level) < _weight(self.level):
            return False
        if self.job is not None and line.job != self.job:
            return False
        return not self.text or self.text.casefold() in line.words.casefold()

    def needles(self) -> list[tuple[bytes, ...]]:
        """Return what must stand in the bytes of a line that is wanted: one of each, in lower case.

        Most lines of a search are left out by this, unread.
        """
        found: list[tuple[bytes, ...]] = []
        if self.level and _weight(self.level) > _weight(""):
            found.append(tuple(f'"{each}"'.encode() for each in LEVELS[LEVELS.index(self.level) :]))
        if self.job is not None:
            found += [(b'"job"',), (str(self.job).encode(),)]
        words = (word for word in re.findall(r"[a-z0-9_]+", self.text.lower(), re.ASCII))
        return found + [(word.encode(),) for word in words if word not in _WRITTEN_OTHERWISE]


def _weight(level: str) -> int:
    """How grave a level is; what is unknown counts as information."""
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("info")


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest lines, the newest first; `place` is where `read_on` goes on.

    `since` is the oldest instant that was looked at, where older lines were not.
    """

    lines: Sequence[LogLine]
    place: str
    since: str = ""


def programs(folder: Path) -> list[str]:
    """Return the programs that logged something."""
    names = {path.name.split(".log")[0] for path in folder.glob("*.log*")}
    return sorted(name for name in names if PROGRAM.fullmatch(name))


def tail(folder: Path, wanted: LogFilter, most: int = MOST_LINES) -> Tail:
    """Return up to `most` of the newest lines that are wanted."""
    found: list[LogLine] = []
    places, ends = {}, []
    for name in _chosen(folder, wanted):
        files = _files(folder, name)
        places[name] = _end_of(files)
        lines, end = _newest(files, name, wanted, most)
        found += lines
        ends.append(end)
    found.sort(key=lambda line: line.at, reverse=True)
    shown = found[:most]
    since = max(ends, default="")
    return Tail(shown, _place(places), since if len(shown) < most else "")


def read_on(folder: Path, wanted: LogFilter, place: str) -> Tail:
    """Return what was written since `place` and is wanted, the newest first."""
    found: list[LogLine] = []
    places = _places(place)
    for name in _chosen(folder, wanted):
        lines, places[name] = _since(_files(folder, name), name, places.get(name, (0, 0)))
        found += [line for line in lines if wanted.takes(line)]
    found.sort(key=lambda line: line.at, reverse=True)
    return Tail(found[:MOST_LINES], _place(places))


def whole(folder: Path, wanted: LogFilter) -> Iterator[bytes]:
    """Yield every kept line that is wanted, JSON as it was written, the oldest first; in parts."""
    streams = (_forwards(_files(folder, name), name, wanted) for name in _chosen(folder, wanted))
    part = bytearray()
    for _at, raw in heapq.merge(*streams, key=itemgetter(0)):
        part += logs.mask(raw.decode("utf-8", "backslashreplace")).encode() + b"\n"
        if len(part) >= _BLOCK:
            yield bytes(part)
            part.clear()
    yield bytes(part)


def line_of(program: str, raw: bytes) -> LogLine:
    """Read a line as it is kept; what is no event is shown as it is."""
    text = logs.mask(raw.decode("utf-8", "backslashreplace"))
    try:
        event: Mapping[str, Any] = _EVENT.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return LogLine("", program, "info", logs.escape(text))
    job = str(event.get("job", ""))
    return LogLine(
        at=logs.escape(str(event.get("timestamp", "")))[:32],
        program=program,
        level=logs.escape(str(event.get("level", "info")))[:16],
        words=_words(event),
        job=int(job) if job.isascii() and job.isdecimal() and len(job) <= 18 else None,
    )


def _words(event: Mapping[str, Any]) -> str:
    if event.get("event") == "output" and "text" in event:
        return logs.escape(str(event["text"]))
    head = f"{event.get('logger', '')}: {event.get('event', '')}"
    told = [f"{key}={value}" for key, value in event.items() if key not in _HEAD]
    return logs.escape(" ".join([head, *told]))


def _chosen(folder: Path, wanted: LogFilter) -> list[str]:
    return [name for name in programs(folder) if wanted.program in {"", name}]


def _files(folder: Path, name: str) -> list[Path]:
    """Return a program's files, the newest first."""
    live = folder / f"{name}.log"
    older = [live.with_name(f"{live.name}.{number}") for number in range(1, KEPT_FILES + 1)]
    return [path for path in (live, *older) if path.is_file() and not path.is_symlink()]


def _newest(
    files: Sequence[Path], name: str, wanted: LogFilter, most: int
) -> tuple[list[LogLine], str]:
    """Return the newest lines, and the instant where the search ended early, "" where it did not."""
    found: list[LogLine] = []
    read, needles = 0, wanted.needles()
    for raw in itertools.chain.from_iterable(map(_backwards, files)):
        read += len(raw) + 1
        if _has(raw, needles) and wanted.takes(line := line_of(name, raw)):
            found.append(line)
        if len(found) == most or read > SEARCHED_BYTES:
            return found, line_of(name, raw).at
    return found, ""


def _has(raw: bytes, needles: Sequence[tuple[bytes, ...]]) -> bool:
    """Say whether one of each is in a line; true where nothing is looked for."""
    if not needles:
        return True
    lower = raw.lower()
    return all(any(each in lower for each in one_of) for one_of in needles)


def _backwards(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file from its end on."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # it moved aside meanwhile
        return
    with file:
        at, rest = file.seek(0, os.SEEK_END), b""
        while at > 0:
            step = min(_BLOCK, at)
            at -= step
            file.seek(at)
            rest, *lines = (file.read(step) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
        if rest:
            yield rest


def _forwards(files: Sequence[Path], name: str, wanted: LogFilter) -> Iterator[tuple[str, bytes]]:
    """Yield (instant, line) of a program's lines that are wanted, the oldest first."""
    needles, takes_all = wanted.needles(), wanted == LogFilter(wanted.program)
    for path in reversed(files):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            for line in file:
                raw = line.rstrip(b"\n")
                if raw and _has(raw, needles) and (takes_all or wanted.takes(line_of(name, raw))):
                    yield _instant(raw), raw


def _instant(raw: bytes) -> str:
    try:
        return _STAMP.decode(raw).timestamp
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _end_of(files: Sequence[Path]) -> tuple[int, int]:
    try:
        found = files[0].stat()
    except (IndexError, FileNotFoundError):
        return 0, 0
    return found.st_ino, found.st_size


def _since(
    files: Sequence[Path], name: str, place: tuple[int, int]
) -> tuple[list[LogLine], tuple[int, int]]:
    """Return the lines after a place and the place after them; a part at a time where they are many."""
    try:
        unread = list(_unread(files, place))
    except FileNotFoundError:  # it moved aside meanwhile: the next round has it
        return [], place
    lines: list[LogLine] = []
    for inode, offset, data in reversed(unread):
        complete = data[: data.rfind(b"\n") + 1]
        lines += [line_of(name, raw) for raw in complete.split(b"\n") if raw]
        place = inode, offset + len(complete)
        if len(data) == READ_ON_BYTES:
            break
    return lines, place


def _unread(files: Sequence[Path], place: tuple[int, int]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (inode, offset, bytes) of what lies after a place, file by file, the newest first."""
    for path in files:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            is_last = inode == place[0]
            offset = file.seek(place[1] if is_last else 0)
            yield inode, offset, file.read(READ_ON_BYTES)
        if is_last:
            return


def _place(places: Mapping[str, tuple[int, int]]) -> str:
    return ";".join(f"{name}={inode}.{offset}" for name, (inode, offset) in places.items())


def _places(place: str) -> dict[str, tuple[int, int]]:
    """Read what `_place` wrote; what is none of it begins at the beginning."""
    found = {}
    for part in place.split(";"):
        name, _, rest = part.partition("=")
        inode, _, offset = rest.partition(".")
        if inode.isdecimal() and offset.isdecimal() and PROGRAM.fullmatch(name):
            found[name] = int(inode), int(offset)
    return found
