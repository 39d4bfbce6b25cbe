"""What the children write: cut into lines, masked, named, shown and kept in rotated files."""

import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, TextIO

import msgspec

from labtrawl import logs

MAX_LINE_BYTES = 64 * 1024
KEPT_FILES = 5
PLAIN = "output"
"""The event that stands for a line which is no event: a print, a traceback of the interpreter."""

Form = Literal["console", "json"]
_JSON = msgspec.json.Decoder(dict[str, object])


class LineSplitter:
    """Bytes in, lines out; a line over the limit comes in pieces, memory stays bounded."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._rest = b""
        self._limit = limit

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that are complete now."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        while len(self._rest) > self._limit:
            lines.append(self._rest[: self._limit])
            self._rest = self._rest[self._limit :]
        for line in lines:
            yield line.decode("utf-8", errors="backslashreplace").rstrip("\r")

    def rest(self) -> Iterator[str]:
        """Yield what was not ended by a newline; call it at the end."""
        if self._rest:
            yield from self.feed(b"\n")


class LogFile:
    """A file that moves aside when it is full: name.log, name.log.1, … ."""

    def __init__(
        self, path: Path, max_bytes: int = 10 * 1024 * 1024, keep: int = KEPT_FILES
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep

    def append(self, line: str) -> None:
        """Add one line; OSError when the disk refuses."""
        data = line.encode("utf-8", errors="backslashreplace") + b"\n"
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._size() + len(data) > self._max_bytes:
            self._rotate()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(
                f"{self._path.name}.{number - 1}" if number > 1 else self._path.name
            )
            if newer.exists():
                newer.replace(older)


class LogStream(io.TextIOBase):
    """A text stream into a `LogFile`, for a supervisor that leaves the terminal to others."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file

    def write(self, text: str) -> int:
        """Take whole lines, as logs write them."""
        self._file.append(text.rstrip("\n"))
        return len(text)


class Output:
    """Where all children's lines go: the supervisor's own stderr, a file for each, a listener."""

    def __init__(
        self,
        folder: Path,
        stream: TextIO | None,
        form: Form,
        *,
        now: Callable[[], datetime],
        heard: Callable[[str, str], None] = lambda _name, _line: None,
    ) -> None:
        """Without a `stream` the lines are only kept; `heard` gets a name and a line as kept."""
        self._folder = folder
        self._stream = stream
        self._form = form
        self._now = now
        self._heard = heard
        self._files: dict[str, LogFile] = {}
        self._last: dict[str, str] = {}
        self._write_failed = False

    def last_line(self, name: str) -> str:
        """Return what a program wrote last, empty if nothing: why it ended, most often."""
        return self._last.get(name, "")

    def take(self, name: str, line: str) -> None:
        """Show and keep one line of a program; losing the terminal or the disk loses lines only."""
        masked = self._last[name] = logs.mask(line)
        kept = event_line(masked, self._now())
        self._attempt("terminal", lambda: self._show(name, kept))
        file = self._files.setdefault(name, LogFile(self._folder / f"{name}.log"))
        self._attempt("disk", lambda: file.append(kept))
        self._heard(name, kept)

    def _attempt(self, where: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if not self._write_failed:
                self._write_failed = True
                logs.get("supervisor").warning("output_lost", where=where, error=error.strerror)

    def _show(self, name: str, kept: str) -> None:
        if self._stream is not None:
            self._stream.write(shown(name, kept, self._form, colors=self._stream.isatty()) + "\n")
            self._stream.flush()


def event_line(line: str, now: datetime) -> str:
    """Return a child's line as it is kept: a JSON object on one line, in ASCII, with its instant.

    A line that is no JSON object becomes the event `output` with the line as its `text`.
    """
    instant = {"timestamp": now.isoformat().replace("+00:00", "Z")}
    try:
        event = _JSON.decode(line)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return json.dumps({**instant, "level": "info", "event": PLAIN, "text": line})
    return json.dumps(event if "timestamp" in event else instant | event)


def shown(name: str, kept: str, form: Form, *, colors: bool) -> str:
    """Return a kept line as a terminal or a pipe shows it: with the name of its program."""
    event = _JSON.decode(kept)
    if form == "json":
        return json.dumps({"program": name, **event})
    plain = event.get("event") == PLAIN and "text" in event
    words = logs.escape(str(event["text"])) if plain else logs.in_words(event, colors=colors)
    return f"{name:<10} | {words}"
