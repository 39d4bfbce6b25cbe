"""A study in a database: its mode, a text, and people who agree to it."""

from labtrawl.domain.consent import EVERYTHING, Areas, Mode, Wording
from labtrawl.store import consents, mode
from labtrawl.store.commands import Worked
from labtrawl.store.engine import Connection

KEY = bytes(range(32))
LATER = 4_000_000_000_000
TEXT = Wording("How teams review", "We read <your> issues.", (EVERYTHING,), LATER)


def begin(connection: Connection, text: Wording | None = TEXT) -> None:
    """Make a data folder that of a study, and publish a text."""
    mode.pin(connection, Mode.STUDY, "abcd1234", "")
    if text is not None:
        consents.publish(connection, text, "admin")


def agree(
    connection: Connection, account_id: int, areas: Areas = Areas.ALL, until: int = LATER
) -> list[Worked]:
    """Let the owner of an account agree to the newest text."""
    text = consents.newest_text(connection)
    assert text is not None
    given = consents.Given(text.version, areas, until, "participant")
    return consents.give(connection, account_id, given)


def jobs(connection: Connection) -> list[tuple[str, str, str | None]]:
    """Return (resource, state, why it is held) of every job, by their numbers."""
    rows = connection.exec_driver_sql("SELECT resource, state, hold_reason FROM job ORDER BY id")
    return [(row[0], row[1], row[2]) for row in rows]
