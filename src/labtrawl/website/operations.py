"""Carries out operations in the background, a batch at a time, in the website's process.

What waits to be written meanwhile comes between two batches. After a restart it goes on where the
database says that it was.
"""

from contextlib import suppress
from functools import partial

from labtrawl import logs
from labtrawl.errors import LabtrawlError
from labtrawl.store import operations
from labtrawl.store.operations import Action, Progress
from labtrawl.website.given.site import Site

log = logs.get("website")

# Nobody who asked for one waits longer for its beginning.
LOOK_SECONDS = 0.2
# After a failure of the database.
PAUSE_SECONDS = 5.0
# Those that a crawler has in hand and that it is told about at once; others it learns by itself.
TOLD = frozenset({Action.PAUSE, Action.RESUME, Action.CANCEL})


class Operations:
    """Runs for as long as the website does."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def run(self) -> None:
        """Do what is under way until cancelled."""
        clock = self._site.clock
        while True:
            ticket = self._site.store.changes.ticket()
            try:
                is_busy = await self.do_batches()
            except LabtrawlError as error:
                log.error("operation_interrupted", error=str(error))
                await clock.sleep(PAUSE_SECONDS)
                continue
            if not is_busy:
                await ticket.wait()
                await clock.sleep(LOOK_SECONDS)

    async def do_batches(self) -> bool:
        """Do a batch of each operation; say whether there is more to do."""
        store, clock = self._site.store, self._site.clock
        is_busy = False
        for number in await store.read(operations.under_way):
            started = clock.monotonic()
            done = await store.write(partial(operations.go_on, operation_id=number))
            if done is None:
                continue
            await self._tell(done)
            if done.is_over:
                log.info("operation_completed", operation=number, action=str(done.action))
            is_busy = is_busy or not done.is_over
            # Half of the writer's time is for everybody else.
            await clock.sleep(clock.monotonic() - started)
        return is_busy

    async def _tell(self, done: Progress) -> None:
        """Tell the crawlers that have jobs of the batch in hand: for speed, the database has it."""
        if done.action not in TOLD:
            return
        for work in done.works:
            with suppress(LabtrawlError):
                self._site.crawling.tell(str(done.action), work.holder, work.job_id)
