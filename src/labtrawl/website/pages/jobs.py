"""The list of jobs: filtered, sorted, paged, live, with what is ticked on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from labtrawl.domain.job import JobState
from labtrawl.store.engine import Connection
from labtrawl.store.operations import Action
from labtrawl.store.pages.jobs import Choices, Count, JobRow, JobsPage, facets, list_jobs
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import any_state, newest_change
from labtrawl.store.pages.walks import LOOKED, JobFilter, Order, narrow, offered, order_of
from labtrawl.website.access import API
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.picking import SIZES, AskedPage, Menu
from labtrawl.website.answering.twins import Shown
from labtrawl.website.parts.addresses import Pager, given, jobs_address, live_jobs_address
from labtrawl.website.parts.asking import LONGEST_MESSAGE
from labtrawl.website.parts.words import ACTIONS, in_order

FIRST_WORDS = {
    Order.NEWEST: ("Newest", "Newer", "Older"),
    Order.CHANGED: ("Last changed", "Later changes", "Earlier changes"),
    Order.PRIORITY: ("Highest", "Higher", "Lower"),
    Order.DURATION: ("Longest", "Longer", "Shorter"),
}
ORDER_NAMES = {
    Order.NEWEST: "Newest first",
    Order.CHANGED: "Last change first",
    Order.PRIORITY: "Priority of open ones",
    Order.DURATION: "Longest first, of those done",
}
# What is chosen before anybody chooses; what would do nothing to such jobs is no good offer.
LIKELY = {
    JobState.QUEUED: Action.PAUSE,
    JobState.RUNNING: Action.PAUSE,
    JobState.HELD: Action.RESUME,
}


@dataclass(frozen=True, slots=True)
class JobsTold:
    """A page of the jobs that match, by state how many do, and the addresses of the pages around.

    `order` is the one that the page has. `is_cut` says that the look ended before the page was full:
    the next page goes on from there.
    """

    rows: Sequence[JobRow]
    counts: Mapping[str, Count]
    pages: Pager
    order: Order
    is_cut: bool


def add(app: FastAPI, desk: Desk) -> None:
    """Add /jobs."""
    menu = Menu(desk.site)

    @twins.page(app, desk, "/jobs", JobsTold, "The jobs that match, those to come too")
    async def show(request: Request, asked: Annotated[AskedPage, Query()]) -> Shown | Response:
        if request.url.path.startswith(API):
            return await _told(desk, asked)
        # The address of a form's fields is made short for people; a program gets what it asked for.
        if asked.is_form:
            address = jobs_address(asked.filter(), asked.place(), asked.size, asked.ticked())
            return RedirectResponse(address, 303)
        return await _page(desk, menu, asked)


@dataclass(frozen=True, slots=True)
class _Found:
    page: JobsPage
    counts: Mapping[str, Count]
    change: int


def _find(connection: Connection, asked: AskedPage, wanted: JobFilter) -> _Found:
    narrowing = narrow(connection, wanted)
    return _Found(
        list_jobs(connection, wanted, asked.place(), asked.size, narrowing),
        facets(connection, any_state(wanted), narrowing),
        newest_change(connection),
    )


def _tell(found: _Found, pages: Pager, order: Order) -> JobsTold:
    page = found.page
    return JobsTold(page.rows, found.counts, pages.for_programs(), order, page.is_cut)


async def _told(desk: Desk, asked: AskedPage) -> Shown:
    """Return what programs get: the rows and how many there are, nothing for people."""
    wanted = asked.filter()
    found = await desk.site.store.read(lambda connection: _find(connection, asked, wanted))
    pages = _pager(wanted, found.page, asked.size, asked.ticked())
    return Shown("jobs.html", _tell(found, pages, order_of(wanted)))


async def _page(desk: Desk, menu: Menu, asked: AskedPage) -> Shown:
    wanted = asked.filter()
    await desk.figures.outlooks.refresh()
    found, choices = await desk.site.store.read(
        lambda connection: (_find(connection, asked, wanted), menu.read(connection))
    )
    order, picked, page = order_of(wanted), asked.ticked(), found.page
    pages = _pager(wanted, page, asked.size, picked)
    ids = [row.id for row in page.rows]
    is_first = not page.has_previous and order is Order.NEWEST
    values = _asked(asked, wanted, choices) | {
        "page": page,
        "pages": pages,
        "counts": found.counts,
        "elsewhere": [each for each in picked if each not in ids],
        "words": FIRST_WORDS[order],
    }
    live = live_jobs_address(wanted, ids, is_first, found.change, asked.size)
    return Shown("jobs.html", _tell(found, pages, order), live, values=values)


def _asked(asked: AskedPage, wanted: JobFilter, menu: Choices) -> dict[str, Any]:
    """Return what the page says of what was asked for, and what else there is to ask for."""
    return {
        "wanted": wanted,
        "given": given(wanted),
        "menu": menu,
        "resources": in_order(set(menu.resources) | ({wanted.resource} - {""})),
        "orders": {each: ORDER_NAMES[each] for each in offered(wanted)},
        "sizes": SIZES,
        "size": asked.size,
        "picked": asked.ticked(),
        "looked": LOOKED,
        "longest_message": LONGEST_MESSAGE,
        "actions": ACTIONS,
        "likely": LIKELY.get(wanted.state, Action.RETRY) if wanted.state else Action.RETRY,
        "forget": jobs_address(wanted, asked.place(), asked.size),
        "back": asked.back(),
    }


def _pager(wanted: JobFilter, page: JobsPage, size: int, picked: Sequence[int]) -> Pager:
    def at(place: Place[tuple[int, int]]) -> str:
        return jobs_address(wanted, place, size, picked)

    return Pager(
        first=at(Place()),
        previous=at(Place(before=page.previous)) if page.previous else None,
        next=at(Place(after=page.next)) if page.next else None,
    )
