"""`labtrawl status`: what runs on a data folder, and how it is."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

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

_ANSWER_SECONDS = 5.0
NOT_RUNNING = 3
"""The exit code that init scripts use for "not running" (Linux Standard Base)."""


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(settings: Settings, as_json: bool) -> int:
    """Say what runs on a data folder, and how it is.

    \b
    labtrawl status
    labtrawl status --json | jq .programs

    The exit code is 3 when nothing runs.
    """  # noqa: D301 - click reads \b
    holder = holder_of(settings.data_dir)
    said, as_object = _how_it_is(holder, settings.data_dir)
    click.echo(as_object if as_json else said)
    if not as_json:
        told, is_known = _collected(settings.data_dir)
        if told and not (holder is None and is_known):
            click.echo(f"collected: {told}")
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

    if data_dir.exists():
        return ""
    return f", and there is no such folder; --data-dir names another one{folders_here()}"


def _collected(data_dir: Path) -> tuple[str, bool]:
    """Say how much is there, or why nobody can say it (and that so); "" without a database."""
    from labtrawl.cli.database_file import check_is_database, readable
    from labtrawl.cli.demo_screen import progress_words
    from labtrawl.store import summary
    from labtrawl.store.engine import database_path, open_snapshots

    path = database_path(data_dir)
    if not path.is_file():
        return "", True
    try:
        check_is_database(path)
        with readable(path) as place, open_snapshots(place) as database:
            return ", ".join(progress_words(database.read_now(summary.progress))), True
    except (LabtrawlError, OSError) as error:
        return f"nobody can say: {error}; labtrawl doctor tells more", False


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
