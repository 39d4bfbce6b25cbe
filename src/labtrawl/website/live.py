"""The hub, one for the process: it reads what changed once for all viewers.

A changed row is rendered once; each viewer gets only what is on its screen, coalesced.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from labtrawl import logs
from labtrawl.store.pages.live import OverviewView, PageView, View, read
from labtrawl.website.figures import Figures
from labtrawl.website.render import Renderer
from labtrawl.website.screens import Screens, changed_page
from labtrawl.website.site import Site

log = logs.get("website")

# At most ten messages a second for a viewer; what comes faster is coalesced.
TICK_SECONDS = 0.1
# Looking for changes may cost a fifth of one core.
SHARE = 4
# Crawlers and rates move without a commit: the overview is looked at again after this.
STILL_SECONDS = 2.0
# A page that asks for itself again does so at most this often.
PAGE_SECONDS = 2.0


@dataclass(slots=True)
class Watch:
    """What one page shows, as of the change `since`; `key` tells the pages of a stream apart."""

    view: View
    since: int
    key: str = ""


class Viewer:
    """One open stream: what its pages show, and what waits to be sent to them."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.watches = watches
        self._waiting: dict[tuple[str, str], bytes] = {}
        self._sent: dict[tuple[str, str], bytes] = {}
        self._event = asyncio.Event()
        self.closed = False

    @property
    def since(self) -> int:
        """The change that every one of its pages has seen."""
        return min((watch.since for watch in self.watches), default=0)

    def put(self, key: str, target: str, part: bytes) -> None:
        """Replace what waits for a part of a page; the same as was sent last is not sent again."""
        place = (key, target)
        if self._sent.get(place) == part and place not in self._waiting:
            return
        self._waiting[place] = part
        self._event.set()

    def close(self) -> None:
        """End the viewer's stream."""
        self.closed = True
        self._event.set()

    async def take(self, timeout_seconds: float) -> tuple[int, Mapping[str, Sequence[bytes]]]:
        """Return what waits, by page, and the change that it is as of; waits for something.

        There is nothing in it after `timeout_seconds`, or when the viewer was closed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        taken, self._waiting = self._waiting, {}
        if not self.closed:
            self._event.clear()
        self._sent |= taken
        parts: dict[str, list[bytes]] = {}
        for (key, _), part in taken.items():
            parts.setdefault(key, []).append(part)
        # Both at once: an id that runs ahead of its parts would lose them on a reconnect.
        return self.since, parts


class Hub:
    """All viewers of this process."""

    def __init__(self, site: Site, renderer: Renderer, figures: Figures) -> None:
        self._site = site
        self._renderer = renderer
        self._figures = figures
        self._viewers: set[Viewer] = set()
        # One reading after the other: an older state never overtakes a newer one.
        self._lock = asyncio.Lock()
        self._closed = False
        # Greater than that of the site before this one, so that its pages see that they are old.
        self._started = site.clock.now_ms()
        self._commits, self._told_at = 0, 0.0
        self.sockets: set[asyncio.Task[None]] = set()
        """What tells of single jobs; ended together with the streams."""
        self.closing = asyncio.Event()
        """Set when all streams are to end, for those that the hub does not feed."""

    @property
    def viewers(self) -> int:
        """How many streams are open."""
        return len(self._viewers)

    @property
    def commits(self) -> int:
        """The number of the newest commit, for pages that are told of any; take it before reading."""
        return self._started + self._site.store.changes.commits

    async def join(self, viewer: Viewer) -> None:
        """Add a viewer and bring it up to date from where it was."""
        if self._closed:
            viewer.close()
            return
        self._viewers.add(viewer)
        await self._update([viewer])

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._viewers.discard(viewer)

    def close(self) -> None:
        """End all streams; those that come later end at once."""
        self._closed = True
        self.closing.set()
        for viewer in self._viewers:
            viewer.close()
        for telling in self.sockets:
            telling.cancel()

    async def run(self) -> None:
        """Follow the commits until cancelled."""
        monotonic = self._site.clock.monotonic
        while True:
            ticket, began = self._site.store.changes.ticket(), monotonic()
            try:
                await self._update(tuple(self._viewers))
            except Exception as error:
                log.error("live_update_failed", exc_info=error)
            cost = monotonic() - began
            with suppress(TimeoutError):
                async with asyncio.timeout(STILL_SECONDS):
                    await ticket.wait()
            # The first change after a calm is read at once, a burst ten times a second.
            rest = max(TICK_SECONDS, (1 + SHARE) * cost) - (monotonic() - began)
            await self._site.clock.sleep(max(0.0, rest))

    async def _update(self, viewers: Sequence[Viewer]) -> None:
        watches = [watch for viewer in viewers for watch in viewer.watches]
        if not watches:
            return
        async with self._lock:
            self._count()
            views = {watch.view for watch in watches}
            since = min((one.since for one in watches if one.view != PageView()), default=0)
            reading = await self._site.store.read(lambda connection: read(connection, views, since))
            await self._figures.outlooks.refresh()
            screens = Screens(self._renderer, reading)
            if OverviewView() in views:
                screens.add_overview(await self._figures.overview())
            for viewer in viewers:
                for watch in viewer.watches:
                    self._tell(viewer, watch, screens)

    def _count(self) -> None:
        now = self._site.clock.monotonic()
        if now - self._told_at >= PAGE_SECONDS or not self._commits:
            self._commits, self._told_at = self.commits, now

    def _tell(self, viewer: Viewer, watch: Watch, screens: Screens) -> None:
        """Put what changed for a page where its stream finds it, and note how far it is."""
        if watch.view == PageView():
            if watch.since != self._commits:
                viewer.put(watch.key, "", changed_page(self._commits))
            watch.since = self._commits
            return
        for target, part in screens.of(watch.view, watch.since):
            viewer.put(watch.key, target, part)
        watch.since = max(watch.since, screens.top)
