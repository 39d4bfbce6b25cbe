"""More crawlers for `labtrawl crawl`: processes that dial the socket of the command.

What one has to know comes on its standard input, which stays open as long as it shall work.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import click
import msgspec

from labtrawl import logs
from labtrawl.cli.crawl_reader import Reading, Seat, crawler, new_seat
from labtrawl.clock import system_clock
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.supervisor.output import LogFile, LogStream

COMMAND = (sys.executable, "-P", "-m", "labtrawl", "run", "beside")
# A crawler drains for five seconds at most.
END_SECONDS = 10.0


@contextlib.asynccontextmanager
async def beside(
    count: int, path: Path, reading: Reading, manager: DirectCommunicationManager, held: int
) -> AsyncIterator[None]:
    """Run `count` crawlers while the block runs; one that dies gives its jobs back, and is missed.

    Each inherits `held`, the lock of the data folder: none is forgotten there.
    """
    seated: list[tuple[Process, asyncio.Task[None]]] = []
    try:
        for number in range(2, count + 2):
            seat = new_seat(f"crawl-{number}", path, reading)
            process = await _started(seat, manager, held)
            seated.append((process, asyncio.create_task(_miss(seat.name, process, manager))))
        yield
    finally:
        for process, _ in seated:
            assert process.stdin is not None
            process.stdin.close()
        await asyncio.gather(*(_ended(process, watch) for process, watch in seated))


async def _started(seat: Seat, manager: DirectCommunicationManager, held: int) -> Process:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, pass_fds=(held,)
    )
    assert process.stdin is not None
    manager.board.auth.announce(seat.name, process.pid, seat.fingerprint)
    process.stdin.write(msgspec.json.encode(seat) + b"\n")
    return process


async def _ended(process: Process, watch: asyncio.Task[None]) -> None:
    try:
        async with asyncio.timeout(END_SECONDS):
            await asyncio.shield(watch)
    except TimeoutError:
        process.kill()
        await watch


async def _miss(name: str, process: Process, manager: DirectCommunicationManager) -> None:
    code = await process.wait()
    if code:
        logs.get("crawler").warning("crawler_ended", crawler=name, exit_code=code)
    await manager.peer_gone(name, process.pid)


@click.command()
def run() -> None:
    """Crawl beside `labtrawl crawl`, which starts this."""
    import uvloop

    seat = msgspec.json.decode(sys.stdin.buffer.readline(), type=Seat)
    log = Path(seat.reading.data_dir) / f"{seat.name}.log"
    logs.set_up(stream=LogStream(LogFile(log)))
    uvloop.run(_work(seat))


async def _work(seat: Seat) -> None:
    async with crawler(seat, system_clock()) as engine:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        ending = asyncio.create_task(_stop_after(reader, engine.stopping))
        await engine.run()
        ending.cancel()


async def _stop_after(reader: asyncio.StreamReader, stopping: asyncio.Event) -> None:
    await reader.read()
    stopping.set()
