"""The running site looks at everything that has to be right."""

from datetime import datetime

from labtrawl.errors import LabtrawlError
from labtrawl.website.facts import CrawlerFacts, Facts, ProgramFacts
from labtrawl.website.sights import Around, gather, missing_of
from labtrawl.website.site import Site


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
