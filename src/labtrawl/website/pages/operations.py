"""Doing one thing to many jobs: asked for and confirmed here, carried out in the background."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import HoldReason, JobState
from labtrawl.store import operations
from labtrawl.store.operations import FOR, LARGEST_PRIORITY, Action, Wish
from labtrawl.store.pages.jobs import Count
from labtrawl.store.pages.keyset import Page, Place
from labtrawl.store.pages.operations import OperationRow, list_operations, one_operation
from labtrawl.store.pages.walks import JobFilter, Target
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.picking import AskedPage
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.addresses import Pager, given, jobs_address, live_page_address
from labtrawl.website.parts.asking import LONGEST_MESSAGE, Id, MaybeId
from labtrawl.website.parts.words import ACTIONS, EFFECTS, SKIPPED

LONGEST_REASON = 200
LONGEST_PART = 255


class OperationWanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, why, and to which jobs: those with these `ids`, or with `all` those that match.

    An empty filter matches every job. `value` is the priority, where that is the action.
    """

    action: Action
    because: Annotated[str, msgspec.Meta(max_length=LONGEST_REASON)]
    ids: list[Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]] = []
    all: bool = False
    state: JobState | None = None
    resource: Annotated[str, msgspec.Meta(max_length=LONGEST_PART)] = ""
    area: Annotated[str, msgspec.Meta(max_length=LONGEST_PART)] = ""
    kind: AreaKind | None = None
    account: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None = None
    hold: HoldReason | None = None
    error: Annotated[str, msgspec.Meta(max_length=LONGEST_PART)] = ""
    message: Annotated[str, msgspec.Meta(max_length=LONGEST_MESSAGE)] = ""
    value: Annotated[int, msgspec.Meta(ge=-LARGEST_PRIORITY, le=LARGEST_PRIORITY)] | None = None

    def target(self) -> Target:
        """Return the jobs that it is about."""
        if not self.all:
            return Target(None, tuple(self.ids))
        parts = (self.state, self.resource, self.area, self.kind, self.account)
        rest = (self.hold, self.error, self.message.strip())
        return Target(JobFilter(*parts, *rest), tuple(self.ids))


class AskedConfirmation(AskedPage):
    """What is to be confirmed, and the page of the list that it was asked for on."""

    action: Action = Action.RETRY
    of: Literal["ticked", "all"] = "ticked"

    def target(self) -> Target:
        """Return the jobs that it is about; nobody's where none is ticked."""
        return Target(self.filter()) if self.of == "all" else Target(None, self.ticked())


@dataclass(frozen=True, slots=True)
class OperationsTold:
    """A page of the operations, the newest first, and the addresses of the pages around."""

    rows: Sequence[OperationRow]
    pages: Pager


@dataclass(frozen=True, slots=True)
class OperationTold:
    """The number of an operation, and how many jobs it is about, as far as they were counted."""

    id: int
    expected: Count


def add(app: FastAPI, desk: Desk) -> None:
    """Add /operations, one of them, its beginning and its end."""
    store = desk.site.store

    @twins.page(app, desk, "/operations", OperationsTold, "What was done to many jobs at once")
    async def show_all(after: MaybeId = None, before: MaybeId = None) -> Shown:
        live = live_page_address(desk.hub.commits)
        page = await store.read(lambda c: list_operations(c, Place(after, before)))
        pages = _pager(page)
        told = OperationsTold(page.rows, pages.for_programs())
        return Shown("operations.html", told, live, values={"pages": pages, **_WORDS})

    @app.get("/operations/new")
    async def confirm(asked: Annotated[AskedConfirmation, Query()]) -> HTMLResponse:
        return await _confirm(desk, asked)

    @twins.action(app, "/operations", OperationWanted, OperationTold, "Do one thing to many jobs")
    async def begin(request: Request, wanted: OperationWanted) -> Done:
        told = await _begin(desk, request, wanted)
        return Done(f"/operations/{told.id}", told, 202)

    _add_one(app, desk)


def _add_one(app: FastAPI, desk: Desk) -> None:
    store = desk.site.store

    @twins.page(app, desk, "/operations/{operation_id}", OperationRow, "How far an operation is")
    async def show(operation_id: Id) -> Shown:
        live = live_page_address(desk.hub.commits)
        told = await store.read(lambda c: one_operation(c, operation_id))
        values = {"matches": _matches(told), **_WORDS}
        return Shown("operation.html", told, live if told.state == "running" else "", values=values)

    @twins.action(
        app, "/operations/{operation_id}/stop", None, OperationRow, "Stop an operation where it is"
    )
    async def stop(request: Request, operation_id: Id) -> Done:
        who = visitor_of(request).client
        await store.write(lambda c: operations.stop(c, operation_id, who))
        told = await store.read(lambda c: one_operation(c, operation_id))
        note_detail(request, told.action, f"after {told.done}")
        return Done(f"/operations/{operation_id}", told)


def _pager(page: Page[OperationRow]) -> Pager:
    rows = page.rows
    return Pager(
        "/operations",
        f"/operations?before={rows[0].id}" if rows and page.has_previous else None,
        f"/operations?after={rows[-1].id}" if rows and page.has_next else None,
    )


_WORDS = {"actions": ACTIONS, "skipped_words": SKIPPED}


def _matches(row: OperationRow) -> str | None:
    """Return where the jobs are listed that an operation is about, None where they were picked."""
    return jobs_address(row.target.filter) if row.target.filter else None


async def _confirm(desk: Desk, asked: AskedConfirmation) -> HTMLResponse:
    target = asked.target()
    count = await desk.site.store.read(lambda c: operations.expected(c, target))
    state = target.filter.state if target.filter else None
    wanted = asked.filter()
    return desk.page(
        "operation_new.html",
        asked=asked,
        count=count,
        ids=target.ids,
        given=given(wanted) if target.filter else {},
        is_for_none=state is not None and state not in FOR[asked.action],
        back=jobs_address(wanted, asked.place(), asked.size, target.ids),
        words=ACTIONS[asked.action],
        effect=EFFECTS[asked.action],
        longest=LONGEST_REASON,
        largest=LARGEST_PRIORITY,
    )


async def _begin(desk: Desk, request: Request, wanted: OperationWanted) -> OperationTold:
    target, because = wanted.target(), " ".join(wanted.because.split())
    note_detail(request, wanted.action, wanted.value, because)
    value = wanted.value if wanted.action is Action.PRIORITY else None
    wish = Wish(wanted.action, target, because, visitor_of(request).client, value)
    number = await desk.site.store.write(lambda c: operations.begin(c, wish))
    row = await desk.site.store.read(lambda c: one_operation(c, number))
    more = "+" if row.expected_more else ""
    note_detail(
        request,
        f"operation {number}:",
        wanted.action,
        wish.value,
        f"{row.expected}{more} jobs:",
        because,
    )
    return OperationTold(number, Count(row.expected, row.expected_more))
