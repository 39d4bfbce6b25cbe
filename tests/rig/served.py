"""A look-alike beside a test that is no coroutine: it serves from a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from labtrawl.sandbox import Options, Server, Truth, World, running
from labtrawl.sandbox.changes import Change

T = TypeVar("T")
LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Served:
    """A look-alike that is up; its world is changed and asked in its own thread."""

    url: str
    world: World
    server: Server
    loop: asyncio.AbstractEventLoop

    @property
    def token(self) -> str:
        return self.world.accounts[0].token

    def change(self, *changes: Change) -> None:
        self._there(lambda: self.server.change(*changes))

    def truth(self, username: str | None = None) -> Truth:
        return self._there(lambda: self.server.truth(username))

    def let_work(self) -> None:
        """Leave it alone for a moment: who asks it again at once slows what is waited for."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(LOOK_SECONDS), self.loop).result(30)

    def _there(self, call: Callable[[], T]) -> T:
        async def asked() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(asked(), self.loop).result(30)


@contextlib.contextmanager
def served(
    world: World, options: Options | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Served]:
    """Serve a world while the block runs."""
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    up: list[Server] = []
    is_up = threading.Event()

    async def serve() -> None:
        async with running(world, options, host, port) as server:
            up.append(server)
            is_up.set()
            await ended.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            is_up.set()
            loop.close()

    thread = threading.Thread(target=run, name="look-alike")
    thread.start()
    is_up.wait()
    assert up, "the look-alike does not come up"
    try:
        yield Served(up[0].url, world, up[0], loop)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
