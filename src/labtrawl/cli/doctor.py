"""`labtrawl doctor`: every check of the health page, also when nothing runs."""

import asyncio
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labtrawl.cli.options import settings_options
from labtrawl.config import Settings

if TYPE_CHECKING:
    from labtrawl.website.care.verdicts import Check
    from labtrawl.website.given.facts import CrawlerFacts, Facts, GitLabFacts, ProgramFacts

# What a folder of `labtrawl crawl` has not.
_OF_A_WEBSITE = {"programs", "sockets", "crawlers", "gitlabs", "clock", "stop_requests", "notices"}
# What is read from the database: where that cannot be read, nobody knows it.
_OF_A_DATABASE = {
    *("accounts", "expiry", "discovery", "backup", "versions", "fields", "shares"),
    *("stop_requests", "notices"),
}
_RESTORE = (
    "restore a backup (labtrawl restore --help tells how), or move the file away and collect anew"
)
_NEWER = ("it was written by a newer labtrawl", "update labtrawl to that version, or a newer one")
_CRAWL_AGAIN = "run the same labtrawl crawl again, which brings it up to date"
_MARKS = {"ok": "ok  ", "warn": "warn", "bad": "BAD "}


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--offline", is_flag=True, help="Do not ask the GitLabs.")
def doctor(settings: Settings, as_json: bool, offline: bool) -> int:
    """Check database, disk, keys, programs, GitLabs, accounts, backups; say what to do.

    \b
    labtrawl doctor
    labtrawl doctor --json | jq '.checks[] | select(.state != "ok")'

    It reads all of the database once, and changes nothing. The exit code is 1 where something is
    bad.
    """  # noqa: D301 - click reads \b
    import msgspec

    from labtrawl.cli.audited import is_of_crawl, place_of
    from labtrawl.cli.database_file import readable
    from labtrawl.website.care.checks import judge
    from labtrawl.website.care.verdicts import State, worst

    with readable(place_of(settings)) as database:
        facts = asyncio.run(_facts(settings, database, offline))
        checks = _of_what_is_known(judge(facts), facts, settings, database)
    if is_of_crawl(settings):
        checks = [each for each in checks if each.name not in _OF_A_WEBSITE]
    state = worst(checks)
    if as_json:
        click.echo(msgspec.json.encode({"state": state, "checks": checks}))
    else:
        click.echo("\n".join(line for each in checks for line in _lines(each)))
    return int(state is State.BAD)


def _of_what_is_known(
    checks: "Sequence[Check]", facts: "Facts", settings: Settings, database: Path
) -> "list[Check]":
    """Leave out what nobody knows of a database that cannot be read, and say why that is so."""
    from msgspec.structs import replace

    from labtrawl.cli.audited import is_of_crawl
    from labtrawl.store.backup import revision_of

    found = {each.name: each for each in checks}
    file, schema = found["database"], found["migrations"]
    if facts.database.answers and facts.database.is_newest:
        return list(checks)
    if not facts.database.answers:
        del found["migrations"]
        if facts.database.fault:
            found["database"] = replace(
                file, says=f"it is damaged: {facts.database.fault}", advice=_RESTORE
            )
    elif not _is_known(revision_of(database)):
        found["migrations"] = replace(schema, says=_NEWER[0], advice=_NEWER[1])
    elif is_of_crawl(settings):
        found["migrations"] = replace(schema, advice=_CRAWL_AGAIN)
    return [each for name, each in found.items() if name not in _OF_A_DATABASE]


def _is_known(revision: str) -> bool:
    """Say whether this labtrawl has the migration that leads to a revision of the schema."""
    files = importlib.resources.files("labtrawl.store.migrations.versions").iterdir()
    return any(each.name.startswith(f"{revision}_") for each in files)


def _lines(check: "Check") -> list[str]:
    from labtrawl.logs import escape

    lines = [f"{_MARKS[check.state.value]}  {check.title}: {escape(check.says)}"]
    if check.advice:
        lines.append(f"      {escape(check.advice)}")
    return lines


async def _facts(settings: Settings, database: Path, offline: bool) -> "Facts":
    from labtrawl.cli.care_facts import plan_of, programs_of, secret_files_of
    from labtrawl.clock import system_clock
    from labtrawl.store.backup import fault_of
    from labtrawl.store.engine import open_snapshots
    from labtrawl.website.care.sights import Around, gather, missing_of

    clock = system_clock()
    programs = await programs_of(settings.data_dir)
    sockets = {"crawlers": settings.socket.path, "http": settings.socket.http_path}
    around = Around(
        missing_sockets=None if programs is None else missing_of(sockets),
        programs=programs,
        crawlers=_crawlers(programs),
        wanted_crawlers=settings.crawler.count,
        gitlabs=await _gitlabs(settings, offline),
        fault=(await asyncio.to_thread(fault_of, database), clock.now_ms()),
        backup=plan_of(settings),
        secret_files=secret_files_of(settings),
    )
    with open_snapshots(database) as snapshots:
        return await gather(snapshots.read, settings.data_dir, around, clock.now_ms())


async def _gitlabs(settings: Settings, offline: bool) -> "list[GitLabFacts]":
    from labtrawl.cli.care_facts import look_at
    from labtrawl.clock import system_clock
    from labtrawl.website.given.facts import GitLabFacts

    if offline:
        return [GitLabFacts(each.name, None) for each in settings.instances]
    looks = (look_at(settings, each, system_clock()) for each in settings.instances)
    return await asyncio.gather(*looks)


def _crawlers(programs: "Sequence[ProgramFacts] | None") -> "list[CrawlerFacts] | None":
    """The supervised ones, as the supervisor sees them; the site alone knows how long one is silent."""
    from labtrawl.website.given.facts import CrawlerFacts

    if programs is None:
        return None
    mine = [each for each in programs if each.name.startswith("crawler-")]
    return [CrawlerFacts(each.name, each.state == "ready", None) for each in mine]
