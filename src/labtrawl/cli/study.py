"""The mode at a start: it is pinned, and in a study the key of the pseudonyms is at hand."""

from dataclasses import dataclass
from pathlib import Path

from labtrawl import logs
from labtrawl.cli.database_file import check_is_database
from labtrawl.config import Settings
from labtrawl.domain.consent import Mode
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.store.engine import Connection, Store, database_path, open_snapshots
from labtrawl.store.migrate import is_begun, is_newest
from labtrawl.store.mode import check, pin, pinned
from labtrawl.store.secrets import create_key_file, key_id_of, read_key

log = logs.get("website")


@dataclass(frozen=True, slots=True)
class Policy:
    """What every record passes, and the key of a study's pseudonyms in hex."""

    name: str
    key: Secret | None = None


AS_IS = Policy(Mode.TEAM.policy)


def study_key_path(data_dir: Path) -> Path:
    """Return where the key of a study lies: beside the other keys, apart from the dataset."""
    return data_dir / "config" / "study.key"


def check_mode(data_dir: Path, mode: Mode) -> None:
    """Raise ConfigError for a mode that a start would refuse for what the data folder holds.

    Also for a database that is damaged; one that is empty or of an earlier version is left to that
    start. Raises StoreError where it cannot be read.
    """

    def look(connection: Connection) -> None:
        if is_begun(connection) and is_newest(connection):
            check(connection, mode)

    database = database_path(data_dir)
    check_is_database(database)
    if database.is_file():
        with open_snapshots(database) as snapshots:
            snapshots.read_now(look)


async def open_mode(settings: Settings, store: Store) -> Policy:
    """Pin the mode, or look whether it is the pinned one; return what records pass.

    A new study gets a key; that of one that began before has to be there. ConfigError otherwise.
    """
    mode = Mode(settings.mode)
    if mode is Mode.TEAM:
        await store.write(lambda c: pin(c, mode, "", settings.basis))
        return AS_IS
    if settings.credentials == "environment":
        raise ConfigError(
            'in a study each participant\'s token goes with its job alone: set credentials = "task"'
        )
    before = await store.read(pinned)
    path = study_key_path(settings.data_dir)
    is_new = not path.exists() and (before is None or before.mode is Mode.TEAM)
    if is_new:
        create_key_file(path)
    key = _read(path)
    try:
        await store.write(lambda c: pin(c, mode, key_id_of(key), settings.basis))
    except ConfigError:
        if is_new:
            path.unlink()  # a team's folder holds no key of a study; nothing was read with it
        raise
    if is_new:
        log.info("study_key_made", path=str(path))
    secret = Secret(key.hex())
    logs.conceal(secret)
    return Policy(mode.policy, secret)


def _read(path: Path) -> bytes:
    if not path.exists():
        raise ConfigError(
            f"the key of this study is missing: put {path} back; with another one the same people"
            " would get other pseudonyms"
        )
    return read_key(path)
