"""A terminal of `labtrawl start website` or `start crawler`: joins the supervisor, or begins one."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import click
import msgspec

from labtrawl import config, logs
from labtrawl.cli.background import launch
from labtrawl.cli.options import Source
from labtrawl.clock import system_clock
from labtrawl.config import Settings
from labtrawl.errors import ConfigError, Conflict, PeerGone
from labtrawl.supervisor.control import MAX_LINE, Leave, Reply
from labtrawl.supervisor.instance import holder_of
from labtrawl.supervisor.output import Form, shown
from labtrawl.supervisor.restarts import CONFIG_EXIT_CODE
from labtrawl.supervisor.states import ProgramStatus, State
from labtrawl.supervisor.supervisor import ENDING, Narrator
from labtrawl.supervisor.terminals import Changed, Ended, JoinWanted, Line, Lost, Told

_TOLD: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)
_LEAVE = msgspec.json.encode(Leave()) + b"\n"
# A supervisor that is just ending, or just beginning, is waited for.
_TRIES = 200
_PAUSE_SECONDS = 0.05

Kind = Literal["website", "crawler"]


def join(settings: Settings, source: Source, kind: Kind, count: int = 1) -> int:
    """Run a program in this terminal, with those of other terminals; return the exit code."""
    wanted = JoinWanted(
        kind=kind,
        count=count,
        settings=msgspec.Raw(config.dump(settings)),
        source=msgspec.Raw(source.dump()),
    )
    return asyncio.run(_join(settings, source, wanted))


async def _join(settings: Settings, source: Source, wanted: JoinWanted) -> int:
    async with _joined(settings, source, wanted) as (reader, writer):
        terminal = _Terminal(writer, logs.chosen_format(settings.logs.format, sys.stderr))
        terminal.obey_signals()
        return await terminal.follow(reader)


@contextlib.asynccontextmanager
async def _joined(
    settings: Settings, source: Source, wanted: JoinWanted
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Join the supervisor of the data folder; begin one where there is none."""
    reader, writer = await _find(settings, source, wanted)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _find(
    settings: Settings, source: Source, wanted: JoinWanted
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    clock = system_clock()
    for _ in range(_TRIES):
        holder = holder_of(settings.data_dir)
        try:
            if holder is not None:
                return await _ask(Path(holder.control), wanted)
            await _begin(settings, source)
        except (PeerGone, OSError):
            await clock.sleep(_PAUSE_SECONDS)
    raise PeerGone(
        f"the supervisor on {settings.data_dir} does not answer; `labtrawl stop` ends it"
    )


async def _begin(settings: Settings, source: Source) -> None:
    try:
        await asyncio.to_thread(launch, source, "terminals")
    except ConfigError:
        # Another terminal may have been quicker by an instant.
        if holder_of(settings.data_dir) is None:
            raise


async def _ask(
    control: Path, wanted: JoinWanted
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the connection on which the supervisor took our programs.

    Conflict or ConfigError with its sentence when it did not, PeerGone when it is ending.
    """
    reader, writer = await asyncio.open_unix_connection(control, limit=MAX_LINE)
    writer.write(msgspec.json.encode(wanted) + b"\n")
    line = await reader.readline()
    reply = msgspec.json.decode(line, type=Reply) if line else Reply(error=ENDING)
    if reply.error is not None:
        writer.close()
        raise (PeerGone if reply.error == ENDING else Conflict)(reply.error)
    return reader, writer


class _Terminal:
    """Shows what the supervisor tells, passes signals on, and makes the exit code of it."""

    def __init__(self, writer: asyncio.StreamWriter, form: Form) -> None:
        self._writer = writer
        self._form = form
        self._last: dict[str, str] = {}
        self._is_up: set[str] = set()
        self._narrator = Narrator()
        self._unusable = ""

    def obey_signals(self) -> None:
        """First signal: our programs stop; second: they are killed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._leave)

    def _leave(self) -> None:
        self._writer.write(_LEAVE)

    async def follow(self, reader: asyncio.StreamReader) -> int:
        """Show everything up to the end of our programs."""
        while line := await reader.readline():
            told = _TOLD.decode(line)
            if isinstance(told, Ended):
                return self._end(told)
            with contextlib.suppress(OSError):  # a screen that is gone sends its signal
                self._show(told)
        raise PeerGone("the supervisor has ended, and with it what it had started here")

    def _end(self, ended: Ended) -> int:
        if self._unusable:
            raise ConfigError(self._unusable)
        return 1 if ended.killed else 0

    def _show(self, told: Line | Changed | Lost) -> None:
        if isinstance(told, Line):
            self._last[told.name] = told.kept
            words = shown(told.name, told.kept, self._form, colors=sys.stderr.isatty())
            click.echo(words, err=True)
        elif isinstance(told, Lost):
            logs.get("supervisor").warning("lines_not_shown", lines=told.lines)
        else:
            self._note(told.status, told.address)

    def _note(self, status: ProgramStatus, address: str) -> None:
        log = logs.get("supervisor")
        if status.state is State.BACKOFF:
            log.warning("program_crashed", program=status.name, reason=status.reason)
        elif status.state is State.FAILED:
            log.error("program_failed", program=status.name, reason=status.reason)
        self._narrator.tell(status)
        if status.state is State.READY and status.name not in self._is_up:
            self._is_up.add(status.name)
            if status.name == "website":
                click.echo(f"the website is ready at {address}  (Ctrl+C stops it)")
        hopeless = status.exit_code == CONFIG_EXIT_CODE and status.name not in self._is_up
        if hopeless and not self._unusable:
            self._unusable = f"{status.name} cannot work: {self._why(status)}"
            self._leave()

    def _why(self, status: ProgramStatus) -> str:
        event = msgspec.json.decode(self._last.get(status.name, "{}"))
        return str(event.get("text", "")).removeprefix("labtrawl: ") or status.reason
