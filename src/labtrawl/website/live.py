"""The hub, one for the process: it reads what changed once for all viewers.

A changed row is rendered once; each viewer gets only what is on its screen, coalesced.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from labtrawl import logs
from labtrawl.store.pages.live import OverviewView, View, read
from labtrawl.website.figures import Figures
from labtrawl.website.render import Renderer
from labtrawl.website.screens import Screens
from labtrawl.website.site import Site

log = logs.get("website")

# At most five messages a second for a viewer; what comes faster is coalesced.
TICK_SECONDS = 0.2
# Crawlers and rates move without a commit: the overview is looked at again after this.
STILL_SECONDS = 2.0


class Viewer:
    """One open page: what it shows, how far it is, and what waits to be sent to it."""

    def __init__(self, view: View, since: int) -> None:
        self.view = view
        self.since = since
        self._waiting: dict[str, str] = {}
        self._sent: dict[str, str] = {}
        self._event = asyncio.Event()
        self.closed = False

    def put(self, target: str, html: str) -> None:
        """Replace what waits for `target`; the same as was sent last is not sent again."""
        if self._sent.get(target) == html and target not in self._waiting:
            return
        self._waiting[target] = html
        self._event.set()

    def close(self) -> None:
        """End the viewer's stream."""
        self.closed = True
        self._event.set()

    async def take(self, timeout_seconds: float) -> tuple[int, Mapping[str, str]]:
        """Return what waits, by target, and the change that it is as of; waits for something.

        There is nothing in it after `timeout_seconds`, or when the viewer was closed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        taken, self._waiting = self._waiting, {}
        if not self.closed:
            self._event.clear()
        self._sent |= taken
        # Both at once: an id that runs ahead of its parts would lose them on a reconnect.
        return self.since, taken


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
        self.sockets: set[asyncio.Task[None]] = set()
        """What tells of single jobs; ended together with the streams."""
        self.closing = asyncio.Event()
        """Set when all streams are to end, for those that the hub does not feed."""

    @property
    def viewers(self) -> int:
        """How many pages are open."""
        return len(self._viewers)

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
        while True:
            ticket = self._site.store.changes.ticket()
            try:
                await self._update(tuple(self._viewers))
            except Exception as error:
                log.error("live_update_failed", exc_info=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(STILL_SECONDS):
                    await ticket.wait()
            await self._site.clock.sleep(TICK_SECONDS)

    async def _update(self, viewers: Sequence[Viewer]) -> None:
        if not viewers:
            return
        async with self._lock:
            views = {viewer.view for viewer in viewers}
            since = min(viewer.since for viewer in viewers)
            reading = await self._site.store.read(lambda connection: read(connection, views, since))
            await self._figures.outlooks.refresh()
            screens = Screens(self._renderer, reading)
            if OverviewView() in views:
                screens.add_overview(await self._figures.overview())
            for viewer in viewers:
                for target, html in screens.of(viewer.view, viewer.since):
                    viewer.put(target, html)
                viewer.since = max(viewer.since, reading.top)
