"""`labtrawl ledger`: for each list what GitLab announced, what is there, and why less."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from labtrawl.cli.demo_words import count_of
from labtrawl.cli.options import settings_options
from labtrawl.config import Settings
from labtrawl.domain.visit import DISCOVERY
from labtrawl.errors import ConfigError
from labtrawl.store.gaps import MOST, Row, Wanted

if TYPE_CHECKING:
    from labtrawl.store.engine import Snapshots

UNEXPLAINED_EXIT_CODE = 1
HEADINGS = ("area", "resource", "expected", "collected", "reason")


@click.command()
@settings_options
@click.option("--area", default="", metavar="PATH", help="This area and all below it.")
@click.option("--resource", default="", metavar="NAME", help="One resource, like issues.")
@click.option("--gaps", is_flag=True, help="Only what is not complete.")
@click.option("--refill", is_flag=True, help="Read again what has a gap that can be filled.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with time windows.")
def ledger(
    settings: Settings, area: str, resource: str, gaps: bool, refill: bool, as_json: bool
) -> int:
    """Say for each list how much of it is there, and why not more.

    \b
    labtrawl ledger --gaps
    labtrawl ledger --area lab/ocean --resource issues --json
    labtrawl ledger --refill

    The exit code is 1 where something is missing and nobody knows why.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import audited, database_of, is_of_crawl
    from labtrawl.cli.database_file import readable
    from labtrawl.store import gaps as found
    from labtrawl.store.engine import Connection, open_snapshots

    wanted = Wanted(area.strip("/"), resource)
    with readable(database_of(settings)) as path, open_snapshots(path) as database:
        every = database.read_now(lambda connection: found.rows(connection, wanted))
        if not every:
            _check_known(database, wanted)
    rows = [row for row in every if row.is_unexplained or row.reason] if gaps else every
    if refill:

        def change(connection: Connection) -> tuple[int, str, str]:
            opened = found.refill(connection, wanted)
            return opened, f"{area} {resource}".strip() or "everything", f"{opened} opened"

        opened = asyncio.run(audited(settings, "ledger refill", change))
        click.echo(_refilled(opened, is_of_crawl=is_of_crawl(settings)), err=as_json)
        return 0
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)
        click.echo(_sum(every, wanted), err=True)
        click.echo(_lost(every), err=True, nl=False)
    return UNEXPLAINED_EXIT_CODE if any(row.is_unexplained for row in rows) else 0


def _check_known(database: "Snapshots", wanted: Wanted) -> None:
    """Raise ConfigError where a name is none: a slip must not look like a ledger without a gap."""
    from labtrawl.store import gaps as found

    if wanted.resource not in ("", DISCOVERY) and not database.read_now(
        lambda connection: found.rows(connection, Wanted(resource=wanted.resource))
    ):
        raise ConfigError(
            f"the ledger has no resource {wanted.resource!r}; labtrawl ledger lists all"
        )
    if wanted.area and not database.read_now(
        lambda connection: found.rows(connection, Wanted(area=wanted.area))
    ):
        raise ConfigError(f"the ledger has no area {wanted.area!r}; labtrawl ledger lists all")


def _refilled(opened: int, *, is_of_crawl: bool) -> str:
    if not opened:
        return "Nothing is read again: no list has a gap that can be filled."
    lists = "1 list is" if opened == 1 else f"{opened:,} lists are"
    by_whom = " by the next `labtrawl crawl` of this folder" if is_of_crawl else ""
    more = "; ask again for those that are left" if opened >= MOST else ""
    return f"{lists} read again{by_whom}{more}."


def _print_json(rows: Sequence[Row]) -> None:
    import msgspec

    for row in rows:
        click.echo(msgspec.json.encode(row))


def _print_table(rows: Sequence[Row]) -> None:
    from labtrawl.logs import escape

    if not rows:
        return
    lines = [HEADINGS, *(tuple(map(escape, _cells(row))) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS) - 1)]
    for line in lines:
        cells = [
            text.rjust(width) if column in (2, 3) else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=False))
        ]
        click.echo("  ".join([*cells, line[-1]]).rstrip())


def _sum(rows: Sequence[Row], wanted: Wanted) -> str:
    """Say of how many lists there is less, and why."""
    if not rows and wanted.resource == DISCOVERY:
        return "No discovery has failed."
    if not rows:
        return "There is no list yet."
    reasons = Counter("unexplained" if row.is_unexplained else row.reason for row in rows)
    told = [f"{n:,} {why.replace('_', ' ')}" for why, n in reasons.most_common() if why]
    less = sum(n for why, n in reasons.items() if why)
    lists = count_of(len(rows), "list")
    return f"{lists}, {less:,} with less: {', '.join(told)}" if less else f"{lists}, none with less"


def _lost(rows: Sequence[Row]) -> str:
    """Say of the discoveries that did not come to their end what that means; "" without one."""
    from labtrawl.logs import escape

    names = [escape(row.full_path) for row in rows if row.resource == DISCOVERY]
    if not names:
        return ""
    return (
        f"What {' and '.join(names)} may see was not listed to the end: groups and projects may be"
        " missing here. Mend what the reason says; labtrawl ledger --refill then looks again.\n"
    )


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    expected = "" if row.expected is None else str(row.expected)
    reason = "unexplained" if row.is_unexplained else row.reason or ""
    told = f"{reason}: {row.detail}" if reason and row.detail else reason
    return row.full_path, row.resource, expected, str(row.collected), told
