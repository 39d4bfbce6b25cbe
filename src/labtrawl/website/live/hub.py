"""The hub, one for the process: it reads what changed once for all viewers.

A changed row is rendered once; each viewer gets only what is on its screen, coalesced.
"""

import asyncio
from collections.abc import Sequence, Set
from contextlib import suppress

from labtrawl import logs
from labtrawl.store.pages.live import OverviewView, PageView, View, read
from labtrawl.store.sessions import ended_sessions
from labtrawl.website.figures.sums import Figures
from labtrawl.website.given.site import Site
from labtrawl.website.live.screens import Screens, changed_page
from labtrawl.website.live.turns import Turns
from labtrawl.website.parts.render import Renderer

log = logs.get("website")

# At most ten messages a second for a viewer; what comes faster is coalesced.
TICK_SECONDS = 0.1
# Looking for changes may take half of the time.
SHARE = 0.5
# Crawlers and rates move without a commit: the overview is looked at again after this.
STILL_SECONDS = 2.0
# Who signed out sees what changes for so long.
RECOGNISE_SECONDS = 1.0


class Viewer:
    """One open page: what it shows, how far it is, and what waits to be sent to it."""

    def __init__(self, view: View, since: int, session: str) -> None:
        self.view = view
        self.since = since
        self.session = session
        self._waiting: dict[str, bytes] = {}
        self._sent: dict[str, bytes] = {}
        self._event = asyncio.Event()
        self.closed = False
        self.is_signed_out = False

    def put(self, target: str, part: bytes) -> None:
        """Replace what waits for `target`; the same as was sent last is not sent again."""
        if self._sent.get(target) == part and target not in self._waiting:
            return
        self._waiting[target] = part
        self._event.set()

    def close(self) -> None:
        """End the viewer's stream."""
        self.closed = True
        self._event.set()

    def sign_out(self) -> None:
        """End the viewer's stream, with nothing more on it."""
        self._waiting.clear()
        self.is_signed_out = True
        self.close()

    async def take(self, timeout_seconds: float) -> tuple[int, Sequence[bytes]]:
        """Return what waits, and the change that it is as of; waits for something.

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
        return self.since, tuple(taken.values())


class Hub:
    """All viewers of this process."""

    def __init__(self, site: Site, renderer: Renderer, figures: Figures) -> None:
        self._site = site
        self._renderer = renderer
        self._figures = figures
        self._viewers: set[Viewer] = set()
        self._joined = asyncio.Event()
        # Greater than that of the site before this one, so that its pages see that they are old.
        self._started = site.clock.now_ms()
        self._turns = Turns()
        self._recognised_at = 0.0
        self.sockets: set[asyncio.Task[None]] = set()
        """What tells of single jobs; ended together with the streams."""
        self.closing = asyncio.Event()
        """Set when all streams are to end, for those that the hub does not feed."""

    @property
    def viewers(self) -> int:
        """How many pages are watched."""
        return len(self._viewers)

    @property
    def commits(self) -> int:
        """The number of the newest commit, for pages that are told of any; take it before reading."""
        return self._started + self._site.store.changes.commits

    def join(self, viewer: Viewer) -> None:
        """Add a viewer; it is brought up to date with the next reading, within a tenth of a second."""
        if self.closing.is_set():
            viewer.close()
            return
        self._viewers.add(viewer)
        self._joined.set()

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._viewers.discard(viewer)
        self._turns.forget(viewer)

    def close(self) -> None:
        """End all streams; those that come later end at once."""
        self.closing.set()
        for viewer in self._viewers:
            viewer.close()
        for telling in self.sockets:
            telling.cancel()

    async def run(self) -> None:
        """Follow the commits until cancelled: an older state never overtakes a newer one."""
        monotonic = self._site.clock.monotonic
        while True:
            ticket, began = self._site.store.changes.ticket(), monotonic()
            self._joined.clear()
            try:
                await self._update(tuple(self._viewers))
            except Exception as error:
                log.error("live_update_failed", exc_info=error)
            cost = monotonic() - began
            await self._wait(ticket)
            # The first change after a calm is read at once, a burst ten times a second.
            due = began + max(TICK_SECONDS, cost / SHARE)
            # A timer may go off up to a millisecond early.
            while (rest := due - monotonic()) > 0:
                await self._site.clock.sleep(rest)

    async def _wait(self, ticket: asyncio.Event) -> None:
        """Return when something was committed or somebody joined, or after some time."""
        waits = [asyncio.create_task(each.wait()) for each in (ticket, self._joined)]
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(waits, timeout=STILL_SECONDS, return_when=first)
        finally:
            for each in waits:
                each.cancel()

    async def _update(self, viewers: Sequence[Viewer]) -> None:
        if not viewers:
            return
        commits, sessions = self.commits, self._doubtful(viewers)
        views = {viewer.view for viewer in viewers}
        since = min((each.since for each in viewers if each.view != PageView()), default=0)
        reading, over = await self._site.store.read(
            lambda connection: (
                read(connection, views, since),
                ended_sessions(connection, sessions),
            )
        )
        await self._figures.outlooks.refresh()
        screens = Screens(self._renderer, reading)
        if OverviewView() in views:
            screens.add_overview(await self._figures.overview())
        for viewer in viewers:
            if viewer.session in over:
                viewer.sign_out()
            elif viewer.view != PageView():
                self._tell(viewer, screens)
        self._tell_pages([each for each in viewers if each.view == PageView()], commits)

    def _doubtful(self, viewers: Sequence[Viewer]) -> Set[str]:
        """Return the sessions that may have ended: all of them, once a second."""
        now = self._site.clock.monotonic()
        if now - self._recognised_at < RECOGNISE_SECONDS:
            return frozenset()
        self._recognised_at = now
        return {viewer.session for viewer in viewers}

    def _tell_pages(self, viewers: Sequence[Viewer], commits: int) -> None:
        """Tell those whose turn it is that something was committed since their page was made."""
        now = self._site.clock.monotonic()
        old = [each for each in viewers if each.since != commits and not each.closed]
        for viewer in self._turns.take(now, old):
            viewer.put("", changed_page(commits))
            viewer.since = commits

    def _tell(self, viewer: Viewer, screens: Screens) -> None:
        """Put what changed for a page where its stream finds it, and note how far it is."""
        for target, part in screens.of(viewer.view, viewer.since):
            viewer.put(target, part)
        viewer.since = max(viewer.since, screens.top)
