"""`labtrawl crawl`: one GitLab, group or project into a folder, without a website or a supervisor.

The same crawler, store and rules as with a website: what ends in the middle goes on when the same
is run again, and what is complete is brought up to date. Here little is imported: crawlers are
forked from this process, and what they share is what is here by then.
"""

import asyncio
import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import click

from labtrawl import logs
from labtrawl.cli.allocator import return_freed, share_arenas
from labtrawl.cli.crawl_ahead import look_ahead
from labtrawl.cli.crawl_beside import fork_crawlers, usual_count
from labtrawl.cli.crawl_place import (
    Kept,
    Target,
    find_again,
    find_target,
    keep,
    kept_in,
    mark_of,
    parse_url,
)
from labtrawl.cli.crawl_wish import Wish, chosen, read_day, read_paths
from labtrawl.cli.demo_screen import tell
from labtrawl.cli.demo_words import check_place
from labtrawl.cli.forecast import Forecast
from labtrawl.cli.lazy import load
from labtrawl.cli.places import PLACE
from labtrawl.cli.token_input import read_token
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.gitlab import catalog
from labtrawl.supervisor.instance import holder_of
from labtrawl.supervisor.listeners import make_private_folder
from labtrawl.supervisor.output import LogFile, LogStream

MANY_PROJECTS = 1000
# What the crawl itself needs; most of its imports are the database's.
FOLLOW = "labtrawl.cli.crawl_follow"
SWITCH_SECONDS = 0.0005


@click.command()
@click.argument("url")
@click.option("--token-file", type=PLACE, help="File that holds the token; - reads the input.")
@click.option("--out", type=PLACE, metavar="DIR", help="Folder to write; named after the URL.")
@click.option(
    "--resources",
    metavar="NAMES",
    help="Only these, like issues,merge_requests,*_discussions; all if left out.",
)
@click.option(
    "--include",
    multiple=True,
    callback=read_paths,
    metavar="PATH",
    help="A group (with all below it) or project besides.",
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave these paths out.")
@click.option(
    "--since", callback=read_day, metavar="DAY", help="Only what changed from this day (UTC) on."
)
@click.option(
    "--every",
    default=3600,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    show_default=True,
    help="How often to look for changes.",
)
@click.option("--once", is_flag=True, help="End when all is there instead of following changes.")
@click.option("--summary", type=PLACE, metavar="FILE", help="Write the figures as JSON.")
@click.option("--ca-file", type=PLACE, help="Certificates (PEM) to trust besides the system's.")
@click.option("--contact", default="", help="Where GitLab's administrators reach you.")
@click.option(
    "--jobs",
    default=16,
    type=click.IntRange(1, 256),
    metavar="N",
    show_default=True,
    help="Lists read at once.",
)
@click.option(
    "--crawlers",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Processes that share them; two, where there is more than one processor.",
)
@click.option(
    "--rest-only", is_flag=True, help="No GraphQL where REST has it: all fields, more requests."
)
@click.option("--yes", is_flag=True, help="Do not ask, however much the token can see.")
def crawl(**flags: Any) -> int:
    """Collect a GitLab, a group or a project into a folder.

    \b
    labtrawl crawl https://gitlab.example.org/group/project --token-file token.txt
    labtrawl crawl https://gitlab.example.org/group --resources issues,issue_discussions --once
    labtrawl dataset ls --data-dir gitlab.example.org-group

    Run again it goes on where it was, and then reads what changed. Of a GitLab's own address it
    takes what the account is a member of. Exit code: 0 all is there, or a reason for what is not;
    1 a list failed, or misses something without a reason; 2 it could not begin or go on; 130 it was
    ended before all was there.
    """  # noqa: D301 - click reads \b
    share_arenas()
    return_freed()
    wish = Wish(**flags)
    check_place(wish.summary)
    resources = chosen(wish.resources or "", (each.name for each in catalog.RESOURCES if each.kind))
    out = (wish.out or Path(parse_url(wish.url).folder)).absolute()
    _check_is_free(out)
    kept = kept_in(out, wish.url, wish.bounds, partial(click.echo, err=True))
    token = read_token(wish.token_file, is_terminal=sys.stdin.isatty())
    beside = fork_crawlers(wish.crawlers or usual_count())
    target, forecast = _asked(wish, resources, kept, token)
    is_new = not out.exists()
    make_private_folder(out)
    logs.set_up(stream=LogStream(_log_file(out, is_shared=bool(beside))))
    keep(out, _kept(wish, kept, target, token))
    from labtrawl.cli.crawl_follow import Crawling, UnusableTarget

    try:
        return Crawling(wish, resources, out, target, token, tuple(beside), forecast).run()
    except UnusableTarget:
        if is_new:
            # So that the right URL can have the same folder; there is nothing in it but this try.
            shutil.rmtree(out, ignore_errors=True)
        raise


def _log_file(out: Path, *, is_shared: bool) -> LogFile:
    """Return where to log; a crawler beside this process logs there too, and moves it when full."""
    path = out / "crawl.log"
    return LogFile(path, max_bytes=sys.maxsize) if is_shared else LogFile(path)


def _check_is_free(out: Path) -> None:
    place = next(each for each in (out, *out.parents) if _is_there(each))
    if place == out and not out.is_dir():
        raise ConfigError(f"{out} is no folder: choose another one with --out")
    if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
        raise ConfigError(f"nothing can be written in {place}: choose another folder with --out")
    if (holder := holder_of(out)) is not None:
        raise ConfigError(
            f"another labtrawl (pid {holder.pid}) works in {out}: wait for it or end it, or choose"
            " another folder with --out"
        )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # below a folder that this user may not enter
        return False


def _asked(
    wish: Wish, resources: tuple[str, ...], kept: Kept | None, token: Secret
) -> tuple[Target, Forecast | None]:
    """Ask GitLab what is there; meanwhile a thread imports what the crawl itself needs.

    It gives way often, so that an answer is taken when it comes.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    importing = Thread(target=load, args=(FOLLOW,), daemon=True)
    importing.start()
    try:
        return asyncio.run(_target(wish, resources, kept, token))
    finally:
        importing.join()
        sys.setswitchinterval(usual)


async def _target(
    wish: Wish, resources: tuple[str, ...], kept: Kept | None, token: Secret
) -> tuple[Target, Forecast | None]:
    """Find out what the URL means, and say what a first crawl of it costs at least."""
    if kept is not None:
        return await find_again(kept, token, wish.ca_file, wish.contact, time.time()), None
    target = await find_target(wish.url, token, wish.ca_file, wish.contact)
    forecast = await look_ahead(wish, resources, target, token)
    for line in forecast.lines() if forecast is not None else ():
        tell(partial(click.echo, line))
    if not wish.yes:
        _check_is_meant(target, forecast)
    return target, forecast


def _check_is_meant(target: Target, forecast: Forecast | None) -> None:
    """Refuse what is more than one starts by accident; ConfigError."""
    if forecast is None:
        if target.path:
            return  # what is not there, the crawl itself tells
        raise ConfigError(
            "GitLab did not tell how many projects these are: try again later, or give --yes to"
            " begin all the same"
        )
    if forecast.projects > MANY_PROJECTS:
        raise ConfigError(
            f"these are {forecast.projects:,} projects, and a crawl of all takes long: give --yes to"
            " go on, or the URL of a group, or --exclude or --resources for less"
        )


def _kept(wish: Wish, before: Kept | None, target: Target, token: Secret) -> Kept:
    is_known = before is not None and before.target is target
    checked_at = before.checked_at if before and is_known else int(time.time())
    return Kept(target, wish.bounds, mark_of(token), checked_at)
