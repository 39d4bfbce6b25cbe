"""Either end may listen: who dialled changes nothing afterwards."""

import asyncio
import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labtrawl.clock import system_clock
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.protocol import messages as wire
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.meeting import AwaitCall, Dialler
from tests.integration.protocol.wire import TOKEN, Website, settled, website

CHILD = 4_000_000


@dataclass(slots=True)
class Place:
    """Where a crawler listens, held by somebody who outlives it."""

    path: Path
    held: socket.socket

    def crawler(
        self, token: str = TOKEN, holding: tuple[wire.Holding, ...] = ()
    ) -> DirectCommunicationClient:
        dialler = Dialler("crawler-1", token, os.getpid(), "here", "0", 8, lambda: list(holding))
        chance = Chance(lambda: secrets.token_hex(16), secrets.randbits, lambda: 0.0)
        return DirectCommunicationClient(
            AwaitCall(self.held), dialler, system_clock(), chance, lambda _: None
        )


@contextlib.contextmanager
def _place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="labtrawl-") as folder:
        path = Path(folder) / "crawler.sock"
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(path))
            held.listen()
            yield Place(path, held)


@contextlib.asynccontextmanager
async def _dialling(site: Website, path: Path) -> AsyncIterator[DirectCommunicationManager]:
    async with site.serving() as manager:
        dialling = asyncio.create_task(manager.dial(path))
        try:
            yield manager
        finally:
            dialling.cancel()


async def _renew(client: DirectCommunicationClient) -> str:
    answer = await client.request("jobRequest", "renew_leases", wire.RenewLeases(leases=[]), 30)
    return answer.key


@pytest.mark.seed("S2.1", "S2.6", "S2.60")
async def test_website_dials_the_crawler_and_both_ends_are_proved(tmp_path: Path) -> None:
    with _place() as place:
        async with website(tmp_path) as site, _dialling(site, place.path) as manager:
            # Whoever made the socket listen is at its other end, for the kernel: that is not the child.
            site.announce("crawler-1", pid=CHILD)
            client = place.crawler()
            async with client.running():
                assert await _renew(client) == "leases_renewed"
                (known,) = manager.get_authorized_clients()
                assert (known.name, known.pid) == ("crawler-1", CHILD)
            async with place.crawler().running():  # the next process of the same crawler
                await settled(lambda: manager.board.desk.statistics.reconnects > 0)


async def test_crawler_that_is_dialled_goes_on_after_a_restart_of_the_website(
    tmp_path: Path,
) -> None:
    with _place() as place:
        async with website(tmp_path) as site:
            site.announce("crawler-1")
            client = place.crawler()
            async with client.running():
                for _ in range(2):
                    async with _dialling(site, place.path):
                        assert await _renew(client) == "leases_renewed"


async def test_crawler_names_what_it_holds_when_it_is_dialled(tmp_path: Path) -> None:
    with _place() as place:
        async with website(tmp_path) as site:
            await site.plant(2)
            kept, _ = await site.claim("crawler-1", 2)
            site.announce("crawler-1")
            holding = wire.Holding(task_id=str(kept.job_id), epoch=kept.fence)
            client = place.crawler(holding=(holding,))
            async with _dialling(site, place.path), client.running():
                await _renew(client)
                states = await site.store.read(
                    lambda c: c.exec_driver_sql("SELECT state FROM job ORDER BY id").scalars().all()
                )
        assert states == ["running", "queued"]


async def test_neither_end_believes_who_cannot_prove_itself(tmp_path: Path) -> None:
    with _place() as place:
        async with website(tmp_path) as site, _dialling(site, place.path) as manager:
            site.announce("crawler-1")
            client = place.crawler(token="another token")
            async with client.running():
                await settled(lambda: bool(manager.board.desk.statistics.rejected))
                assert (manager.is_connected(), client.is_connected()) == (False, False)
