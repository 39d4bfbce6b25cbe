"""`labtrawl admin`: what the person at the machine may do without signing in."""

import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from labtrawl.cli.lazy import Commands
from labtrawl.cli.options import settings_options
from labtrawl.config import Settings

CONNECT_SECONDS = 1.0


@click.group(cls=Commands)
def admin() -> None:
    """Print a sign-in link, and other care."""


@admin.command()
@settings_options
@click.option(
    "--role",
    type=click.Choice(["admin", "operator"]),
    default="admin",
    show_default=True,
    help="An operator sees all pages and may retry jobs; an admin may do everything.",
)
def link(settings: Settings, role: str) -> None:
    """Print an address that signs in to the website, once, within 15 minutes.

    \b
    labtrawl admin link
    labtrawl admin link --role operator
    labtrawl admin link --data-dir /srv/labtrawl
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import audited, check_has_website
    from labtrawl.store.sessions import Role, create_link

    check_has_website(settings)
    token = asyncio.run(
        audited(settings, "admin link", lambda c: (create_link(c, Role(role)), role, "created"))
    )
    url = site_address(settings.data_dir)
    # With a public address the session's cookie is for it alone.
    where = (
        settings.website.public_url.rstrip("/")
        or url
        or f"http://{settings.website.host}:{settings.website.port}"
    )
    click.echo(f"{where}/sign-in?token={token}")
    click.echo("It signs in once, within 15 minutes.", err=True)
    if url is None:
        click.echo(
            "The website is not running: start it with labtrawl start, then open the address"
            " (it may come up on another port).",
            err=True,
        )


class WebsiteAddress(msgspec.Struct, frozen=True):
    """What the website leaves in config/website.json."""

    url: str


def site_address(data_dir: Path) -> str | None:
    """Return the address of the website of a data folder, None where nobody answers there."""
    try:
        written = (data_dir / "config" / "website.json").read_bytes()
        url = msgspec.json.decode(written, type=WebsiteAddress).url
        parts = urlsplit(url)
        place = (parts.hostname or "", parts.port or 80)
        socket.create_connection(place, CONNECT_SECONDS).close()
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    return url
