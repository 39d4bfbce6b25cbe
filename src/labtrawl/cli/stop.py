"""`labtrawl stop`, `restart` and `reload`: orders to the running supervisor."""

import asyncio
import os
import signal
from pathlib import Path

import click

from labtrawl.cli.options import settings_options
from labtrawl.clock import system_clock
from labtrawl.config import Settings
from labtrawl.errors import Conflict, Missing
from labtrawl.supervisor.control import (
    ReloadWanted,
    Reply,
    Request,
    RestartWanted,
    StopWanted,
    ask,
)
from labtrawl.supervisor.instance import Holder, holder_of
from labtrawl.supervisor.states import State

# Longer than the grace times of crawler and website after each other.
_STOP_SECONDS = 60.0
_RESTART_SECONDS = 60.0
_RELOAD_SECONDS = 180.0
_POLL_SECONDS = 0.02


def running_on(data_dir: Path) -> Holder:
    """Return who runs on the data folder; Missing when nobody does."""
    holder = holder_of(data_dir)
    if holder is None:
        raise Missing(f"no labtrawl runs on {data_dir}; --data-dir names another folder")
    return holder


def is_crawl(holder: Holder, data_dir: Path) -> bool:
    """Say whether `labtrawl crawl` holds the folder: no supervisor can be asked there."""
    from labtrawl.cli.crawl_place import kept_path

    return kept_path(data_dir).is_file() and not Path(holder.control).exists()


def _supervisor_on(data_dir: Path) -> Path:
    """Return the control socket of who runs there; Missing when nobody does, or only a crawl."""
    holder = running_on(data_dir)
    if is_crawl(holder, data_dir):
        raise Missing(
            f"`labtrawl crawl` works in {data_dir} (pid {holder.pid}), which has no programs;"
            " `labtrawl stop` ends it"
        )
    return Path(holder.control)


@click.command()
@settings_options
def stop(settings: Settings) -> int:
    """Stop what runs on a data folder, and wait for it.

    \b
    labtrawl stop
    labtrawl stop --data-dir /srv/labtrawl

    A `labtrawl crawl` ends as by Ctrl-C, after the pages that are under way. The exit code is 0 after a clean stop, 1 if something had to be killed.
    """  # noqa: D301 - click reads \b
    holder = running_on(settings.data_dir)
    if is_crawl(holder, settings.data_dir):
        os.kill(holder.pid, signal.SIGTERM)
        asyncio.run(_gone(holder, settings.data_dir))
        click.echo("stopped; the same `labtrawl crawl` goes on where it was")
        return 0
    killed = asyncio.run(_stop(holder, settings.data_dir)).killed
    click.echo(f"stopped; had to be killed: {', '.join(killed)}" if killed else "stopped")
    return 1 if killed else 0


async def _stop(holder: Holder, data_dir: Path) -> Reply:
    reply = await ask(Path(holder.control), StopWanted(), _STOP_SECONDS)
    await _gone(holder, data_dir)
    return reply


async def _gone(holder: Holder, data_dir: Path) -> None:
    clock = system_clock()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            while holder_of(data_dir) == holder:
                await clock.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise Conflict(
            f"it still ends after {_STOP_SECONDS:.0f} s (pid {holder.pid}): wait, or kill it;"
            " nothing that was collected is lost"
        ) from None


@click.command()
@click.argument("name")
@settings_options
def restart(settings: Settings, name: str) -> int:
    """Stop and start one program: website, crawler-1, …; no connection is refused meanwhile.

    \b
    labtrawl restart website
    labtrawl restart crawler-1
    """  # noqa: D301 - click reads \b
    control = _supervisor_on(settings.data_dir)
    return asyncio.run(_restart(control, RestartWanted(name)))


async def _restart(control: Path, request: Request) -> int:
    program = (await ask(control, request, _RESTART_SECONDS)).program
    assert program is not None, "a restart is answered with the program's status"
    reason = f" ({program.reason})" if program.reason else ""
    click.echo(f"{program.name} is {program.state.value}{reason}")
    return 1 if program.state is State.FAILED else 0


@click.command()
@settings_options
def reload(settings: Settings) -> int:
    """Read the settings again and change only what they change; no connection is refused.

    \b
    labtrawl reload

    Programs whose settings changed are restarted, crawlers are added or removed. The settings are
    read from where `labtrawl start` read them; SIGHUP does the same.
    """  # noqa: D301 - click reads \b
    control = _supervisor_on(settings.data_dir)
    reply = asyncio.run(ask(control, ReloadWanted(), _RELOAD_SECONDS))
    click.echo("\n".join(reply.changes) or "nothing changed")
    return 0
