"""`labtrawl start`: the supervisor with website and crawlers, in the foreground."""

import asyncio
import contextlib
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import click
from msgspec.structs import replace

from labtrawl import config, logs
from labtrawl.cli.options import setting_flags
from labtrawl.clock import system_clock
from labtrawl.config import Settings
from labtrawl.errors import ConfigError
from labtrawl.errors import ConfigError
from labtrawl.supervisor import instance, linux
from labtrawl.supervisor.listeners import address_of, bind_tcp, bind_unix, make_private_folder
from labtrawl.supervisor.output import LogFile, LogStream, Output
from labtrawl.supervisor.process import Inheritance, Program
from labtrawl.supervisor.restarts import CONFIG_EXIT_CODE
from labtrawl.supervisor.states import ProgramStatus, State
from labtrawl.supervisor.strays import Strays
from labtrawl.supervisor.supervisor import Place, Supervisor

# How long children of a killed supervisor may take to end before a start gives up.
_PATIENCE_SECONDS = 15.0

Beside = Callable[[Supervisor, str], Awaitable[None]]


@click.command()
@setting_flags("website.host", "website.port", "crawler.count", "scope.include", "scope.exclude")
def start(settings: Settings) -> int:
    """Start website and crawlers, and watch over them until Ctrl+C.

    \b
    labtrawl start
    labtrawl start --port 8080 --crawlers 2
    labtrawl start --include 'open-source/*'

    The exit code is 0 after a clean stop, 1 if something had to be killed.
    """  # noqa: D301 - click reads \b
    return run_supervisor(settings)


def run_supervisor(
    settings: Settings,
    extra_programs: Sequence[Program] = (),
    *,
    beside: Beside | None = None,
    show_output: bool = True,
) -> int:
    """Run website, crawlers and `extra_programs` until they are stopped; return the exit code.

    `beside` runs next to them with the supervisor and the website's address, and may stop it; when
    it returns the programs go on. Extra programs are ready before the website starts. With
    `show_output` the children's lines and the supervisor's log go to stderr; the children's are
    always kept in <data_dir>/logs, the supervisor's where it is not shown.
    """
    programs = partial(programs_of, extra=tuple(extra_programs))
    return supervise(settings, programs, beside=beside, show_output=show_output)


def supervise(
    settings: Settings,
    programs: Callable[[Settings], Sequence[Program]],
    *,
    beside: Beside | None = None,
    show_output: bool = True,
) -> int:
    """Do as `run_supervisor` with other programs, made from the settings as they turned out."""
    linux.forbid_inspection()
    return asyncio.run(_Run(settings, programs, beside, show_output).run())


@dataclass(slots=True)
class _Run:
    """One run of the supervisor, and what it must remember for its exit code."""

    settings: Settings
    programs: Callable[[Settings], Sequence[Program]]
    beside: Beside | None
    show_output: bool
    unusable: str = ""
    is_up: set[str] = field(default_factory=set)

    async def run(self) -> int:
        control = self.settings.runtime_dir / "control.sock"
        held = instance.hold(self.settings.data_dir, control, system_clock(), _PATIENCE_SECONDS)
        async with held as hold:
            if not self.show_output:
                file = LogFile(self.settings.data_dir / "logs" / "supervisor.log")
                logs.set_up(self.settings.logs, LogStream(file))
            with _listening(self.settings) as sockets:
                supervisor = self._supervisor(sockets, hold.descriptor)
                async with _doors(supervisor, sockets):
                    killed = await self._until_stopped(supervisor, sockets)
        if self.unusable:
            raise ConfigError(self.unusable)
        return 1 if killed else 0

    def _supervisor(self, sockets: dict[str, socket.socket], held: int) -> Supervisor:
        settings = _actual(self.settings, sockets["web"])
        stream = sys.stderr if self.show_output else None
        output = Output(settings.data_dir / "logs", stream, _form(settings))
        supervisor = Supervisor(
            self.programs(settings),
            Inheritance(
                listeners={name: sockets[name].fileno() for name in ("web", "api")},
                holds=(held,),
                auth_socket=str(settings.auth_socket.path),
                heartbeat_seconds=settings.heartbeat.seconds,
            ),
            Place(settings.data_dir, address_of(sockets["web"])),
            clock=system_clock(),
            random=random.SystemRandom().random,
            take_line=output.take,
            on_change=lambda status: self._note(supervisor, output, status),
        )
        return supervisor

    def _note(self, supervisor: Supervisor, output: Output, status: ProgramStatus) -> None:
        """Say once where the website is; end if what all depends on can never work."""
        if status.state is State.READY and status.name not in self.is_up:
            self.is_up.add(status.name)
            if status.name == "website" and self.beside is None:
                _welcome(supervisor.whole_status().address, bool(self.settings.accounts))
        hopeless = status.state is State.FAILED and status.exit_code == CONFIG_EXIT_CODE
        needed = status.name not in self.is_up and not status.name.startswith("crawler-")
        if hopeless and needed:
            words = output.last_line(status.name).removeprefix("labtrawl: ")
            self.unusable = f"{status.name} cannot work: {words or status.reason}"
            supervisor.stop()

    async def _until_stopped(
        self, supervisor: Supervisor, sockets: dict[str, socket.socket]
    ) -> tuple[str, ...]:
        strays = Strays(supervisor.live_pids)
        strays.watch(asyncio.get_running_loop())
        _obey_signals(supervisor)
        running = asyncio.create_task(supervisor.run())
        if self.beside is not None:
            await self._run_beside(self.beside, supervisor, running, address_of(sockets["web"]))
        killed = await running
        strays.sweep()
        return killed

    async def _run_beside(
        self,
        beside: Beside,
        supervisor: Supervisor,
        running: asyncio.Task[tuple[str, ...]],
        address: str,
    ) -> None:
        """Run it as long as the supervisor runs; its failure stops everything, then is raised."""
        task = asyncio.ensure_future(beside(supervisor, address))
        await asyncio.wait({running, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not task.cancelled() and task.exception() is not None:
            supervisor.stop()
        await running
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _welcome(address: str, has_account: bool) -> None:
    """Say where the website is; a reader that went away does not end the programs."""
    with contextlib.suppress(OSError):
        click.echo(f"labtrawl is ready at {address}  (Ctrl+C stops it)")
        click.echo("`labtrawl admin link` prints a link to sign in")
        if not has_account:
            click.echo("no GitLab is connected yet: `labtrawl init` does that")


def _obey_signals(supervisor: Supervisor) -> None:
    """First signal: stop; second: kill. A terminal that closes counts, unless nohup was asked."""
    asked = False

    def obey() -> None:
        nonlocal asked
        (supervisor.kill if asked else supervisor.stop)()
        asked = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, obey)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[dict[str, socket.socket]]:
    """Bind what children inherit and the supervisor's own doors; remove the files at the end."""
    unix = {
        "api": settings.socket.path,
        "control": settings.runtime_dir / "control.sock",
        "auth": settings.auth_socket.path,
    }
    make_private_folder(settings.data_dir / "config")
    with contextlib.ExitStack() as stack:
        may_move = "website.port" not in settings.named
        web = bind_tcp(settings.website.host, settings.website.port, may_move=may_move)
        sockets = {"web": stack.enter_context(web)}
        for name, path in unix.items():
            sockets[name] = stack.enter_context(bind_unix(path))
            stack.callback(path.unlink, missing_ok=True)
        yield sockets


@contextlib.asynccontextmanager
async def _doors(supervisor: Supervisor, sockets: dict[str, socket.socket]) -> AsyncIterator[None]:
    control, authentication = supervisor.doors()
    servers = [
        await asyncio.start_unix_server(control.serve, sock=sockets["control"]),
        await asyncio.start_unix_server(authentication.serve, sock=sockets["auth"]),
    ]
    try:
        yield
    finally:
        await control.finish()
        for server in servers:
            server.close()


def _form(settings: Settings) -> Literal["console", "json"]:
    return logs.chosen_format(settings.logs.format, sys.stderr)


def _actual(settings: Settings, web: socket.socket) -> Settings:
    """Return the settings as they turned out: the real port, and how children's logs look."""
    return replace(
        settings,
        website=replace(settings.website, port=web.getsockname()[1]),
        logs=replace(settings.logs, format=_form(settings)),
    )


def programs_of(settings: Settings, extra: tuple[Program, ...] = ()) -> list[Program]:
    """Return website and crawlers, after the extra programs; ConfigError without an account."""
    if not settings.accounts:
        raise ConfigError("no GitLab is connected yet: run `labtrawl init`, then start again")
    website = Program(
        name="website",
        argv=child_arguments("website"),
        config=config.dump(settings),
        gives_credentials=True,
        listeners=("web", "api"),
        after=tuple(program.name for program in extra),
    )
    # A crawler gets its tokens with its jobs; it has no use for the accounts.
    crawler_config = config.dump(replace(settings, accounts=()))
    crawlers = [
        Program(
            name=f"crawler-{number}",
            argv=child_arguments("crawler"),
            config=crawler_config,
            needs_credentials=True,
            after=("website",),
        )
        for number in range(1, settings.crawler.count + 1)
    ]
    return [*extra, website, *crawlers]


def child_arguments(program: str) -> tuple[str, ...]:
    """Return the command line of a supervised program; -P: the working folder holds no modules."""
    return (sys.executable, "-P", "-m", "labtrawl", "run", program)
