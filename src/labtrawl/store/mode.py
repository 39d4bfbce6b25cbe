"""What a data folder is for: written once at its first start, and looked at by every later one."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.consent import Mode
from labtrawl.errors import ConfigError
from labtrawl.store.engine import NOW_MS

IS_STUDY = "EXISTS (SELECT 1 FROM pinned WHERE mode = 'study')"
# Whether an account whose GitLab accepts it may be used: in a study it takes a consent, too.
# Triggers see to it that a `consent_id` stands for one that holds. An admin may have said no.
USABLE = (
    "CASE WHEN account.disabled_at IS NULL"
    " AND (account.mode = 'team' OR account.consent_id IS NOT NULL)"
    " THEN 'active' ELSE 'refused' END"
)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a data folder is for; `key_id` names the study's key, `basis` says why in a sentence."""

    mode: Mode = Mode.TEAM
    key_id: str = ""
    basis: str = ""
    pinned_at: int = 0


def pinned(connection: Connection) -> Pinned | None:
    """Return what was pinned; None where the data folder was never started."""
    row = connection.exec_driver_sql("SELECT mode, key_id, basis, pinned_at FROM pinned").first()
    return None if row is None else Pinned(Mode(row[0]), *row[1:])


def pin(connection: Connection, mode: Mode, key_id: str, basis: str) -> Pinned:
    """Pin the mode at the first start, or look whether it is the pinned one; return what holds.

    Raises ConfigError for study to team, for another key, and for team to study where something was
    collected already.
    """
    before = pinned(connection)
    if before is not None and before.mode is Mode.STUDY:
        _check_study(before, mode, key_id)
    elif mode is Mode.STUDY:
        _begin_study(connection)
    connection.exec_driver_sql(
        f"INSERT INTO pinned (id, mode, key_id, basis, pinned_at) VALUES (1, ?, ?, ?, {NOW_MS})"
        " ON CONFLICT (id) DO UPDATE SET mode = excluded.mode, key_id = excluded.key_id,"
        " basis = CASE WHEN excluded.basis = '' THEN pinned.basis ELSE excluded.basis END,"
        " pinned_at = CASE WHEN excluded.mode = pinned.mode THEN pinned.pinned_at"
        " ELSE excluded.pinned_at END",
        (mode, key_id, basis),
    )
    return pinned(connection) or Pinned(mode, key_id, basis)


def check(connection: Connection, mode: Mode) -> None:
    """Raise ConfigError where `pin` would refuse a mode, whatever the key; changes nothing."""
    before = pinned(connection)
    if before is not None and before.mode is Mode.STUDY:
        _check_study(before, mode, before.key_id)
    elif mode is Mode.STUDY:
        _check_nothing_collected(connection)


def _check_study(before: Pinned, mode: Mode, key_id: str) -> None:
    if mode is not Mode.STUDY:
        raise ConfigError(
            'this data folder belongs to a study and never becomes a team\'s: set mode = "study",'
            " or begin another folder with data_dir"
        )
    if key_id != before.key_id:
        raise ConfigError(
            f"config/study.key is not the key that this study began with ({before.key_id}): put"
            " that file back, or the same people would get other pseudonyms"
        )


def _begin_study(connection: Connection) -> None:
    """Let no account be used, unless a consent says so; refuse where data were collected before."""
    _check_nothing_collected(connection)
    connection.exec_driver_sql("DELETE FROM area_access")
    connection.exec_driver_sql("UPDATE account SET state = 'refused', mode = 'study'")


def _check_nothing_collected(connection: Connection) -> None:
    if connection.exec_driver_sql("SELECT 1 FROM segment LIMIT 1").first() is not None:
        raise ConfigError(
            "this data folder holds what a team collected, names and texts included: a study needs"
            " a folder of its own (data_dir)"
        )
