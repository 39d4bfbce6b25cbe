"""What the list of jobs is asked with: filter, order, place, and the jobs that are ticked."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from labtrawl.domain.job import HoldReason
from labtrawl.errors import BadMessage
from labtrawl.store.engine import Connection
from labtrawl.store.operations import MOST_IDS, TOO_MANY
from labtrawl.store.pages.jobs import PAGE, Choices, Order, choices, resources
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.walks import JobFilter, Key
from labtrawl.website.given.site import Site
from labtrawl.website.parts.asking import (
    LARGEST,
    Blank,
    MaybeId,
    MaybeKind,
    MaybeState,
    MessagePart,
    PathPart,
    Word,
)

SIZES = (25, 50, 100, 200)
# What there is to choose from changes slowly.
FRESH_SECONDS = 5.0

MaybeHold = Annotated[HoldReason | None, Blank]
Number = Annotated[int, Field(ge=1, le=LARGEST)]
Size = Annotated[
    Literal[25, 50, 100, 200],
    BeforeValidator(lambda text: int(text) if str(text).isdecimal() else text),
]
# ID, or VALUE.ID where the list is sorted by a value.
MaybeKey = Annotated[
    Annotated[str, Field(pattern=r"^(-?[0-9]{1,18}\.)?[0-9]{1,18}$")] | None, Blank
]
# Jobs that were ticked on other pages, with commas between them.
_REST = MOST_IDS - 1
Kept = Annotated[str, Field(pattern=rf"^([0-9]{{1,18}}(,[0-9]{{1,18}}){{0,{_REST}}})?$")]


class AskedFilter(BaseModel):
    """A filter as it stands in an address."""

    state: MaybeState = None
    resource: Word = ""
    area: PathPart = ""
    kind: MaybeKind = None
    account: MaybeId = None
    hold: MaybeHold = None
    error: Word = ""
    message: MessagePart = ""
    sort: Annotated[Order, Blank] = Order.NEWEST

    def filter(self) -> JobFilter:
        """Return it as the database knows it."""
        return JobFilter(
            self.state,
            self.resource,
            self.area,
            self.kind,
            self.account,
            self.hold,
            self.error,
            self.message,
            self.sort,
        )


class AskedTicks(AskedFilter):
    """A filter, and the jobs that are ticked: on this page, and before on others."""

    picked: Kept = ""
    shown: Kept = ""
    pick: Annotated[list[Number], Field(max_length=MOST_IDS)] = []

    @property
    def is_form(self) -> bool:
        """Whether the form of a page was sent: what it showed and has no tick is not picked."""
        return bool(self.shown)

    def ticked(self) -> tuple[int, ...]:
        """Return the jobs that are ticked now; BadMessage, a sentence, for more than `MOST_IDS`."""
        shown = set(_numbers(self.shown))
        before = [each for each in _numbers(self.picked) if each not in shown]
        ticked = {*before, *self.pick}
        if len(ticked) > MOST_IDS:
            raise BadMessage(TOO_MANY)
        return tuple(sorted(ticked))


class AskedPage(AskedTicks):
    """A page of the list."""

    after: MaybeKey = None
    before: MaybeKey = None
    size: Size = 50

    def place(self) -> Place[Key]:
        """Return the place that it names."""
        return Place(_key(self.after), _key(self.before))

    def back(self) -> dict[str, object]:
        """Return what leads back to this page of its filter, as fields of a form."""
        fields = {"after": self.after, "before": self.before}
        size = {"size": self.size} if self.size != PAGE else {}
        return {**size, **{name: key for name, key in fields.items() if key}}


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def _key(text: str | None) -> Key | None:
    if text is None:
        return None
    value, _, number = text.rpartition(".")
    return int(value or 0), int(number)


class Menu:
    """What the list may be filtered by: resources as they are, what is counted after some seconds."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._due = 0.0
        self._choices: Choices | None = None

    def read(self, connection: Connection) -> Choices:
        """Return what there is to choose from."""
        now = self._site.clock.monotonic()
        if self._choices is None or now >= self._due:
            # Whoever comes meanwhile has what was there before.
            self._due = now + FRESH_SECONDS
            self._choices = choices(connection)
            return self._choices
        return replace(self._choices, resources=resources(connection))
