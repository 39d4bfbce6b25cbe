"""What the pages of a participant show: their areas as a tree, kept a while; their account in words."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from labtrawl.domain.eta import Told
from labtrawl.domain.visit import DISCOVERY
from labtrawl.errors import Missing
from labtrawl.store.gaps import NOBODY_KNOWS
from labtrawl.store.pages import outlook
from labtrawl.store.pages.mine import Figures, my_areas, my_figures
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.forest import Forest, Row, grow
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.figures.forecasts import PARENTS

# A look at all of an account's areas is kept until something is committed here, and so long at most:
# other programs commit too. So many accounts are kept.
FRESH_SECONDS = 2.0
KEPT = 64
# A forecast for a line costs some milliseconds; those that take longer together are left out.
FORECAST_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class TreeRow:
    """A line of the tree: an area, what was done for it and for all below it; `ends` where known."""

    id: int
    kind: str
    full_path: str
    name: str
    role: int
    is_read: bool
    wanted: bool | None
    depth: int
    is_open: bool
    below: int
    children: int
    whole: Figures
    ago: str
    ends: Told | None


def account_of(connection: HTTPConnection) -> int:
    """Return the account of who asks; Missing where nobody's data are theirs."""
    account_id = visitor_of(connection).account_id
    if account_id is None:
        raise Missing("No data are collected in your name.")
    return account_id


def ago(now: int, at: int | None) -> str:
    """Write how long something is over, in one unit; "" for what never was."""
    if at is None:
        return ""
    seconds = max(0, now - at) // 1000
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit} ago"
    return f"{seconds} s ago"


@dataclass(frozen=True, slots=True)
class _Look:
    forest: Forest
    commits: int
    due: float


class Mine:
    """The trees of those who look at theirs."""

    def __init__(self, desk: Desk) -> None:
        self._site = desk.site
        self._outlooks = desk.figures.outlooks
        self._kept: OrderedDict[int, _Look] = OrderedDict()

    def forget(self, account_id: int) -> None:
        """Look again the next time: something was changed."""
        self._kept.pop(account_id, None)

    async def forest(self, account_id: int) -> Forest:
        """Return an account's areas, as of the newest commit of this process."""
        commits, now = self._site.store.changes.commits, self._site.clock.monotonic()
        kept = self._kept.get(account_id)
        if kept is not None and kept.commits == commits and now < kept.due:
            return kept.forest
        areas, figures, parts = await self._site.store.read(
            lambda c: (
                my_areas(c, account_id),
                my_figures(c, account_id),
                outlook.parts(c, account_id, PARENTS),
            )
        )
        forest = grow(areas, figures, parts)
        self._kept[account_id] = _Look(forest, commits, now + FRESH_SECONDS)
        self._kept.move_to_end(account_id)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return forest

    async def ends(self, forest: Forest, area_ids: Iterable[int]) -> Told:
        """Say when what is open in these areas will be done."""
        return await self._outlooks.of(forest.part(area_ids))

    async def lines(self, forest: Forest, rows: Sequence[Row]) -> list[TreeRow]:
        """Return lines of the tree for the page."""
        until = self._site.clock.monotonic() + FORECAST_SECONDS
        now = self._site.clock.now_ms()
        made = []
        for row in rows:
            number = row.node.area.id
            is_asked = row.node.whole.open and number not in forest.told
            if is_asked and self._site.clock.monotonic() < until:
                forest.told[number] = await self.ends(forest, forest.under(number))
            made.append(_line(row, now, forest.told.get(number)))
        return made


def _line(row: Row, now: int, ends: Told | None) -> TreeRow:
    area, whole = row.node.area, row.node.whole
    return TreeRow(
        id=area.id,
        kind=area.kind,
        full_path=area.full_path,
        name=area.name,
        role=area.role,
        is_read=area.is_read,
        wanted=area.wanted,
        depth=row.depth,
        is_open=row.is_open,
        below=row.node.below,
        children=len(row.node.children),
        whole=whole,
        ago=ago(now, whole.last_at),
        ends=ends,
    )


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why lists hold less, in plain words, and how many they are."""

    reason: str
    title: str
    advice: str
    lists: int


# For who is collected from: what it means, and whether there is anything for them to do.
GAPS: Mapping[str, tuple[str, str]] = {
    "feature_off": ("Switched off", "The project does not use it: there is nothing to collect."),
    "empty_repository": ("Empty", "Nothing was pushed to it: there is nothing to collect."),
    "forbidden": (
        "Not for your account",
        "GitLab does not let your account read it, or not any more. It is left out.",
    ),
    "tier": ("Not in this GitLab", "This GitLab's licence does not have it."),
    "cap": ("Only a part", "GitLab lists no more of it; the rest is left out."),
    "deleted": ("Deleted", "It was deleted on GitLab before it was read."),
    "failed": (
        "Did not work",
        "It failed at every try. Those who run this see it too; you need not do anything.",
    ),
    "changed": (
        "Changed meanwhile",
        "It changed on GitLab while it was read. It is read again later.",
    ),
    "cancelled": ("Stopped", "Somebody stopped it before it was complete."),
    "elsewhere": ("Kept elsewhere", "An older program collected it into files of its own."),
    NOBODY_KNOWS: (
        "Unexplained",
        "What is there is not as much as GitLab announced, and nobody knows why. Those who run this"
        " see it too; you need not do anything.",
    ),
    DISCOVERY: (
        "Not all of your areas are known",
        "Looking up which groups and projects your account sees did not come to its end, so some of"
        " yours may be missing here. Those who run this see it too; if it stays, ask them to look"
        " again.",
    ),
}
HOLDS: Mapping[str, str] = {
    "credential": "Waits: no account that sees it is used now. My areas says what to do about yours.",
    "disk": "Waits until there is room on the disk",
    "paused": "Paused by those who run this",
    "unseen": "Waits: nobody who agreed sees it now",
}


def gap_words(reason: str) -> tuple[str, str]:
    """Return what a reason is called and what it means; an unknown one speaks for itself."""
    return GAPS.get(reason) or (reason.replace("_", " ").capitalize(), "")


def hold_words(reason: str | None) -> str:
    """Return why a list is held."""
    return HOLDS.get(reason or "") or f"Waits: {(reason or 'held').replace('_', ' ')}"


def troubles(figures: Figures) -> list[Trouble]:
    """Return why lists hold less, the most frequent first."""
    found = sorted(figures.gaps.items(), key=lambda each: (-each[1], each[0]))
    return [Trouble(reason, *gap_words(reason), number) for reason, number in found]
