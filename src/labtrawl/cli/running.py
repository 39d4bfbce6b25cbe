"""One run of the supervisor: its sockets, its doors, its signals. `start` and the demo enter."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from labtrawl import config, logs
from labtrawl.cli.options import Source
from labtrawl.cli.programs import FIXED, crawler_program, named_program, website_program
from labtrawl.cli.signals import obey_signals
from labtrawl.cli.sockets import Sockets
from labtrawl.clock import system_clock
from labtrawl.config import Settings
from labtrawl.errors import ConfigError, LabtrawlError, Missing
from labtrawl.supervisor import instance
from labtrawl.supervisor.control import ControlDoor
from labtrawl.supervisor.output import LogFile, LogStream, Output
from labtrawl.supervisor.process import Inheritance, Program
from labtrawl.supervisor.reload import changes
from labtrawl.supervisor.restarts import CONFIG_EXIT_CODE
from labtrawl.supervisor.states import ProgramStatus, State, Status
from labtrawl.supervisor.strays import Strays
from labtrawl.supervisor.supervisor import Place, Supervisor
from labtrawl.supervisor.terminals import JoinWanted, Terminal, Terminals

# How long children of a killed supervisor may take to end before a start gives up.
_PATIENCE_SECONDS = 15.0
# How long a supervisor that waits for its first terminal goes on without one.
_IDLE_SECONDS = 15.0

Beside = Callable[[Supervisor, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a supervisor runs: what it starts with, who is told, when it ends."""

    programs: Callable[[Settings], Sequence[Program]]
    """Made from the settings as they turned out."""
    read_again: Callable[[], Settings] | None = None
    """For a reload; without it there is none."""
    beside: Beside | None = None
    show_output: bool = True
    is_for_terminals: bool = False
    """It starts with nothing and ends with the last program of the last terminal."""
    up: Callable[[str], None] = lambda _address: None
    """Called once, with the website's address: when it is ready, or the doors are open."""
    must_come_up: bool = False
    """Whether a website that fails before it was ever ready ends the run, whatever the reason."""


@dataclass(slots=True)
class Run:
    """One run: the supervisor, what it listens on, and what its exit code depends on."""

    settings: Settings
    manner: Manner
    unusable: str = ""
    is_up: set[str] = field(default_factory=set)
    sockets: Sockets = field(init=False)
    supervisor: Supervisor = field(init=False)
    output: Output = field(init=False)
    terminals: Terminals = field(init=False)
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sockets = Sockets(self.settings)

    async def run(self) -> int:
        """Run until everything is stopped; ConfigError when what all depends on cannot work."""
        control = self.settings.runtime_dir / "control.sock"
        held = instance.hold(self.settings.data_dir, control, system_clock(), _PATIENCE_SECONDS)
        async with held as hold:
            self._set_up_logs()
            with self.sockets:
                if not self.manner.is_for_terminals:
                    self.sockets.bind_web(self.settings)
                self._make_supervisor(hold.descriptor)
                async with self._doors():
                    killed = await self._until_stopped()
        if self.unusable:
            raise ConfigError(self.unusable)
        return 1 if killed else 0

    def _set_up_logs(self) -> None:
        stream = None
        if not self.manner.show_output:
            stream = LogStream(LogFile(self.settings.data_dir / "logs" / "supervisor.log"))
        logs.set_up(replace(self.settings.logs, format=self._form()), stream)

    def _form(self) -> Literal["console", "json"]:
        if not self.manner.show_output:
            return "json"
        return logs.chosen_format(self.settings.logs.format, sys.stderr)

    def _make_supervisor(self, held: int) -> None:
        settings = self.settings
        clock = system_clock()
        self.output = Output(
            settings.data_dir / "logs",
            sys.stderr if self.manner.show_output else None,
            self._form(),
            now=clock.now,
            heard=lambda name, kept: self.terminals.take_line(name, kept),  # noqa: PLW0108 - made after it
        )
        self.supervisor = Supervisor(
            self.manner.programs(self._actual(settings)),
            Inheritance(
                listeners=self.sockets.inherited,
                holds=(held,),
                auth_socket=str(settings.auth_socket.path),
                heartbeat_seconds=settings.heartbeat.seconds,
                credentials_in_environment=settings.credentials == "environment",
            ),
            Place(settings.data_dir, self.sockets.address),
            clock=clock,
            random=random.SystemRandom().random,
            take_line=self.output.take,
            on_change=self._note,
        )
        self.terminals = Terminals(self.supervisor, self._make_joined, self._emptied)

    def _actual(self, settings: Settings) -> Settings:
        """Return the settings as they turned out: the real port, and logs that files keep."""
        # Where no website listens yet there is no port, and crawlers do not guess one.
        website = replace(settings.website, port=self.sockets.port or 0)
        return replace(settings, website=website, logs=replace(settings.logs, format="json"))

    def _note(self, status: ProgramStatus) -> None:
        """Say once where the website is; end if what all depends on can never work."""
        self.terminals.take_change(status, self.sockets.address)
        if status.state is State.READY and status.name not in self.is_up:
            self.is_up.add(status.name)
            if status.name == "website" and not self.manner.is_for_terminals:
                self.manner.up(self.sockets.address)
        if status.state is State.FAILED and self._is_hopeless(status):
            words = self.output.last_line(status.name).removeprefix("labtrawl: ")
            self.unusable = f"{status.name} cannot work: {words or status.reason}"
            self.supervisor.stop()

    def _is_hopeless(self, status: ProgramStatus) -> bool:
        """Say whether a failure ends the run: of what never worked, and others wait for."""
        final = status.exit_code == CONFIG_EXIT_CODE or self.manner.must_come_up
        replaceable = status.name.startswith("crawler-") or status.name in self.terminals.owned()
        return final and not replaceable and status.name not in self.is_up

    @contextlib.asynccontextmanager
    async def _doors(self) -> AsyncIterator[None]:
        control, authentication = ControlDoor(self), self.supervisor.authentication_door()
        servers = [
            await asyncio.start_unix_server(control.serve, sock=self.sockets.control),
            await asyncio.start_unix_server(authentication.serve, sock=self.sockets.authentication),
        ]
        try:
            yield
        finally:
            await control.finish()
            for server in servers:
                server.close()

    async def _until_stopped(self) -> tuple[str, ...]:
        strays = Strays(self.supervisor.live_pids)
        strays.watch(asyncio.get_running_loop())
        obey_signals(self.supervisor.stop, self.supervisor.kill, self.reload_soon)
        running = asyncio.create_task(self.supervisor.run())
        if self.manner.beside is not None:
            await self._run_beside(self.manner.beside, running)
        if self.manner.is_for_terminals:
            self.manner.up("")
            asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._emptied)
        killed = await running
        strays.sweep()
        return killed

    async def _run_beside(self, beside: Beside, running: asyncio.Task[tuple[str, ...]]) -> None:
        """Run it as long as the supervisor runs; its failure stops everything, then is raised."""
        task = asyncio.ensure_future(beside(self.supervisor, self.sockets.address))
        await asyncio.wait({running, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not task.cancelled() and task.exception() is not None:
            self.supervisor.stop()
        await running
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    # What the control socket asks for.

    def whole_status(self) -> Status:
        """Return how everything is."""
        return self.supervisor.whole_status()

    def stop(self) -> None:
        """Stop everything."""
        self.supervisor.stop()

    async def wait_until_stopped(self) -> tuple[str, ...]:
        """Return the names of those that had to be killed, when nothing runs any more."""
        return await self.supervisor.wait_until_stopped()

    async def restart(self, name: str) -> ProgramStatus:
        """Stop and start one program."""
        return await self.supervisor.restart(name)

    def join(self, wanted: JoinWanted) -> Terminal:
        """Add the programs of a terminal."""
        return self.terminals.join(wanted)

    async def leave(self, terminal: Terminal, *, by_force: bool) -> None:
        """Stop the programs of a terminal."""
        await self.terminals.leave(terminal, by_force=by_force)

    def _emptied(self) -> None:
        if self.manner.is_for_terminals and not self.supervisor.programs():
            self.supervisor.stop()

    def _make_joined(self, wanted: JoinWanted, taken: Collection[str]) -> list[Program]:
        settings = config.restore(wanted.settings)
        _refuse_other_place(self.settings, settings)
        if wanted.kind == "crawler":
            _refuse_second_listener(settings, wanted.count, taken)
            numbers = (n for n in range(1, 10_000) if f"crawler-{n}" not in taken)
            return [crawler_program(settings, next(numbers)) for _ in range(wanted.count)]
        if "website" not in taken and self.sockets.bind_web(settings):
            self.settings = replace(self.settings, website=settings.website)
            self.supervisor.serve_at(self.sockets.address)
        return [website_program(self._actual(settings))]

    async def reload(self) -> list[str]:
        """Read the settings again and change what is changed; return that, a sentence each.

        ConfigError, and nothing is changed, for settings that cannot be used or not while it runs.
        """
        if self.manner.read_again is None:
            raise ConfigError("the settings of this run cannot be read again; stop and start it")
        async with self.reloading:
            settings = self._as_bound(self.manner.read_again())
            _refuse_fixed(self.settings, settings)
            wanted = {each.name: each for each in self.manner.programs(self._actual(settings))}
            for name, joined in self.terminals.owned().items():
                theirs = self._as_bound(Source.restore(joined.source).read())
                _refuse_fixed(self.settings, theirs)
                wanted[name] = named_program(name, self._actual(theirs))
            self.settings = settings
            self._set_up_logs()
            done = await self._apply(wanted)
        logs.get("supervisor").info("reloaded", changes=done)
        return done

    def _as_bound(self, settings: Settings) -> Settings:
        """Return settings with the address that the website's terminal chose, where one did."""
        if self.manner.is_for_terminals:
            return replace(settings, website=self.settings.website)
        return settings

    async def _apply(self, wanted: dict[str, Program]) -> list[str]:
        steps = changes(self.supervisor.programs(), wanted)
        await self.supervisor.remove(steps.removed)
        for each in (*steps.renewed, *steps.restarted):
            self.supervisor.replace(each)
        self.supervisor.add(steps.added)
        for each in steps.restarted:
            with contextlib.suppress(Missing):  # its terminal left meanwhile
                await self.supervisor.restart(each.name)
        return steps.in_words()

    def reload_soon(self) -> None:
        """Reload, and leave what became of it in the log: nobody waits for the answer."""
        task = asyncio.get_running_loop().create_task(self._reload_for_the_log())
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def _reload_for_the_log(self) -> None:
        try:
            await self.reload()
        except LabtrawlError as error:
            logs.get("supervisor").error("reload_refused", error=str(error))


def _refuse_fixed(old: Settings, new: Settings) -> None:
    """Refuse what cannot change while it runs."""
    for name in FIXED:
        if getattr(old, name) != getattr(new, name):
            what = f"{name}.*" if name in {"socket", "auth_socket", "website"} else name
            raise ConfigError(
                f"{what} cannot change while labtrawl runs; `labtrawl stop`, then start it again"
            )


def _refuse_second_listener(settings: Settings, count: int, taken: Collection[str]) -> None:
    """Where the website dials, one crawler listens: a second one would take its calls."""
    there = [name for name in taken if name.startswith("crawler-")]
    if settings.socket.role == "dial" and count + len(there) > 1:
        raise ConfigError(
            'socket.role = "dial" is for one crawler; start one, or set it to "listen"'
        )


def _refuse_other_place(own: Settings, theirs: Settings) -> None:
    """Refuse a terminal whose settings name other sockets than this supervisor's."""
    for name in ("data_dir", "credentials", "socket", "auth_socket"):
        if getattr(own, name) != getattr(theirs, name):
            raise ConfigError(f"the labtrawl that runs here has another {name}; use the same one")
