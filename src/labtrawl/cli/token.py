"""`labtrawl token`: API tokens for crawlers and scripts; they work while the website runs."""

import asyncio

import click

from labtrawl.cli.lazy import Commands
from labtrawl.cli.options import settings_options
from labtrawl.config import Settings

SCOPES = {
    "crawler": "claim and report jobs",
    "admin": "read and command everything under /api/admin and the tasks",
    "read": "read the same, change nothing",
}
SCOPE_HELP = "; ".join(f"{name}: {what}" for name, what in SCOPES.items())


@click.group(cls=Commands)
def token() -> None:
    """Make, list and revoke API tokens."""


@token.command()
@settings_options
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(list(SCOPES)),
    multiple=True,
    required=True,
    help=f"What it opens; may be given several times. {SCOPE_HELP}.",
)
@click.option("--days", default=90, show_default=True, help="How long it lasts, at most 365.")
def create(settings: Settings, name: str, scopes: tuple[str, ...], days: int) -> None:
    """Make a token and print it: this once, never again.

    \b
    labtrawl token create far-crawler --scope crawler
    labtrawl token create dashboard --scope read --days 30
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import audited, check_has_website
    from labtrawl.store import tokens
    from labtrawl.store.engine import Connection

    check_has_website(settings)
    wanted = frozenset(tokens.TokenScope(scope) for scope in scopes)

    def make(connection: Connection) -> tuple[tokens.CreatedToken, str, str]:
        created = tokens.create(connection, name, wanted, days)
        return created, created.prefix, f"created for {name}: {' '.join(sorted(wanted))}"

    created = asyncio.run(audited(settings, "token create", make))
    click.echo(created.text.reveal())
    until = tokens.day_of(created.expires_at)
    click.echo(f"Keep it: it is shown this once. It works until {until}.", err=True)


@token.command("list")
@settings_options
def list_tokens(settings: Settings) -> None:
    """List the tokens: what they open, until when, when they were used last.

    \b
    labtrawl token list
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import database_of
    from labtrawl.store import tokens
    from labtrawl.store.engine import open_snapshots

    with open_snapshots(database_of(settings)) as database:
        rows = database.read_now(tokens.every)
    for row in rows:
        over = "revoked" if row.revoked_at else "expired" if row.is_over else "good"
        used = tokens.day_of(row.last_used_at) if row.last_used_at else "never"
        until = tokens.day_of(row.expires_at)
        click.echo(
            f"{row.prefix}  {row.name}  {row.scopes}  {over}, until {until}, last used {used}"
        )
    if not rows:
        click.echo("There is no token; `labtrawl token create` makes one.", err=True)


@token.command()
@settings_options
@click.argument("prefix")
def revoke(settings: Settings, prefix: str) -> None:
    """End a token at once; PREFIX is its beginning, as `token list` shows it.

    \b
    labtrawl token revoke ltw_0a1b2c3d
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import audited
    from labtrawl.store import tokens
    from labtrawl.store.engine import Connection

    # Somebody may have pasted the whole token: its secret is not written anywhere.
    beginning = prefix[: tokens.PREFIX_LENGTH]

    def end(connection: Connection) -> tuple[str, str, str]:
        name = tokens.revoke(connection, beginning)
        return name, beginning, f"revoked that of {name}"

    name = asyncio.run(audited(settings, "token revoke", end))
    click.echo(f"{beginning} ({name}) opens nothing any more.")
