"""`labtrawl keys`: which keys there are, and a new one while everything runs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labtrawl.cli.lazy import Commands
from labtrawl.cli.options import Source, setting_flags, settings_options
from labtrawl.config import Settings

if TYPE_CHECKING:
    from labtrawl.cli.audited import Change
    from labtrawl.store.engine import Connection
    from labtrawl.store.secrets import Cipher

_STATES = {
    "current": "encrypts",
    "old": "opens what is still under it; goes at the next start after nothing is",
    "retired": "opens nothing; the audit log of its time is verified with what is left of it",
}


@click.group(cls=Commands)
def keys() -> None:
    """Change the key that encrypts tokens, or list the keys."""


@keys.command("list")
@settings_options
def list_keys(settings: Settings) -> None:
    """List the keys of the data folder.

    \b
    labtrawl keys list
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import check_has_website, database_of
    from labtrawl.store.keyring import key_states
    from labtrawl.store.secrets import key_path

    check_has_website(settings)
    path = key_path(settings.data_dir)
    if not path.exists():
        database_of(settings)  # says that there is no labtrawl, rather than that a key is lost
    for each in key_states(path):
        since = each.since.isoformat(timespec="seconds")
        click.echo(f"{each.key_id}  {each.state:8} {since}  {_STATES[each.state]}")


@keys.command("rotate")
@setting_flags(with_source=True)
def rotate_keys(settings: Settings, source: Source) -> None:
    """Make a new key and encrypt every token with it; website and crawlers may run.

    \b
    labtrawl keys rotate
    labtrawl reload

    A rotation that was cut off is finished by the next one. The old key is kept until nothing is
    encrypted under it: stop and start labtrawl, or reload it, and it goes.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import check_has_website

    check_has_website(settings)
    config = find_settings_file(settings, source)
    done = asyncio.run(rotate(settings, config))
    click.echo(f"The key is now {done.key_id}.")
    click.echo(f"Encrypted again: {done.accounts} in the database, {done.texts} in the settings.")
    if done.unreadable:
        click.echo(
            f"{done.unreadable} did not open and stay as they are: put the key file back under which"
            " they were written, or connect those accounts again."
        )
    click.echo("The old key is kept until a start or reload finds nothing under it.")


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did."""

    key_id: str
    accounts: int
    texts: int
    unreadable: int


def find_settings_file(settings: Settings, source: Source) -> Path | None:
    """Return the file that the settings were read from; None where there is none."""
    from labtrawl.config.layers import find_file

    return find_file(source.config_file, Path.cwd(), settings.data_dir)


async def rotate(
    settings: Settings, config: Path | None, step: Callable[[str], None] = lambda _name: None
) -> Rotated:
    """Rotate the key; `step` hears of each durable step.

    Whatever it is cut off by, every text still opens, and the next rotation finishes this one.
    Raises ConfigError (no key, a file that cannot be written), Conflict (another rotation).
    """
    from labtrawl.cli.audited import audited
    from labtrawl.cli.key_care import encrypted_settings
    from labtrawl.cli.settings_texts import encrypt_again
    from labtrawl.store import keyring, renewals
    from labtrawl.store.engine import database_path, open_store
    from labtrawl.store.migrate import migrate
    from labtrawl.store.secrets import key_id_in, key_path, open_cipher

    path = key_path(settings.data_dir)
    with keyring.rotating(path):
        migrate(database_path(settings.data_dir))
        async with open_store(database_path(settings.data_dir)) as store:
            texts = [*await store.read(renewals.texts), *encrypted_settings(settings)]
            used = {found for text in texts if (found := key_id_in(text))}
            if used <= {open_cipher(path).key_id}:
                keyring.replace_key(path, step)
        cipher = open_cipher(path)
        accounts, broken = await audited(settings, "keys rotate", _under(cipher))
        step("database")
        changed, unreadable = (0, 0) if config is None else encrypt_again(config, settings, cipher)
        step("settings")
    return Rotated(cipher.key_id, accounts, changed, broken + unreadable)


def _under(cipher: "Cipher") -> "Change[tuple[int, int]]":
    """Bring what the database holds under the current key, and say so."""
    from labtrawl.store import renewals

    def again(connection: "Connection") -> tuple[tuple[int, int], str, str]:
        changed, broken = renewals.encrypt_again(connection, cipher)
        return (
            (changed, broken),
            cipher.key_id,
            f"{changed} account{'' if changed == 1 else 's'} encrypted again",
        )

    return again
