"""Facts of a crawl that is as it should be; a test changes one of them."""

from labtrawl.store.backup import BackupRow
from labtrawl.store.care import AccountFacts
from labtrawl.store.seen import SeenFields, SeenVersion
from labtrawl.website.given.facts import (
    BackupFacts,
    CrawlerFacts,
    DatabaseFacts,
    DiskFacts,
    Facts,
    GitLabFacts,
    ProgramFacts,
)

NOW = 1_795_000_000_000
DAY = 86_400_000
GIB = 1024**3
DATABASE = DatabaseFacts(True, True, 4 * 1024**2, 0, "", NOW)
DISK = DiskFacts(90 * GIB, 100 * GIB, GIB)
ADA = AccountFacts(1, "main", "ada", "active", NOW + 90 * DAY, False)
DONE = BackupRow(1, "/b/1", NOW - 7_200_000, NOW - 7_100_000, "done", 3, 9, 9, "")
FACTS = Facts(
    now=NOW,
    database=DATABASE,
    disk=DISK,
    key_problem="",
    open_files=(),
    missing_sockets=(),
    programs=(ProgramFacts("website", "ready", 0, ""), ProgramFacts("crawler-1", "ready", 1, "")),
    crawlers=(CrawlerFacts("crawler-1", True, 900),),
    wanted_crawlers=1,
    problems=(),
    gitlabs=(GitLabFacts("main", NOW, "", 800),),
    accounts=(ADA,),
    discoveries=(),
    backup=BackupFacts(True, 48.0, DONE, None),
    versions=(SeenVersion("GitLab main", "18.0.0", NOW - 90 * DAY),),
    fields=(),
    fallen=(),
    stop_requests=0,
)


def fields(version: str, records: int, **counts: int) -> SeenFields:
    """What was counted in the issues of a version."""
    return SeenFields("main", "issues", version, records, counts, NOW)
