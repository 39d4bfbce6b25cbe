"""`labtrawl sandbox`: the GitLab look-alike, served or counted; and as a supervised program."""

import asyncio
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop

from labtrawl import logs
from labtrawl.cli.lazy import Commands
from labtrawl.cli.places import PLACE
from labtrawl.cli.start import child_arguments
from labtrawl.cli.whole_file import write_whole
from labtrawl.config import Logs, Settings
from labtrawl.errors import ConfigError
from labtrawl.sandbox import (
    Fault,
    NotAnExport,
    Options,
    Server,
    UnknownWorld,
    World,
    build_world,
    format_truth,
    running,
    serve,
    truth,
)
from labtrawl.supervisor.child import Child
from labtrawl.supervisor.listeners import bind_tcp
from labtrawl.supervisor.process import Program

_HOST = "127.0.0.1"
# Digits: of ten million objects a world would be many GB.
LONGEST_SIZE = 7
# Below the ports that the system takes for outgoing connections (32768 and up).
_FIRST_PORT, _PORTS = 20000, 10000


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Which world a sandbox shows, and how it behaves: what the supervised child is given."""

    world: str = "default"
    seed: int = 1
    sizes: dict[str, int] = {}
    imports: tuple[Path, ...] = ()
    port: int = 0
    latency_ms: float = 0.0
    rate_limit_per_minute: int = 0
    short_pages: bool = False
    link_host: str = ""
    external_url: str = ""
    expires_in: int = 7200
    faults: tuple[Fault, ...] = ()
    logs: Logs = Logs()

    def build(self) -> World:
        """Make the world; ConfigError for an unknown one, a wrong size, a folder that is no export."""
        try:
            return build_world(self.world, self.seed, self.sizes, list(self.imports))
        except (UnknownWorld, NotAnExport) as error:
            raise ConfigError(str(error)) from error

    def options(self) -> Options:
        """Return how it is served."""
        return Options(
            external_url=self.external_url,
            latency_ms=self.latency_ms,
            rate_limit_per_minute=self.rate_limit_per_minute,
            short_pages=self.short_pages,
            link_host=self.link_host,
            expires_in=self.expires_in,
            faults=self.faults,
        )


def _world_flags(command: Callable[..., Any]) -> Any:
    for option in reversed(
        (
            click.option(
                "--world",
                default="default",
                metavar="NAME",
                help="default, small, shared; w1, w2, w3, w3n of the benchmarks (w3@0.1: a tenth).",
            ),
            click.option("--seed", default=1, help="Another seed is another world."),
            click.option(
                "--size",
                "sizes",
                multiple=True,
                metavar="NAME=N",
                help="A size of the world, such as issues=500; repeatable.",
            ),
            click.option(
                "--import",
                "imports",
                multiple=True,
                type=PLACE,
                metavar="DIR",
                help="The tree of a project's or group's export instead; repeatable.",
            ),
            click.option("--external-url", default="", help="Where links point."),
        )
    ):
        command = option(command)
    return command


@click.group(cls=Commands)
def sandbox() -> None:
    """Serve a GitLab look-alike, or print what it holds.

    \b
    labtrawl sandbox serve --world small --port 8080
    labtrawl sandbox serve --import project-export/tree
    labtrawl sandbox truth --world small --json
    """  # noqa: D301 - click reads \b


@sandbox.command("serve")
@_world_flags
@click.option("--host", default=_HOST, show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="The port; 0 takes any free one.",
)
@click.option(
    "--latency-ms",
    default=0.0,
    type=click.FloatRange(0),
    metavar="MS",
    help="Hold every answer back for so many ms.",
)
@click.option(
    "--rate-limit",
    "rate_limit_per_minute",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    help="Requests a minute a user; 0 sets no limit.",
)
@click.option("--short-pages", is_flag=True, help="Serve some lists in pages with holes.")
@click.option("--link-host", default="", help="Another scheme and host in Link headers.")
@click.option("--expires-in", default=7200, help="Seconds that an OAuth access token lives.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="JSON",
    help='Misbehave: {"path": "issues", "kind": "429_http", "times": 3}; repeatable.',
)
def serve_world(host: str, sizes: tuple[str, ...], faults: tuple[str, ...], **given: Any) -> None:
    """Serve until Ctrl+C; print the address, and the token of each account.

    \b
    labtrawl sandbox serve --port 8080
    labtrawl sandbox serve --size issues=500 --latency-ms 50
    labtrawl sandbox serve --fault '{"path": "issues", "kind": "500", "times": 3}'
    """  # noqa: D301 - click reads \b
    look = Look(sizes=_sizes(sizes), faults=tuple(map(read_fault, faults)), **given)
    logs.set_up(look.logs)
    world = look.build()

    def announce(server: Server) -> None:
        click.echo(f"listening on {server.url}")
        for account in world.accounts:
            click.echo(f"{account.username}: {account.token}")

    with _port_taken(look.port):
        serve(world, host, look.port, look.options(), announce)


@sandbox.command("truth")
@_world_flags
@click.option("--user", default=None, metavar="NAME", help="The account; default: the main one.")
@click.option("--ids", is_flag=True, help="Every record's id, not only how many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--invented", is_flag=True, help="What an imported tree lacks and was made up.")
def print_truth(
    user: str | None,
    ids: bool,
    as_json: bool,
    invented: bool,
    sizes: tuple[str, ...],
    **given: Any,
) -> None:
    """Print what a perfect crawl holds: counts by resource and project, and each gap's reason.

    \b
    labtrawl sandbox truth --world small
    labtrawl sandbox truth --user mei.tanaka --json
    """  # noqa: D301 - click reads \b
    look = Look(sizes=_sizes(sizes), **given)
    world = look.build()
    if invented:
        for each in world.invented:
            click.echo(f"{each.what}: {each.why}")
        for sentence in world.skipped:
            click.echo(f"left out: {sentence}")
        return
    try:
        found = truth(world, user, look.external_url)
    except KeyError as error:
        names = ", ".join(account.username for account in world.accounts)
        raise ConfigError(f"no account {user} in this world; there are: {names}") from error
    click.echo(format_truth(found, ids, as_json), nl=False)


@click.command()
def run() -> None:
    """Serve for the supervisor."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_supervised())


async def _run_supervised() -> None:
    async with Child.from_environment() as child:
        look = msgspec.json.decode(child.begin.settings, type=Look, dec_hook=_to_path)
        logs.set_up(look.logs)
        world = look.build()
        async with AsyncExitStack() as stack:
            with _port_taken(look.port):
                server = await stack.enter_async_context(
                    running(world, look.options(), _HOST, look.port)
                )
            await child.ready(address=server.url)
            await child.stopping.wait()


def sandbox_program(settings: Settings, look: Look) -> Program:
    """Return the sandbox as a program for `run_supervisor`, on the port kept with the data."""
    form = logs.chosen_format(settings.logs.format, sys.stderr)
    kept = msgspec.structs.replace(
        look,
        port=kept_port(settings.data_dir),
        logs=msgspec.structs.replace(settings.logs, format=form),
    )
    return Program(
        name="sandbox",
        argv=child_arguments("sandbox"),
        config=msgspec.json.encode(kept, enc_hook=str),
        grace_seconds=3.0,
    )


def sandbox_url(data_dir: Path) -> str:
    """Return the address of the sandbox of this data folder; it stays the same over restarts."""
    return f"http://{_HOST}:{kept_port(data_dir)}"


def kept_port(data_dir: Path) -> int:
    """Return the sandbox's port: chosen once, then kept in <data_dir>/config/sandbox.json.

    The address is part of what was collected, so another port would be another GitLab.
    """
    path = data_dir / "config" / "sandbox.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept).port
    except FileNotFoundError:
        return _choose_port(path)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} is damaged; remove it to choose a new port") from error


class _Kept(msgspec.Struct, frozen=True):
    port: int


def _choose_port(path: Path) -> int:
    first = _FIRST_PORT + zlib.crc32(bytes(path)) % _PORTS
    with bind_tcp(_HOST, first, may_move=True) as sock:
        port: int = sock.getsockname()[1]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(_Kept(port)))
    return port


@contextmanager
def _port_taken(port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"the sandbox cannot listen on port {port}: {error.strerror}; stop what uses it"
        ) from error


def _sizes(texts: tuple[str, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not (number.isascii() and number.isdecimal()):
            raise ConfigError(f"--size {text!r} is not of the form issues=500")
        if len(number) > LONGEST_SIZE:
            raise ConfigError(f"--size {text!r} is more than this machine can hold; give less")
        sizes[name] = int(number)
    return sizes


def read_fault(text: str) -> Fault:
    """Read a fault from a flag's JSON; ConfigError says what is wrong with it."""
    try:
        return msgspec.json.decode(text, type=Fault)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"--fault {text!r} cannot be used: {error}") from error


def _to_path(wanted: type, value: object) -> Path:
    if wanted is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"cannot make {wanted.__name__} of {type(value).__name__}")
