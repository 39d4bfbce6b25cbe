"""`labtrawl admin`: what the person at the machine may do without signing in."""

import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from labtrawl.cli.options import settings_options
from labtrawl.config import Settings
from labtrawl.errors import ConfigError

CONNECT_SECONDS = 1.0


@click.group()
def admin() -> None:
    """Print a sign-in link, and other care."""


@admin.command()
@settings_options
def link(settings: Settings) -> None:
    """Print an address that signs in to the website, once, within 15 minutes.

    \b
    labtrawl admin link
    labtrawl admin link --data-dir /srv/labtrawl
    """  # noqa: D301 - click reads \b
    from labtrawl.store.engine import database_path

    path = database_path(settings.data_dir)
    if not path.is_file():
        raise ConfigError(
            f"there is no labtrawl in {settings.data_dir}; start one with labtrawl start,"
            " or name its folder with --data-dir"
        )
    url = site_address(settings.data_dir)
    where = url or f"http://{settings.website.host}:{settings.website.port}"
    click.echo(f"{where}/sign-in?token={asyncio.run(_create_link(path))}")
    click.echo("It signs in once, within 15 minutes.", err=True)
    if url is None:
        click.echo(
            "The website is not running: start it with labtrawl start, then open the address"
            " (it may come up on another port).",
            err=True,
        )


async def _create_link(path: Path) -> str:
    from labtrawl.store.engine import open_store
    from labtrawl.store.migrate import migrate
    from labtrawl.store.sessions import create_link

    migrate(path)
    async with open_store(path) as store:
        return await store.write(create_link)


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
