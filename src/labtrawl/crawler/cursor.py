"""Where a job goes on: the first thing that no committed segment holds."""

import msgspec


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A place in a list, or in the list of lists.

    `query` is the page to ask for next; None before the first. `before` are the ids of the page
    before it, where rows may move while they are read. `ended` says that nothing is left.

    In a list of lists `query` is the page in hand, `parent` the last row of it whose own list is
    finished, `child` the row whose list goes on at `child_query`, `parents` how many rows there are.

    `expected` is the highest total that GitLab gave, `changed` says that the list was not the same
    all the time, `gone` counts the rows whose own lists had vanished.
    """

    query: str | None = None
    before: tuple[int | str, ...] = ()
    parent: int | None = None
    child: int | None = None
    child_query: str | None = None
    parents: int | None = None
    stage: str = ""
    items: int = 0
    expected: int | None = None
    changed: bool = False
    gone: int = 0
    ended: bool = False

    def encode(self) -> str:
        """Return it as text for the wire and the database."""
        return msgspec.json.encode(self).decode()


def decode_cursor(text: str | None) -> Cursor:
    """Read a cursor back; the start of the list where there is none."""
    return Cursor() if text is None else msgspec.json.decode(text, type=Cursor)
