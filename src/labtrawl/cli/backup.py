"""`labtrawl backup`: everything but the keys, in a folder or a file, while labtrawl runs."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labtrawl.cli.options import settings_options
from labtrawl.cli.places import PLACE, Place
from labtrawl.config import Settings

if TYPE_CHECKING:
    from labtrawl.cli.backing import Made


@click.command()
@settings_options
@click.argument("to", type=PLACE, required=False)
@click.option(
    "--keys",
    "keys",
    type=Place(dir_okay=False),
    metavar="FILE",
    help="Write the keys into this file too. Keep it in another place than the backup.",
)
@click.option("--keep", type=click.IntRange(1, 1000), help="Keep so many, remove older ones.")
def backup(settings: Settings, to: Path | None, keys: Path | None, keep: int | None) -> None:
    """Copy database, dataset and settings into a folder, or into one file that ends in .tar.

    \b
    labtrawl backup /mnt/backups
    labtrawl backup /mnt/backups --keep 7 --keys /media/stick/labtrawl-keys.json
    labtrawl backup /mnt/labtrawl.tar

    Each backup in a folder is whole by itself; what the one before holds too takes no room again.
    Without a place backup.path is used. Without the keys the tokens in a backup cannot be opened.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.audited import note
    from labtrawl.cli.dataset import readable_bytes
    from labtrawl.errors import ConfigError

    place = to or settings.backup.path
    if place is None:
        raise ConfigError("name a folder or a .tar file to write to, or set backup.path")
    place = place.expanduser().absolute()
    if keys is not None:
        from labtrawl.cli.key_file import keep_keys

        _check_has_keys(settings)
        count = keep_keys(settings.data_dir, keys.expanduser().absolute(), place)
        click.echo(f"keys: {count} in {keys}; keep that file apart from the backup")
    made = asyncio.run(_make(settings, place, keep))
    note(settings, "backup", str(made.place), f"{made.segments} segments")
    click.echo(
        f"{made.place}: {made.segments} segments, {readable_bytes(made.bytes)}, of which"
        f" {readable_bytes(made.copied)} were copied"
        + (f"; {made.removed} older removed" if made.removed else "")
    )


def _check_has_keys(settings: Settings) -> None:
    from labtrawl.cli.audited import is_of_crawl, place_of
    from labtrawl.errors import ConfigError

    place_of(settings)
    if is_of_crawl(settings):
        raise ConfigError(
            f"{settings.data_dir} is a folder of `labtrawl crawl`, which has no keys: leave --keys out"
        )


async def _make(settings: Settings, place: Path, keep: int | None) -> "Made":
    from labtrawl.cli.audited import database_of
    from labtrawl.cli.backing import make_backup
    from labtrawl.cli.database_file import check_is_writable
    from labtrawl.store.engine import open_store
    from labtrawl.store.migrate import migrate

    path = database_of(settings)
    check_is_writable(path)
    migrate(path)
    async with open_store(path) as store:
        return await make_backup(settings, store, place, keep)
