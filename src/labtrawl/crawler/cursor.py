"""Where a job goes on: the first thing that no committed segment holds."""

import msgspec


class Window(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", array_like=True):
    """A part of a list by time of creation: what comes from `query` on, to its end.

    `query` is the next page to ask for; `since` and `until` (ISO 8601) are the bounds that the
    ledger tells, an empty `until` has no end. `before` are the ids that the next page shows again.
    """

    since: str
    until: str
    query: str
    items: int = 0
    ended: bool = False
    before: tuple[int | str, ...] = ()


class Tag(msgspec.Struct, frozen=True, array_like=True):
    """What the next visit shows to learn that a list is as it was, and which request and policy it is of.

    GitLab's mark of the only page that a list had (`ETag`); or, of a list whose ids can be asked
    for, the instant (ms) at which it was read whole (`by_ids`); or an empty one, which shows nothing
    and keeps what is `loose` for the next visit.
    """

    etag: str
    request: str
    policy: str


class Met(msgspec.Struct, frozen=True, array_like=True):
    """What a whole reading met of the objects that are known, and what its visit missed before (`met`).

    `known` marks those objects, `by` is the account that read; `suspects` is None before a reading
    of the visit came to its end.
    """

    known: str
    by: str
    met: str
    suspects: str | None = None


class Grown(msgspec.Struct, frozen=True, array_like=True):
    """How many rows a list had when a page of it was answered (ms), and how many newer ones came since."""

    total: int
    served_at: int
    newer: int = 0


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A place in a list, or in the list of lists.

    `query` is the page to ask for next; None before the first. `before` are the ids of the page
    before it, where rows may move while they are read. `ended` says that nothing is left. A long
    list is read in `windows` at once, each with a place of its own.

    In a list of lists `query` is the page in hand, `parent` the last row of it whose own list is
    finished, `child` the row whose list goes on at `child_query` and had up to `child_total` rows,
    `parents` how many rows there are, `seen` counts those whose lists are finished.

    `expected` is the highest total that GitLab gave, `changed` says that the list was not the same
    all the time, `gone` counts the rows whose own lists had vanished, `passes` how often a list that
    did not stand still was read from its beginning.

    `started_at` is GitLab's own time of the visit's first answer (ms): everything older was read.
    `written` counts the records that the visit committed.

    By GraphQL a list of lists is read in blocks of iids: `block` is the first iid that is not
    committed, `top` the highest when the visit began, and `after` is GitLab's own cursor of the page to ask for next.

    `tag` marks a list of which the next visit can ask whether it changed. That visit begins with the
    cursor of this one as its `last` (`store.jobs.reopen`): what did not change is not sent again.

    `grown` is of the list in hand, `lost` says that rows of it vanished while it was read, so that
    others may have been passed over.
    `loose` are the rows that others named as their parents and that did not come by then, the last
    ones of them (`ancestry`); in a visit for changes, those of the visit before it.

    `met` is there only of a reading that looks for what is gone, and that was given back: with it
    the reading goes on, without it begins anew.
    """

    query: str | None = None
    before: tuple[int | str, ...] = ()
    parent: int | str | None = None
    child: int | str | None = None
    child_query: str | None = None
    child_total: int | None = None
    parents: int | None = None
    stage: str = ""
    items: int = 0
    expected: int | None = None
    expected_by: str = ""
    changed: bool = False
    gone: int = 0
    ended: bool = False
    windows: tuple[Window, ...] = ()
    passes: int = 0
    started_at: int | None = None
    written: int = 0
    block: int = 0
    top: int | None = None
    seen: int = 0
    after: str | None = None
    tag: Tag | None = None
    last: "Cursor | None" = None
    met: Met | None = None
    grown: Grown | None = None
    lost: bool = False
    loose: tuple[str, ...] = ()

    @property
    def share_told(self) -> str:
        """How many items' lists are finished, and of how many where that is known, in words."""
        if not self.seen:
            return ""
        return f", {self.seen} of {self.parents} items" if self.parents else f", {self.seen} items"

    def encode(self) -> str:
        """Return it as text for the wire and the database."""
        return msgspec.json.encode(self).decode()


def decode_cursor(text: str | None) -> Cursor:
    """Read a cursor back; the start of the list where there is none."""
    return Cursor() if text is None else msgspec.json.decode(text, type=Cursor)
