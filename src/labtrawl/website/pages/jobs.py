"""The list of jobs: filtered, sorted, paged, live, with what is ticked on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from labtrawl.store.pages.jobs import Choices, Count, JobRow, JobsPage, facets, list_jobs
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import any_state, newest_change
from labtrawl.store.pages.walks import LOOKED, JobFilter, Order, offered, order_of
from labtrawl.website import twins
from labtrawl.website.access import API
from labtrawl.website.addresses import Pager, given, jobs_address, live_jobs_address
from labtrawl.website.desk import Desk
from labtrawl.website.picking import SIZES, AskedPage, Menu
from labtrawl.website.twins import Shown
from labtrawl.website.words import ACTIONS, in_order

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
        # The address of a form's fields is made short for people; a program gets what it asked for.
        if asked.is_form and not request.url.path.startswith(API):
            address = jobs_address(asked.filter(), asked.place(), asked.size, asked.ticked())
            return RedirectResponse(address, 303)
        return await _page(desk, menu, asked)


async def _page(desk: Desk, menu: Menu, asked: AskedPage) -> Shown:
    wanted = asked.filter()
    await desk.figures.outlooks.refresh()
    page, counts, change = await desk.site.store.read(
        lambda connection: (
            list_jobs(connection, wanted, asked.place(), asked.size),
            facets(connection, any_state(wanted)),
            newest_change(connection),
        )
    )
    order, picked = order_of(wanted), asked.ticked()
    pages = _pager(wanted, page, asked.size, picked)
    ids = [row.id for row in page.rows]
    is_first = not page.has_previous and order is Order.NEWEST
    values = _asked(asked, wanted, await menu.read()) | {
        "page": page,
        "pages": pages,
        "counts": counts,
        "elsewhere": [each for each in picked if each not in ids],
        "words": FIRST_WORDS[order],
    }
    told = JobsTold(page.rows, counts, pages.for_programs(), order, page.is_cut)
    live = live_jobs_address(wanted, ids, is_first, change)
    return Shown("jobs.html", told, live, values=values)


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
        "actions": ACTIONS,
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
