"""The running site looks at everything that has to be right."""

import asyncio
from datetime import UTC, datetime

import msgspec

from labtrawl.errors import LabtrawlError
from labtrawl.website.care.checks import judge
from labtrawl.website.care.sights import Around, gather, missing_of
from labtrawl.website.care.verdicts import Check, State, worst
from labtrawl.website.given.facts import CrawlerFacts, Facts, ProgramFacts
from labtrawl.website.given.site import Site

DATABASE_SECONDS = 2.0


class HealthTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every check, and the worst of them; `looked_at` is an instant in UTC."""

    state: State
    looked_at: datetime
    checks: list[Check]

    @property
    def bad(self) -> list[Check]:
        """Those that somebody must act on, then those to look at."""
        return [each for each in self.checks if each.state is State.BAD]

    @property
    def warned(self) -> list[Check]:
        """Those to look at when there is time."""
        return [each for each in self.checks if each.state is State.WARN]

    @property
    def fine(self) -> list[Check]:
        """All others."""
        return [each for each in self.checks if each.state is State.OK]


async def database_answers(site: Site) -> bool:
    """Say whether the database answers within two seconds."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await site.store.read(lambda connection: connection.exec_driver_sql("SELECT 1"))
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it does not answer
        return False
    return True


async def health_of(site: Site) -> HealthTold:
    """Look at everything that has to be right."""
    facts = await look(site)
    checks = judge(facts)
    looked_at = datetime.fromtimestamp(facts.now / 1000, UTC)
    return HealthTold(state=worst(checks), looked_at=looked_at, checks=checks)


async def look(site: Site) -> Facts:
    """Gather what the checks judge, with what only the running site knows."""
    care, now = site.care, site.clock.now_ms()
    around = Around(
        missing_sockets=missing_of(site.sockets),
        programs=await _programs(site),
        crawlers=await _crawlers(site, now),
        wanted_crawlers=care.wanted_crawlers,
        problems=site.problems(),
        gitlabs=care.gitlabs(),
        fault=care.fault(),
        backup=care.backup,
        secret_files=care.secret_files,
    )
    return await gather(site.store.read, site.data_dir, around, now)


async def _programs(site: Site) -> list[ProgramFacts]:
    """What the supervisor keeps; nothing where the website was started alone."""
    try:
        whole = await site.programs.status()
    except LabtrawlError as error:
        return [ProgramFacts("supervisor", "failed", 0, str(error))]
    if whole is None:
        return []
    return [
        ProgramFacts(each.name, each.state, each.crashes, each.reason) for each in whole.programs
    ]


async def _crawlers(site: Site, now: int) -> list[CrawlerFacts]:
    """Those that are there over any door, and how long they have been silent."""
    found = []
    for each in await site.crawling.clients():
        heard = each.get("lastHeartbeatAt")
        at = None if heard is None else datetime.fromisoformat(heard).timestamp() * 1000
        found.append(CrawlerFacts(str(each["name"]), True, None if at is None else int(now - at)))
    return found
