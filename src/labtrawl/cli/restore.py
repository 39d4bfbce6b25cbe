"""`labtrawl restore`: a data folder out of a backup, checked byte for byte."""

from pathlib import Path

import click

from labtrawl.cli.places import PLACE, Place

_NO_KEYS = (
    "No keys: the tokens in it cannot be opened. Restore again with --keys FILE, or connect the"
    " accounts again with labtrawl init --add."
)


@click.command()
@click.argument("source", type=Place(exists=True))
@click.argument("target", type=PLACE, required=False)
@click.option(
    "--keys",
    type=Place(dir_okay=False, exists=True),
    metavar="FILE",
    help="The keys, as `labtrawl backup --keys FILE` wrote them.",
)
@click.option("--check", is_flag=True, help="Only read the backup and say whether it is whole.")
def restore(source: Path, target: Path | None, keys: Path | None, check: bool) -> None:
    """Make the data folder TARGET, which must be empty, out of the backup SOURCE.

    \b
    labtrawl restore /mnt/backups data.private --keys /media/stick/labtrawl-keys.json
    labtrawl restore /mnt/backups/2026-11-22T020000Z restored
    labtrawl restore /mnt/labtrawl.tar --check

    Of a folder with several backups the newest is taken. The crawl goes on from the backup's
    instant; what was collected after it is collected again.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.dataset import readable_bytes
    from labtrawl.cli.restoring import check_backup
    from labtrawl.cli.restoring import restore as restored_from
    from labtrawl.errors import ConfigError

    source = source.expanduser().absolute()
    if check:
        contents = check_backup(source)
        count = f"{len(contents.files)} files, {readable_bytes(contents.bytes)}"
        click.echo(f"whole: made {contents.made_at}, {count}")
        return
    if target is None:
        raise ConfigError("name the folder to restore into, or say --check")
    done = restored_from(source, target.expanduser(), keys)
    click.echo(
        f"{target}: as it was at {done.contents.made_at}, {done.segments} segments,"
        f" {readable_bytes(done.contents.bytes)}"
    )
    for name in done.dropped:
        click.echo(f"The setting {name} named another place and is left out.")
    if done.is_of_crawl:
        click.echo(f"Go on with: labtrawl crawl {_url_of(target)} --out '{target}'")
        return
    if not done.has_keys:
        click.echo(_NO_KEYS)
    click.echo(f"Start it with: labtrawl start{_config_flag(target)} --data-dir '{target}'")


def _config_flag(target: Path) -> str:
    """Name the restored file of settings where one in the working folder would be read instead."""
    from labtrawl.config.layers import FILE_NAME

    own = target / FILE_NAME
    return f" --config '{own}'" if own.exists() and Path(FILE_NAME).exists() else ""


def _url_of(folder: Path) -> str:
    """Return what a restored folder was crawled from, as its user named it."""
    import shlex

    import msgspec

    from labtrawl.cli.crawl_place import Kept, kept_path

    try:
        kept = msgspec.json.decode(kept_path(folder.expanduser()).read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return "URL"
    bounds = kept.bounds.flags()
    return f"{shlex.quote(kept.target.url)}{bounds and f' {bounds}'}"
