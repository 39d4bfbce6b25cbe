"""Where a job goes on: the first thing that no committed segment holds."""

import msgspec


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A place in a list, or in the list of lists.

    `query` is the page to ask for next; None before the first. `parents_done` counts the rows of
    that page whose own lists are finished, `child_query` is the page of the next one's list.
    `ended` says that nothing is left.
    """

    query: str | None = None
    parents_done: int = 0
    child_query: str | None = None
    stage: str = ""
    items: int = 0
    expected: int | None = None
    ended: bool = False

    def encode(self) -> str:
        """Return it as text for the wire and the database."""
        return msgspec.json.encode(self).decode()


def decode_cursor(text: str | None) -> Cursor:
    """Read a cursor back; the start of the list where there is none."""
    return Cursor() if text is None else msgspec.json.decode(text, type=Cursor)
