"""`labtrawl notices`: what operators were told, a test, and the secrets of the channels."""

import asyncio
import base64
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labtrawl.cli.lazy import Commands
from labtrawl.cli.options import Source, setting_flags, settings_options
from labtrawl.config import Settings
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, LabtrawlError

if TYPE_CHECKING:
    from labtrawl.store.notices import NoticeRow

WEBHOOK = "webhook"
_SETTING = {"webhook": "webhook_secret", "mail": "mail_password"}


@click.group(cls=Commands)
def notices() -> None:
    """List what operators were told, send a test, enter the secrets of webhook and mail."""


@notices.command("list")
@settings_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
def list_notices(settings: Settings, limit: int) -> None:
    """Print the newest notices, the newest last, with what came of each.

    \b
    labtrawl notices list
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import database_of
    from labtrawl.logs import escape
    from labtrawl.store import notices as rows
    from labtrawl.store.engine import open_snapshots

    with open_snapshots(database_of(settings)) as database:
        found = database.read_now(lambda c: rows.newest(c, limit))
    for each in reversed(found):
        click.echo(escape(_line(each)))
    if not found:
        click.echo("Nobody was told of anything yet.", err=True)


def _line(row: "NoticeRow") -> str:
    at = datetime.fromtimestamp(row.raised_at / 1000, UTC).isoformat(timespec="seconds")
    ends = ", ".join(f"{each.channel} {each.state} ({each.result})" for each in row.deliveries)
    return f"{at}  {row.kind:13}  {row.subject}  {ends or 'listed only'}"


@notices.command()
@settings_options
def test(settings: Settings) -> int:
    """Send a test over every channel now, and say what came of it; exit 1 where one failed.

    \b
    labtrawl notices test
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.caretaker import channels_of
    from labtrawl.clock import system_clock
    from labtrawl.store.notices import Delivery
    from labtrawl.store.secrets import KeyRing, key_path
    from labtrawl.website.pages.notices import TEST

    clock = system_clock()
    ring = KeyRing(key_path(settings.data_dir))
    channels = channels_of(settings, "labtrawl", clock, ring)
    if not channels:
        raise ConfigError("no channel can be used: set notices.webhook_url or notices.mail_server")
    failed = 0
    for channel in channels:
        delivery = Delivery(0, channel.name, 0, clock.now_ms(), TEST)
        try:
            click.echo(f"{channel.name}: {asyncio.run(channel.send(delivery))}")
        except (LabtrawlError, OSError, ValueError) as error:
            from labtrawl.logs import escape, mask

            click.echo(f"{channel.name}: {escape(mask(str(error)))}", err=True)
            failed += 1
    return int(failed > 0)


@notices.command()
@setting_flags(with_source=True)
@click.argument("channel", type=click.Choice(["webhook", "mail"]))
@click.option("--make", is_flag=True, help="Make a random secret for the webhook, and print it.")
def secret(settings: Settings, source: Source, channel: str, make: bool) -> None:
    """Encrypt the secret of a channel into the settings; it is read from the standard input.

    \b
    labtrawl notices secret webhook --make
    labtrawl notices secret mail

    It opens only for the address, the server and the user that are set now. Then: labtrawl reload.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.keys import find_settings_file

    file = find_settings_file(settings, source)
    if file is None:
        raise ConfigError("there is no file of settings to write to; labtrawl init makes one")
    wanted = _wanted(channel, make)
    _write(settings, file, channel, Secret(wanted))
    if make:
        click.echo(f"The receiver verifies with: {wanted}")
    click.echo(f"notices.{_SETTING[channel]} is written into {file}; labtrawl reload uses it.")


def _wanted(channel: str, make: bool) -> str:
    if make:
        if channel != WEBHOOK:
            raise ConfigError("--make is for the webhook: a mail server has its own password")
        return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    text = (
        click.prompt("Secret", hide_input=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.read()
    )
    text = str(text).strip("\r\n")
    if not text:
        raise ConfigError("the secret is empty: give it on the standard input")
    return text


def _write(settings: Settings, file: Path, channel: str, secret: Secret) -> None:
    from labtrawl.cli.notice_secrets import mail_place, webhook_place
    from labtrawl.cli.settings_desk import with_setting
    from labtrawl.cli.settings_file import put_file
    from labtrawl.store.secrets import key_path, open_cipher

    chosen = settings.notices
    where = chosen.webhook_url if channel == WEBHOOK else chosen.mail_server
    if not where:
        name = "webhook_url" if channel == WEBHOOK else "mail_server"
        raise ConfigError(f"set notices.{name} first: the secret is bound to it")
    place = webhook_place(chosen) if channel == WEBHOOK else mail_place(chosen)
    text = open_cipher(key_path(settings.data_dir)).encrypt(secret, place)
    before = file.read_text("utf-8")
    put_file(file, with_setting(before, f"notices.{_SETTING[channel]}", text), may_replace=True)
