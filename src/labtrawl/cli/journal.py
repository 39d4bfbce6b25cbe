"""`labtrawl logs`: what the programs logged, from the kept files and as it comes."""

import asyncio
import heapq
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import click
import msgspec

from labtrawl.cli.options import settings_options
from labtrawl.clock import system_clock
from labtrawl.config import Settings
from labtrawl.errors import ConfigError, Missing
from labtrawl.supervisor.output import KEPT_FILES, Form, LineSplitter, event_line, shown

_POLL_SECONDS = 0.1
_CHUNK_BYTES = 256 * 1024

Entry = tuple[str, str, str]
"""The instant (ISO 8601), the program, the line as kept."""


@click.command("logs")
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl+C.")
@click.option("-n", "--lines", type=click.IntRange(0), metavar="N", help="Only the last N lines.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@settings_options
def journal(
    settings: Settings, name: str | None, follow: bool, lines: int | None, as_json: bool
) -> int:
    """Print what the programs logged, in the order of time; secrets were never written.

    \b
    labtrawl logs
    labtrawl logs -f crawler-1
    labtrawl logs -n 100 --json website

    NAME is a program: website, crawler-1, …, or supervisor where that runs in the background.
    """  # noqa: D301 - click reads \b
    _check_is_there(settings.data_dir)
    folder = _folder_of(settings)
    form: Form = "json" if as_json else "console"
    if name is not None and not _names(folder, name) and not follow:
        known = ", ".join(_names(folder, None)) or "none"
        raise Missing(f"there is no log of {name!r} in {folder}; there are: {known}")
    if not _names(folder, name):
        of_whom = f" of {name!r}" if name else ""
        waits = "; it is shown as soon as there is something (Ctrl+C ends it)" if follow else ""
        click.echo(f"nothing is logged yet{of_whom} in {folder}{waits}", err=True)
    tails = _Tails(folder, name)
    for entry in _last(tails.read(), lines):
        _print(entry, form)
    if follow:
        asyncio.run(_follow(tails, form))
    return 0


def _check_is_there(data_dir: Path) -> None:
    """Raise ConfigError where a slip would look like a folder in which nothing happened yet."""
    from labtrawl.cli.audited import folders_here

    if not data_dir.is_dir():
        raise ConfigError(
            f"there is no folder {data_dir}; --data-dir names another one{folders_here()}"
        )


def _folder_of(settings: Settings) -> Path:
    """Return where the logs lie; `labtrawl crawl` has its own beside what it collects."""
    from labtrawl.cli.audited import is_of_crawl

    return settings.data_dir if is_of_crawl(settings) else settings.data_dir / "logs"


def _last(entries: Iterable[Entry], lines: int | None) -> Iterable[Entry]:
    return entries if lines is None else deque(entries, maxlen=lines)


def _print(entry: Entry, form: Form) -> None:
    _instant, name, kept = entry
    click.echo(shown(name, kept, form, colors=sys.stdout.isatty()))


async def _follow(tails: "_Tails", form: Form) -> None:
    clock = system_clock()
    while True:
        for entry in tails.read():
            _print(entry, form)
        await clock.sleep(_POLL_SECONDS)


def _names(folder: Path, name: str | None) -> list[str]:
    found = sorted({path.name.split(".log")[0] for path in folder.glob("*.log*")})
    return [each for each in found if name in {None, each}]


class _Tails:
    """All logs of a folder, or one program's, read on from where the last `read` ended."""

    def __init__(self, folder: Path, name: str | None) -> None:
        self._folder = folder
        self._name = name
        self._tails: dict[str, _Tail] = {}

    def read(self) -> Iterator[Entry]:
        """Yield what is there now and was not yet read, in the order of time."""
        for name in _names(self._folder, self._name):
            self._tails.setdefault(name, _Tail(self._folder, name))
        yield from heapq.merge(*(tail.read() for tail in self._tails.values()), key=itemgetter(0))


@dataclass(slots=True)
class _Tail:
    """One program's log over its files: the oldest first, then the one that grows."""

    folder: Path
    name: str
    seen: int = 0
    """The inode of the file that was read last."""
    offset: int = 0
    splitter: LineSplitter = field(default_factory=LineSplitter)

    def read(self) -> Iterator[Entry]:
        for path in self._unread():
            try:
                yield from self._read_file(path)
            except FileNotFoundError:  # it moved aside meanwhile: the next round has it
                return

    def _unread(self) -> list[Path]:
        """Return the file that was read last, wherever it moved, and all that are newer."""
        live = self.folder / f"{self.name}.log"
        older = [live.with_name(f"{live.name}.{n}") for n in range(KEPT_FILES, 0, -1)]
        files = [path for path in (*older, live) if path.exists()]
        for index, path in enumerate(files):
            if path.stat().st_ino == self.seen:
                return files[index:]
        return files

    def _read_file(self, path: Path) -> Iterator[Entry]:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self.seen:
                self.seen, self.offset, self.splitter = inode, 0, LineSplitter()
            file.seek(self.offset)
            while chunk := file.read(_CHUNK_BYTES):
                self.offset += len(chunk)
                for line in self.splitter.feed(chunk):
                    yield self._entry(line)

    def _entry(self, line: str) -> Entry:
        try:
            event = msgspec.json.decode(line, type=dict[str, object])
        except (msgspec.MsgspecError, UnicodeEncodeError):
            event = {}  # a line that was cut when the disk was full
        if "timestamp" not in event:
            line = event_line(line, system_clock().now())
        return str(event.get("timestamp", "")), self.name, line
