"""A token from a file, the input or a hidden prompt; never from the command line."""

import codecs
import contextlib
import os
import re
import shlex
import stat
import sys
from pathlib import Path

import click

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.logs import conceal

LONGEST_FILE = 4096
INPUT = Path("-")


def read_token(file: Path | None, *, is_terminal: bool) -> Secret:
    """Return the token, hidden from every log from now on; ConfigError where there is none."""
    if file is not None:
        text = file_text(file)
    elif is_terminal:
        text = click.prompt("Access token with the scope read_api (stays hidden)", hide_input=True)
    else:
        raise ConfigError("there is no terminal to ask on: give the token with --token-file")
    token = Secret(text.strip())
    where = "the input" if file in (None, INPUT) else str(file)
    if not token.reveal():
        raise ConfigError(
            f"there is no token: {where} is empty; write there the token that GitLab showed"
        )
    if not re.fullmatch(r"[!-~]{1,1024}", token.reveal()):
        raise ConfigError(
            f"this is no token: {where} must hold one word of letters, digits and signs, in plain"
            " ASCII, and nothing else"
        )
    conceal(token)
    if file is not None and file != INPUT:
        _warn_of_readers(file)
    return token


def _warn_of_readers(path: Path) -> None:
    """Say that others on this machine can read a token's file, where its owner could change that."""
    with contextlib.suppress(OSError):
        found = path.stat()
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if is_ours and found.st_mode & (stat.S_IRGRP | stat.S_IROTH):
            how = f"chmod 600 {shlex.quote(str(path))}"
            click.echo(f"labtrawl: others on this machine can read the token: {how}", err=True)


def file_text(path: Path) -> str:
    """Return a short file's text, or the input's for `-`; ConfigError where it cannot be read."""
    try:
        if path == INPUT:
            content = sys.stdin.buffer.read(LONGEST_FILE)
        else:
            with path.open("rb") as file:
                content = file.read(LONGEST_FILE)
        # Editors of Windows begin a text so.
        return content.removeprefix(codecs.BOM_UTF8).decode("ascii", errors="replace")
    except OSError as error:
        raise ConfigError(
            f"the token file {path} cannot be read: {error.strerror}; --token-file names another"
        ) from None
