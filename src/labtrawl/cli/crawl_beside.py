"""The crawlers of `labtrawl crawl` as processes beside it, which dial the socket of the command.

They are forked before the command opens anything: what is imported by then is in memory once, and
the command waits for no second start. What one has to know comes through its line, a pair of
sockets. Its end is told there; a line that breaks without that means that the command was killed,
and nothing that is still read could be committed.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from labtrawl import logs
from labtrawl.cli.crawl_seat import Seat
from labtrawl.cli.lazy import load
from labtrawl.clock import system_clock
from labtrawl.errors import LabtrawlError
from labtrawl.supervisor.output import LogFile, LogStream

BROKEN_EXIT_CODE = 70
# A crawler drains for five seconds at most.
END_SECONDS = 10.0
END = b"."
# Bytes that tell how long a seat is.
LENGTH = 4
USUAL = 2
# New objects before garbage is looked for: what a page brings goes with it, and is no garbage.
YOUNG_OBJECTS = 10_000


class CrawlerLost(LabtrawlError):
    """No crawler is left of those that were there, and none was told to end."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A forked crawler, and this end of its line."""

    pid: int
    line: socket.socket

    def begin(self, seat: Seat, held: int) -> None:
        """Give it its seat, and the lock of the data folder to hold as long as it lives."""
        told = msgspec.json.encode(seat)
        with contextlib.suppress(OSError):  # who watches it finds that it is gone
            socket.send_fds(self.line, [len(told).to_bytes(LENGTH)], [held])
            self.line.sendall(told)
        self.line.setblocking(False)

    def end(self) -> None:
        """Ask it to give its jobs back and end; one that is gone needs no word."""
        with contextlib.suppress(OSError):
            self.line.send(END)


def usual_count() -> int:
    """Return how many crawlers there are where nobody says it.

    While one waits for the disk or for Python's lock, the other one reads. Measured on two
    processors: a third adds nothing.
    """
    return min(USUAL, len(os.sched_getaffinity(0)))


def fork_crawlers(count: int) -> list[Beside]:
    """Fork so many crawlers; none where one shall read and there is one processor for all.

    Nor where threads run already: what they lock would stay locked in the child for ever.
    """
    if count > 1:
        # Once for all of them: what each imports for itself is in memory as often.
        load("labtrawl.cli.crawl_reader")
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads > 1 or (count == 1 and len(os.sched_getaffinity(0)) == 1):
        return []
    # What is here by now is never looked at again: a collection would copy it into each process.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    forked: list[Beside] = []
    for places in _places(count):
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            _stay_at(places)
            _be_crawler([here, *(other.line for other in forked)], there)
        there.close()
        forked.append(Beside(pid, here))
    return forked


def _places(count: int) -> list[set[int]]:
    """Return the processors of each crawler: one of its own, where there are as many as crawlers.

    One thread of a crawler runs at a time, and each that goes on elsewhere wakes another processor.
    Where there are more of them, the system knows better which are busy.
    """
    all_of_them = os.sched_getaffinity(0)
    if count != len(all_of_them):
        return [all_of_them] * count
    return [{each} for each in sorted(all_of_them)]


def _stay_at(places: set[int]) -> None:
    with contextlib.suppress(OSError):  # a system that allows no choice makes its own
        os.sched_setaffinity(0, places)


def _be_crawler(strange: Sequence[socket.socket], line: socket.socket) -> NoReturn:
    """Be a crawler until the end of this process, which leaves nothing of its parent behind it."""
    code = BROKEN_EXIT_CODE
    try:
        # The command takes the signals of the terminal, and ends its crawlers.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for each in strange:
            each.close()
        _leave_terminal()
        _crawl(line)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last stop of this process
        if logs.is_set_up():
            logs.get("crawler").error("unexpected_error", exc_info=error)
    finally:
        os._exit(code)


def _leave_terminal() -> None:
    """Whoever reads what the command prints waits for its end, not for ours."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    os.close(nowhere)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def _crawl(line: socket.socket) -> None:
    """Import what is not here yet while the command does the same, then wait for the seat."""
    import uvloop

    load("labtrawl.cli.crawl_reader")
    gc.freeze()
    length, held, *_ = socket.recv_fds(line, LENGTH, 1)
    told = line.recv(int.from_bytes(length), socket.MSG_WAITALL)
    if not told:
        return  # the command came to nothing
    os.set_inheritable(held[0], False)
    seat = msgspec.json.decode(told, type=Seat)
    logs.set_up(stream=LogStream(LogFile(Path(seat.reading.data_dir) / f"{seat.name}.log")))
    uvloop.run(_work(seat, line))


async def _work(seat: Seat, line: socket.socket) -> None:
    from labtrawl.cli.crawl_reader import crawler

    # Files of several lists wait for the disk at once.
    workers = ThreadPoolExecutor(seat.reading.jobs, "disk")
    asyncio.get_running_loop().set_default_executor(workers)
    reader, writer = await asyncio.open_connection(sock=line)
    async with crawler(seat, system_clock()) as engine:
        ending = asyncio.create_task(_stop_after(reader, engine.stopping))
        await engine.run()
        ending.cancel()
    writer.close()


async def _stop_after(reader: asyncio.StreamReader, stopping: asyncio.Event) -> None:
    while await reader.read(1):
        stopping.set()
    os._exit(BROKEN_EXIT_CODE)


@contextlib.asynccontextmanager
async def beside(
    crawlers: Sequence[tuple[Beside, str]],
    gone: Callable[[str, int], Awaitable[None]],
    lost: Callable[[], None],
) -> AsyncIterator[None]:
    """Have crawlers beside the block, each with its name, and end them with it.

    `gone` hears of each that ended, `lost` when none is left. Raises CrawlerLost where they ended by
    themselves.
    """
    watches = [asyncio.create_task(_watch(one, name, gone)) for one, name in crawlers]
    looking = asyncio.create_task(_tell_when_lost(watches, lost))
    try:
        yield
    finally:
        codes = [watch.result() for watch in watches if watch.done()]
        looking.cancel()
        for one, _ in crawlers:
            one.end()
        pairs = zip(crawlers, watches, strict=True)
        await asyncio.gather(*(_ended(one, watch) for (one, _), watch in pairs))
    if crawlers and len(codes) == len(crawlers):
        raise CrawlerLost(
            f"the crawler {_words(codes[-1])}: run the same again, it goes on where it was;"
            " crawl.log in the folder may tell why"
        )


def _words(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended by itself, with {code}"


async def _watch(one: Beside, name: str, gone: Callable[[str, int], Awaitable[None]]) -> int:
    """Wait for the end of a process; return its exit code, negative for a signal."""
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(one.line, 1):
            pass
    _, status = await asyncio.to_thread(os.waitpid, one.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        logs.get("crawler").warning("crawler_ended", crawler=name, exit_code=code)
    await gone(name, one.pid)
    return code


async def _tell_when_lost(watches: list[asyncio.Task[int]], lost: Callable[[], None]) -> None:
    if watches:
        await asyncio.wait(watches)
        lost()


async def _ended(one: Beside, watch: asyncio.Task[int]) -> None:
    try:
        async with asyncio.timeout(END_SECONDS):
            await asyncio.shield(watch)
    except TimeoutError:
        os.kill(one.pid, signal.SIGKILL)
        await watch
    one.line.close()
