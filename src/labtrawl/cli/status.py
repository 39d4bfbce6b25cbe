"""`labtrawl status`: what runs on a data folder, and how it is."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from labtrawl.cli.options import settings_options
from labtrawl.cli.stop import is_crawl
from labtrawl.config import Settings
from labtrawl.errors import LabtrawlError
from labtrawl.supervisor.control import StatusWanted, ask
from labtrawl.supervisor.instance import Holder, holder_of
from labtrawl.supervisor.states import ProgramStatus, Status
from labtrawl.supervisor.supervisor import (
    SAFER,
    WAITING_FOR_A_TOKEN,
    WAITING_FOR_CREDENTIALS,
)

if TYPE_CHECKING:
    from labtrawl.store import summary
    from labtrawl.store.engine import Connection

_ANSWER_SECONDS = 5.0
NOT_RUNNING = 3
"""The exit code that init scripts use for "not running" (Linux Standard Base)."""


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(settings: Settings, as_json: bool) -> int:
    """Say what runs on a data folder, and how it is; of one that is stopped, what it holds.

    \b
    labtrawl status
    labtrawl status --json | jq .programs

    The exit code is 3 when nothing runs.
    """  # noqa: D301 - click reads \b
    holder = holder_of(settings.data_dir)
    said, as_object = _how_it_is(holder, settings.data_dir)
    held = None if as_json and holder is not None else _held(settings.data_dir)
    if not as_json:
        click.echo(said)
        for line in _lines(held, is_stopped=holder is None):
            click.echo(line)
    elif isinstance(held, Holdings):
        click.echo(held.as_json())
    else:
        click.echo(as_object)
    return NOT_RUNNING if holder is None else 0


def _how_it_is(holder: Holder | None, data_dir: Path) -> tuple[str, bytes]:
    """Return the status for people, and as JSON."""
    if holder is None:
        return f"nothing runs on {data_dir}{_lacks(data_dir)}", b'{"programs":[]}'
    if is_crawl(holder, data_dir):
        told = {"programs": [], "crawl": {"pid": holder.pid}}
        return f"labtrawl crawl works in {data_dir}, pid {holder.pid}", msgspec.json.encode(told)
    whole = asyncio.run(ask(Path(holder.control), StatusWanted(), _ANSWER_SECONDS)).status
    assert whole is not None, "a status is answered with the status"
    return in_words(whole, datetime.now(UTC)), msgspec.json.encode(whole)


def _lacks(data_dir: Path) -> str:
    """Say that a folder is not there, and which are; a slip looks like one that stopped else."""
    from labtrawl.cli.audited import folders_here

    if data_dir.is_dir():
        return ""
    if data_dir.exists():
        return f", which is no folder; --data-dir names another one{folders_here()}"
    return f", and there is no such folder; --data-dir names another one{folders_here()}"


@dataclass(frozen=True, slots=True)
class Holdings:
    """How far what a data folder holds is, and when a list of it was read to its end last."""

    now: "summary.Progress"
    last_crawled_at: datetime | None

    def as_json(self) -> bytes:
        """Return the same for programs."""
        told = {"jobs": self.now.jobs, "areas": self.now.areas, "records": self.now.records}
        told |= {"requests": self.now.requests, "last_crawled_at": self.last_crawled_at}
        return msgspec.json.encode({"programs": [], "collected": told})


def _held(data_dir: Path) -> Holdings | str | None:
    """Return what is there, or why nobody can say it; None without a database."""
    from labtrawl.cli.database_file import check_is_database, readable
    from labtrawl.store.engine import database_path, open_snapshots

    path = database_path(data_dir)
    if not path.is_file():
        return None
    try:
        check_is_database(path)
        with readable(path) as place, open_snapshots(place) as database:
            return database.read_now(_holdings)
    except (LabtrawlError, OSError) as error:
        return f"nobody can say: {error}; labtrawl doctor tells more"


def _holdings(connection: "Connection") -> Holdings:
    from labtrawl.store import summary

    now, at = summary.progress(connection), summary.last_read_at(connection)
    return Holdings(now, None if at is None else datetime.fromtimestamp(at // 1000, UTC))


def _lines(held: Holdings | str | None, *, is_stopped: bool) -> Iterator[str]:
    """Yield the lines about what is there; who looks at what runs wants how far it is only."""
    from labtrawl.cli.demo_screen import progress_words

    if isinstance(held, str):
        yield f"collected: {held}"
    elif held is not None:
        jobs, last = held.now.jobs, held.last_crawled_at
        yield f"collected: {', '.join(progress_words(held.now)) if jobs else 'nothing yet'}"
        if is_stopped and jobs:
            yield "jobs: " + ", ".join(f"{number:,} {state}" for state, number in jobs.items())
            when = f"{last:%Y-%m-%d %H:%M:%S} UTC" if last else "no list to its end yet"
            yield f"last crawled: {when}"


def in_words(whole: Status, now: datetime) -> str:
    """Return the status as lines for people."""
    width = max((len(program.name) for program in whole.programs), default=0)
    where = f"labtrawl at {whole.address}" if whole.address else "labtrawl without a website"
    lines = [f"{where}, data in {whole.data_dir}, pid {whole.pid}"]
    if whole.credentials.in_environment:
        lines.append(f"warning: crawlers have a GitLab token in their environment; {SAFER}")
    lines += [_line(program, width, now, whole.address) for program in whole.programs]
    return "\n".join(lines)


def _line(program: ProgramStatus, width: int, now: datetime, address: str) -> str:
    parts = [
        f"{program.name:<{width}}  {program.state.value:<8}",
        f"for {_duration((now - program.since).total_seconds())}",
    ]
    if program.pid is not None:
        parts.append(f"pid {program.pid}")
    if program.starts > 1:
        parts.append(f"{program.starts} starts, {program.crashes} crashes")
    if program.reason:
        needs_hand = program.reason in {WAITING_FOR_CREDENTIALS, WAITING_FOR_A_TOKEN}
        parts.append(program.reason + (f"; sign in at {address}" if needs_hand else ""))
    parts += [f"{key}={value}" for key, value in program.details.items()]
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
