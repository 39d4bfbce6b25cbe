"""The supervisor in the background: how `start` begins one, and how that one answers."""

import os
import subprocess
import sys
from typing import Literal

import click
import msgspec

from labtrawl.cli.options import Source
from labtrawl.errors import ConfigError


class _Up(msgspec.Struct, frozen=True):
    """What the supervisor in the background writes when it is there; before it, sentences."""

    address: str


def launch(source: Source, what: Literal["whole", "terminals"]) -> str:
    """Start a supervisor that outlives this command; return the address when it is ready.

    ConfigError with its sentence when it ended instead. It reads the settings from where this
    command has them.
    """
    command = [sys.executable, "-P", "-m", "labtrawl", "supervisor", "serve", what]
    with subprocess.Popen(  # noqa: S603 - our own program
        [*command, *source.arguments()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as process:
        try:
            return _answer(process).address
        except BaseException:  # Ctrl+C too leaves no supervisor that nobody was told of
            process.terminate()
            raise
        finally:
            # It lives on: Popen would wait for its end, and complain that it was not awaited.
            process.returncode = process.returncode or 0


def _answer(process: subprocess.Popen[str]) -> _Up:
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        if line.startswith('{"address":'):
            return msgspec.json.decode(line, type=_Up)
        last = line.strip() or last
    process.wait()
    raise ConfigError(last.removeprefix("labtrawl: ") or "the supervisor ended at once")


def tell_launcher(address: str) -> None:
    """Answer the command that waits, and let go of its pipes and its terminal."""
    click.echo(msgspec.json.encode(_Up(address)))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
