"""`labtrawl init`: connect a GitLab of one's own. Checks everything first, then writes all or nothing.

The token is asked for hidden or read from a file, never taken from the command line, and leaves this
program only towards its own GitLab and encrypted into the file of settings.
"""

import asyncio
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labtrawl import __version__
from labtrawl.clock import Clock, system_clock
from labtrawl.config import Instance, Settings, load
from labtrawl.config.layers import FILE_NAME
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Forbidden
from labtrawl.gitlab.probe import Probe, Scope, measure_scope, probe
from labtrawl.http import AddressRefused, Limits, Origin, canonical_url, open_http
from labtrawl.logs import conceal, escape

LARGE_SCOPE = 1000  # projects; a crawl of more is started on purpose only
_LONGEST_TOKEN = 4096
_LARGEST_OFFSET_SECONDS = 60
_LIMITS = Limits(connections=2, connect_seconds=10, total_seconds=30)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says; None is what was left out."""

    url: str | None = None
    token_file: Path | None = None
    data_dir: Path | None = None
    config: Path | None = None
    ca_file: Path | None = None
    proxy: str | None = None
    address_allow: tuple[str, ...] = ()
    contact: str | None = None
    name: str | None = None
    add: bool = False
    yes: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What the GitLab said, and the origin that led there."""

    origin: Origin
    probe: Probe
    scope: Scope


@click.command("init")
@click.option("--url", help="Address of the GitLab, with its path if it has one.")
@click.option("--token-file", type=Path, help="File that holds the token; - reads the input.")
@click.option("--data-dir", type=Path, envvar="LABTRAWL_DATA_DIR", help="Folder for the data.")
@click.option("--config", type=Path, help=f"File to write; ./{FILE_NAME} if left out.")
@click.option("--ca-file", type=Path, help="Certificates (PEM) to trust besides the system's.")
@click.option("--proxy", help="Proxy for this GitLab; none is taken from the environment.")
@click.option(
    "--allow-address",
    "address_allow",
    multiple=True,
    metavar="CIDR",
    help="Address, network or host that may be private or without https; can be repeated.",
)
@click.option("--contact", help="Where the GitLab's administrators reach you (User-Agent).")
@click.option("--name", help="What the GitLab is called here; main if left out.")
@click.option("--add", is_flag=True, help="Add a GitLab or an account to the file.")
@click.option("--yes", is_flag=True, help=f"Ask nothing; needed above {LARGE_SCOPE:,} projects.")
@click.option("--force", is_flag=True, help="Write the file anew; its accounts are lost.")
def init(**flags: object) -> None:
    """Connect a GitLab: check its address and your token, then write labtrawl.toml.

    The token needs the scope read_api. It is never taken from the command line, where others could
    read it: you are asked for it, or it is read from --token-file.
    """
    wish = Wish(**flags)  # type: ignore[arg-type]
    is_terminal = sys.stdin.isatty() and wish.token_file != Path("-")
    connect(wish, is_terminal, Console(highlight=False), system_clock())


def connect(wish: Wish, is_terminal: bool, console: Console, clock: Clock) -> None:
    """Check and write; LabtrawlError in one sentence where anything is wrong, nothing written then.

    Questions are only asked when `is_terminal`.
    """
    from labtrawl.cli.settings_file import Draft, tokens_of

    config = (wish.config or Path(FILE_NAME)).absolute()
    existing = _existing(wish, config)
    instance = _instance(wish, existing, _url(wish, is_terminal))
    token = _token(wish, is_terminal)
    conceal(token)
    if existing is not None and token in tokens_of(existing, instance):
        raise ConfigError(f"{config} has this token already: nothing to add")
    contact = wish.contact or (existing.contact if existing else "")
    found = _look_with_consent(instance, token, contact, is_terminal)
    for line in report(found, clock):
        console.print(line)
    _confirm(wish, found.scope, config, is_terminal)
    is_known = existing is not None and instance in existing.instances
    draft = Draft(
        config=config,
        data_dir=existing.data_dir if existing else (wish.data_dir or Path("data.private")),
        contact=contact,
        instance=replace_allow(instance, found.origin),
        is_known=is_known,
        username=found.probe.account.username,
    )
    for path in draft.write(token, keep=existing is not None, overwrite=wish.force):
        console.print(Text(f"Wrote {path}"))
    console.print("The token is in it encrypted only. Go on with: labtrawl start")
