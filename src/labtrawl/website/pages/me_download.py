"""Everything that is collected in somebody's name, as one archive that is written while it is sent."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from labtrawl import logs
from labtrawl.dataset.archive import Archive
from labtrawl.dataset.layout import SegmentPrefix, dataset_root, folder_of
from labtrawl.errors import Conflict
from labtrawl.store.engine import Connection
from labtrawl.store.pages.mine import MyAccount, MySum, my_account, my_sum
from labtrawl.store.pages.records import ListKey, ListRow, Piece, Reach, lists, pieces
from labtrawl.website.access import twin_of
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.mine import account_of
from labtrawl.website.answering.twins import Described, Shown, described
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.given.site import Site

log = logs.get("website")

# Each takes a part of a processor for as long as it lasts.
AT_ONCE = 4
# So many lists are looked up at once.
AHEAD = 200
BUSY = "Others are downloading already, as many as there can be at once. Try again in some minutes."
OWN_RUNS = (
    "A download of yours is still going on. Wait for its end, or stop it in your browser, and try"
    " again."
)


@dataclass(frozen=True, slots=True)
class DownloadTold:
    """What an archive would hold; none without an account."""

    stored: MySum | None


class _Running:
    """Who downloads now: one archive for each account, and so many in all."""

    def __init__(self) -> None:
        self._accounts: set[int] = set()

    def begin(self, account_id: int) -> None:
        """Take a place; Conflict where there is none."""
        if account_id in self._accounts:
            raise Conflict(OWN_RUNS)
        if len(self._accounts) >= AT_ONCE:
            raise Conflict(BUSY)
        self._accounts.add(account_id)

    def end(self, account_id: int) -> None:
        """Give it back."""
        self._accounts.discard(account_id)


class _Sent(StreamingResponse):
    """An archive on its way; its place is given back however it ends, also where it never began."""

    def __init__(
        self,
        content: AsyncGenerator[bytes],
        name: str,
        site_closing: asyncio.Event,
        end: Callable[[], None],
    ) -> None:
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(content, media_type="application/zip", headers=headers)
        self._content = content
        self._site_closing = site_closing
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI), until the site stops: what is there then is no whole archive."""
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(super().__call__(scope, receive, send))
                watching = tasks.create_task(self._site_closing.wait())
                await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
                sending.cancel()
                watching.cancel()
        finally:
            try:
                await self._content.aclose()
            finally:
                self._end()


def add(app: FastAPI, desk: Desk) -> None:
    """Add /me/download: the page, and by POST the archive itself."""
    store, running = desk.site.store, _Running()

    @twins.page(app, desk, "/me/download", DownloadTold, "What your archive would hold")
    async def show(request: Request) -> Shown:
        account_id = visitor_of(request).account_id
        if account_id is None:
            return Shown("me_download.html", DownloadTold(None))
        told = await store.read(lambda c: my_sum(c, account_id))
        return Shown("me_download.html", DownloadTold(told))

    async def send(request: Request) -> Response:
        account_id = account_of(request)
        account = await store.read(lambda c: my_account(c, account_id))
        running.begin(account_id)
        note_detail(request, "archive of account", account_id)
        made = datetime.fromtimestamp(desk.site.clock.now_ms() / 1000, UTC)
        name = f"labtrawl-{made:%Y-%m-%d}.zip"
        stream = _stream(desk.site, account_id, account, made)
        return _Sent(stream, name, desk.hub.closing, partial(running.end, account_id))

    twin = twin_of("POST", "/me/download")
    described(app)["POST", twin] = Described("Everything of yours as one zip archive", bytes)
    for path in ("/me/download", twin):
        app.post(path, response_model=None)(send)


async def _stream(
    site: Site, account_id: int, account: MyAccount, made: datetime
) -> AsyncGenerator[bytes]:
    """Write the archive, list after list; each is looked up when its turn comes.

    Closed in the middle, it closes the list in hand: a zip cannot end while a file of it is written.
    """
    made_at = f"{made:%Y-%m-%d %H:%M:%S} UTC"
    archive = Archive(dataset_root(site.data_dir), made_at, _about(site, account))
    for chunk in archive.begin():
        yield chunk
    thread = ThreadPoolExecutor(1, "archive")
    try:
        async for of, rows in _lists(site, account_id):
            packed = archive.add(of.full_path or of.name, _folder(of), rows)
            async with aclosing(_beside(thread, packed)) as chunks:
                async for chunk in chunks:
                    yield chunk
        async with aclosing(_beside(thread, archive.finish())) as chunks:
            async for chunk in chunks:
                yield chunk
    finally:
        thread.shutdown(wait=False)
        if archive.faults:
            files, first = len(archive.faults), archive.faults[0]
            log.error("archive_incomplete", account=account_id, files=files, first=first)


def _folder(of: ListRow) -> str:
    """Return the folder of a list, whatever the manifest says of its segments."""
    return folder_of(SegmentPrefix(of.instance_id, of.kind, of.gitlab_id, of.resource, 0, 0).text)


def _about(site: Site, account: MyAccount) -> str:
    """Say whose the archive is, what is not in it, and why all of it is collected."""
    said = [
        f"Everything that is collected in the name of {account.username}, at {account.instance_name}.",
        "What was read with more rights than this account has now is left out.",
    ]
    why = site.care.about.basis
    return "\n".join([*said, f"Why it is collected: {why}"] if why else said)


async def _lists(site: Site, account_id: int) -> AsyncIterator[tuple[ListRow, Sequence[Piece]]]:
    """Yield the lists that the account sees, each as it is when its turn comes.

    Who loses a list meanwhile does not get it any more.
    """
    reach = Reach(account_id)
    since: ListKey | None = None
    while True:
        found = await site.store.read(partial(lists, reach=reach, since=since, limit=AHEAD))
        for of in found:
            if of.key == since:
                continue
            if rows := await site.store.read(partial(_rows, reach=reach, of=of)):
                yield of, rows
        if len(found) < AHEAD:
            return
        since = found[-1].key


def _rows(connection: Connection, reach: Reach, of: ListRow) -> Sequence[Piece]:
    """Return the segments of a list; none where it is within reach no more."""
    still = [each.key for each in lists(connection, reach, of.key, limit=1)]
    return pieces(connection, of) if still == [of.key] else []


async def _beside(thread: Executor, chunks: Generator[bytes]) -> AsyncGenerator[bytes]:
    """Make each chunk in that thread: the other pages go on meanwhile."""
    loop = asyncio.get_running_loop()
    try:
        while (chunk := await loop.run_in_executor(thread, next, chunks, None)) is not None:
            if chunk:
                yield chunk
    finally:
        # By the same thread, so after the chunk that it makes now, if any.
        thread.submit(chunks.close)
