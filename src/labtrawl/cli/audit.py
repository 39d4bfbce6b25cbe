"""`labtrawl audit`: who did what, and whether nothing of it was changed or left out."""

from datetime import UTC, datetime

import click

from labtrawl.cli.lazy import Commands
from labtrawl.cli.options import settings_options
from labtrawl.config import Settings
from labtrawl.logs import escape


@click.group(cls=Commands)
def audit() -> None:
    """List the audit log and verify that it is whole."""


@audit.command("list")
@settings_options
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many."
)
def list_rows(settings: Settings, limit: int) -> None:
    """Print the newest rows, the newest last.

    \b
    labtrawl audit list
    labtrawl audit list --limit 1000

    A row: number, time, tier, security level, who, what, on what, what came of it.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import database_of
    from labtrawl.store import audit as log
    from labtrawl.store.engine import open_snapshots

    with open_snapshots(database_of(settings)) as database:
        rows = database.read_now(lambda connection: log.newest(connection, limit))
    for row in reversed(rows):
        click.echo(_line(row))
    if not rows:
        click.echo("Nothing is written down yet.", err=True)


def _line(row: object) -> str:
    from labtrawl.store.audit import AuditRow

    assert isinstance(row, AuditRow)
    entry = row.entry
    at = datetime.fromtimestamp(row.at / 1000, UTC).isoformat(timespec="seconds")
    told = (entry.tier, entry.level, entry.client, entry.action, entry.target, entry.outcome)
    return escape("  ".join(each for each in (str(row.id), at, *told, entry.detail) if each))


@audit.command()
@settings_options
def verify(settings: Settings) -> int:
    """Look at every row; the exit code is 1 where one was changed, removed, inserted or cut off.

    \b
    labtrawl audit verify
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import check_has_website, database_of
    from labtrawl.store import audit as log
    from labtrawl.store.engine import open_snapshots
    from labtrawl.store.secrets import key_path, open_cipher

    check_has_website(settings)
    path, keys = database_of(settings), open_cipher(key_path(settings.data_dir))
    remembered = log.remembered_in(log.head_path(settings.data_dir))
    with open_snapshots(path) as database:
        verdict = database.read_now(lambda connection: log.verify(connection, keys, remembered))
    if verdict.problem:
        click.echo(f"the audit log is broken: {verdict.problem}", err=True)
        return 1
    click.echo(f"the audit log is whole: {verdict.rows} row{'' if verdict.rows == 1 else 's'}")
    return 0
