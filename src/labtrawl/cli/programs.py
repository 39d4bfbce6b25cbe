"""What the supervisor runs: website and crawlers as programs, made from the settings."""

import sys

import msgspec
from msgspec.structs import replace

from labtrawl import config
from labtrawl.config import (
    Backup,
    Breaker,
    Budget,
    Crawler,
    Dedup,
    Flood,
    Notices,
    Scope,
    Segment,
    Settings,
    Website,
)
from labtrawl.domain.consent import Mode
from labtrawl.errors import ConfigError
from labtrawl.supervisor.process import Program

FIXED = ("data_dir", "runtime_dir", "mode", "credentials", "socket", "auth_socket", "website")
"""What cannot change while children hold the listeners and the data folder."""

_UNREAD_BY_WEBSITE: tuple[type[msgspec.Struct], ...] = (Segment, Scope, Crawler, Breaker)
_UNREAD_BY_CRAWLER: tuple[type[msgspec.Struct], ...] = (
    Website,
    Dedup,
    Flood,
    Budget,
    Backup,
    Notices,
)


def programs_of(settings: Settings, extra: tuple[Program, ...] = ()) -> list[Program]:
    """Return website and crawlers, after the extra programs; ConfigError without an account."""
    crawlers = [crawler_program(settings, n) for n in range(1, settings.crawler.count + 1)]
    return [*extra, website_program(settings, tuple(each.name for each in extra)), *crawlers]


def website_program(settings: Settings, after: tuple[str, ...] = ()) -> Program:
    """Return the website; ConfigError where nothing could be collected, now or later.

    To a study people bring their own accounts: it needs a GitLab, and nobody's token yet.
    """
    is_study = settings.mode == Mode.STUDY.value
    if not (settings.instances if is_study else settings.accounts):
        raise ConfigError("no GitLab is connected yet: run `labtrawl init`, then start again")
    return Program(
        name="website",
        argv=child_arguments("website"),
        config=config.dump(settings),
        matters=_without(settings, *_UNREAD_BY_WEBSITE),
        gives_credentials=True,
        listeners=("web", "http") if settings.socket.role == "dial" else ("web", "api", "http"),
        after=after,
    )


def crawler_program(settings: Settings, number: int) -> Program:
    """Return a crawler; it gets its tokens with its jobs, and of the website knows the address."""
    instances = tuple(
        replace(each, client_id="", client_secret="", redirect_uri="")
        for each in settings.instances
    )
    website = settings.website
    where = Website(host=website.host, port=website.port, public_url=website.public_url)
    bare = replace(settings, accounts=(), backup=Backup(), notices=Notices())
    own = replace(bare, instances=instances, website=where, file=None, overrides={})
    of_many = replace(own, crawler=replace(own.crawler, count=Crawler().count))
    return Program(
        name=f"crawler-{number}",
        argv=child_arguments("crawler"),
        config=config.dump(own),
        matters=_without(of_many, *_UNREAD_BY_CRAWLER),
        needs_credentials=True,
        listeners=("api",) if settings.socket.role == "dial" else (),
        after=("website",),
    )


def named_program(name: str, settings: Settings) -> Program:
    """Return the website or a crawler by its name."""
    if name == "website":
        return website_program(settings)
    return crawler_program(settings, int(name.removeprefix("crawler-")))


def _without(settings: Settings, *tables: type[msgspec.Struct]) -> bytes:
    """Return the settings as a program reads them: without the tables that it never looks at."""
    unread = {_table_of(each): each() for each in tables}
    return config.dump(replace(settings, named=(), file=None, overrides={}, **unread))


def _table_of(struct: type[msgspec.Struct]) -> str:
    return struct.__name__.lower()


def is_fixed(name: str) -> bool:
    """Say whether a setting (dotted name) cannot change while it runs."""
    return name.partition(".")[0] in FIXED


def restarts(name: str) -> tuple[str, ...]:
    """Return which programs a reload restarts for a setting that changed: website, crawlers."""
    table = name.partition(".")[0]
    if name == "crawler.count":
        return ()
    readers = {"website": _UNREAD_BY_WEBSITE, "crawlers": _UNREAD_BY_CRAWLER}
    return tuple(who for who, unread in readers.items() if table not in map(_table_of, unread))


def child_arguments(program: str) -> tuple[str, ...]:
    """Return the command line of a supervised program; -P: the working folder holds no modules."""
    return (sys.executable, "-P", "-m", "labtrawl", "run", program)
