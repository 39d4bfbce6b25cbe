"""`labtrawl start`: the supervisor with website and crawlers, or one of them in this terminal."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from labtrawl.cli.lazy import Commands
from labtrawl.cli.options import Source, folder_flag, setting_flags
from labtrawl.cli.programs import child_arguments, programs_of, website_program
from labtrawl.cli.running import Beside, Manner, Run
from labtrawl.cli.scope import included
from labtrawl.config import Settings
from labtrawl.supervisor import linux
from labtrawl.supervisor.process import Program

__all__ = [
    "child_arguments",
    "programs_of",
    "run_supervisor",
    "serve",
    "start",
    "supervise",
]

_FLAGS = ("website.host", "website.port", "crawler.count", "scope.include", "scope.exclude")


@click.group(cls=Commands, invoke_without_command=True)
@setting_flags(*_FLAGS, with_source=True)
@click.option("--daemon", is_flag=True, help="Go to the background once the website is ready.")
@click.pass_context
def start(context: click.Context, settings: Settings, source: Source, daemon: bool) -> int:
    """Start website and crawlers, and watch over them until Ctrl+C.

    \b
    labtrawl start
    labtrawl start --port 8080 --crawlers 2
    labtrawl start --include open-source
    labtrawl start --daemon

    With --daemon it prints the address and returns; `labtrawl logs -f` follows what happens and
    `labtrawl stop` ends it. The exit code is 0 after a clean stop, 1 if something had to be killed.
    """  # noqa: D301 - click reads \b
    if context.invoked_subcommand is not None:
        _refuse_flags_before(context)
        return 0
    included(settings.scope.include)
    if daemon or not settings.data_dir.exists():
        programs_of(settings)  # refused in this terminal, before a folder is made
    if daemon:
        return _start_daemon(settings, source)
    return run_supervisor(settings, read_again=source.read)


def _refuse_flags_before(context: click.Context) -> None:
    """A flag before the sub-command would be read by nobody."""
    for name in context.params:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"write the flags after {context.invoked_subcommand!r}")


@start.command()
@setting_flags("website.host", "website.port", with_source=True)
def website(settings: Settings, source: Source) -> int:
    """Start the website alone, until Ctrl+C.

    \b
    labtrawl start website
    labtrawl start website --port 8080

    `labtrawl start crawler` in another terminal works together with it.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.join import join

    website_program(settings)  # what can be refused is refused before a supervisor begins
    return join(settings, source, "website")


@start.command()
@setting_flags("scope.include", "scope.exclude", with_source=True)
@click.option(
    "--count", type=click.IntRange(1, 64), default=1, show_default=True, help="How many crawlers."
)
def crawler(settings: Settings, source: Source, count: int) -> int:
    """Start crawlers alone, until Ctrl+C; they wait for credentials from the website.

    \b
    labtrawl start crawler
    labtrawl start crawler --count 2

    `labtrawl start website` in another terminal works together with it.
    """  # noqa: D301 - click reads \b
    from labtrawl.cli.join import join

    included(settings.scope.include)
    return join(settings, source, "crawler", count)


def _start_daemon(settings: Settings, source: Source) -> int:
    from labtrawl.cli.background import launch

    address = launch(source, "whole")
    click.echo(f"labtrawl is ready at {address}, in the background")
    flag = folder_flag(settings)
    click.echo(f"`labtrawl logs -f{flag}` follows it, `labtrawl stop{flag}` stops it")
    return 0


@click.command(hidden=True)
@setting_flags(*_FLAGS, with_source=True)
@click.argument("what", type=click.Choice(["whole", "terminals"]))
def serve(settings: Settings, source: Source, what: str) -> int:
    """Be the supervisor in the background; `start` begins this."""
    from labtrawl.cli.background import tell_launcher

    whole: Callable[[Settings], Sequence[Program]] = programs_of
    manner = Manner(
        whole if what == "whole" else lambda _: (),
        read_again=source.read,
        show_output=False,
        is_for_terminals=what == "terminals",
        up=tell_launcher,
        must_come_up=True,
    )
    return _run(settings, manner)


def run_supervisor(
    settings: Settings,
    extra_programs: Sequence[Program] = (),
    *,
    beside: Beside | None = None,
    show_output: bool = True,
    read_again: Callable[[], Settings] | None = None,
) -> int:
    """Run website, crawlers and `extra_programs` until they are stopped; return the exit code.

    `beside` runs next to them with the supervisor and the website's address, and may stop it; when
    it returns the programs go on. Extra programs are ready before the website starts. With
    `show_output` the children's lines and the supervisor's log go to stderr; the children's are
    always kept in <data_dir>/logs, the supervisor's where it is not shown. `read_again` is asked
    for the settings at a reload.
    """
    programs = partial(programs_of, extra=tuple(extra_programs))
    return supervise(
        settings, programs, beside=beside, show_output=show_output, read_again=read_again
    )


def supervise(
    settings: Settings,
    programs: Callable[[Settings], Sequence[Program]],
    *,
    beside: Beside | None = None,
    show_output: bool = True,
    read_again: Callable[[], Settings] | None = None,
) -> int:
    """Do as `run_supervisor` with other programs, made from the settings as they turned out."""
    up = partial(_welcome, settings=settings)
    silent: dict[str, Any] = {} if beside else {"up": up}
    manner = Manner(
        programs, read_again=read_again, beside=beside, show_output=show_output, **silent
    )
    return _run(settings, manner)


def _run(settings: Settings, manner: Manner) -> int:
    linux.forbid_inspection()
    return asyncio.run(Run(settings, manner).run())


def _welcome(address: str, settings: Settings) -> None:
    """Say where the website is; a reader that went away does not end the programs."""
    with contextlib.suppress(OSError):
        click.echo(f"labtrawl is ready at {address}  (Ctrl+C stops it)")
        flag = folder_flag(settings)
        click.echo(f"`labtrawl admin link{flag}` prints a link to sign in")
        if not settings.accounts:
            click.echo(f"no GitLab is connected yet: `labtrawl init{flag}` does that")
