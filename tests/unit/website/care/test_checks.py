"""The checks: each fact that is not as it should be changes one check, and says what to do."""

from dataclasses import replace
from typing import Any

import pytest

from labtrawl.store.discoveries import Unfinished
from labtrawl.store.seen import Fallen, SeenVersion
from labtrawl.website.care.checks import judge
from labtrawl.website.care.verdicts import State, worst
from labtrawl.website.given.facts import BackupFacts, CrawlerFacts, GitLabFacts, ProgramFacts
from tests.unit.website.care.facts import ADA, DATABASE, DAY, DISK, DONE, FACTS, GIB, NOW, fields

FAILED = replace(DONE, id=2, state="failed", message="the disk is full")
UPGRADED = (
    SeenVersion("GitLab main", "18.0.0", NOW - 90 * DAY),
    SeenVersion("GitLab main", "18.1.0", NOW - DAY),
)

# Of forty records a milestone is an object where there is one.
BARE = {"milestone": 40}
WITHIN = BARE | {"milestone.": 30, "milestone.iid": 30, "milestone.due": 30, "milestone.rare": 3}
NEWER_WITHIN = BARE | {"milestone.": 25, "milestone.iid": 25, "milestone.start": 1}
KINDS = {"iid": 40, "iid:number": 40, "due": 40, "due:text": 19, "size": 40, "size:number": 30}
NEWER_KINDS = {"iid": 40, "iid:text": 40, "due": 40, "due:number": 19, "size": 40, "size:text": 9}
OLD, NEWER = fields("18.0.0", 40, id=40, weight=40, rare=3), fields("18.1.0", 40, id=40, health=2)


def test_nothing_is_wrong_where_all_is_as_it_should_be() -> None:
    checks = judge(FACTS)
    assert [(each.name, each.says, each.advice) for each in checks if each.state != "ok"] == []
    assert worst(checks) is State.OK


LOST = Unfinished(
    9, "account", "@ada", "main", 3, "failed", "unavailable", "GitLab failed", NOW, is_used=True
)


@pytest.mark.parametrize(
    ("change", "name", "state", "says"),
    [
        ({"database": replace(DATABASE, answers=False)}, "database", "bad", "does not answer"),
        ({"database": replace(DATABASE, is_newest=False)}, "migrations", "bad", "another version"),
        ({"database": replace(DATABASE, fault="row 3")}, "database", "bad", "damaged: row 3"),
        ({"database": replace(DATABASE, wal_bytes=2 * GIB)}, "database", "warn", "2.0 GiB wait"),
        ({"disk": None}, "disk", "bad", "cannot be read"),
        ({"disk": replace(DISK, is_writable=False)}, "disk", "bad", "cannot be written"),
        ({"disk": replace(DISK, free=GIB // 4)}, "disk", "bad", "256 MiB of 100.0 GiB are free"),
        ({"disk": replace(DISK, grown_last_day=9 * GIB)}, "disk", "warn", "full in 10.0 days"),
        ({"key_problem": "the key is missing"}, "keys", "bad", "the key is missing"),
        ({"open_files": ["/d/labtrawl.toml"]}, "keys", "bad", "others may read /d/labtrawl.toml"),
        ({"programs": None}, "programs", "warn", "does not run"),
        (
            {"programs": [ProgramFacts("crawler-1", "failed", 9, "crashed too often")]},
            "programs",
            "bad",
            "crawler-1 is failed (crashed too often)",
        ),
        ({"missing_sockets": ["/d/api.sock"]}, "sockets", "bad", "no socket at /d/api.sock"),
        ({"crawlers": []}, "crawlers", "bad", "no crawler is there"),
        ({"crawlers": [], "wanted_crawlers": 0}, "crawlers", "warn", "crawler.count is 0"),
        ({"wanted_crawlers": 3}, "crawlers", "warn", "1 of 3 are connected"),
        ({"crawlers": [CrawlerFacts("c", True, 90_000)]}, "crawlers", "warn", "silent"),
        ({"gitlabs": [GitLabFacts("main", NOW, "refused")]}, "gitlabs", "bad", "main: refused"),
        ({"gitlabs": [GitLabFacts("main", NOW, "", -95_000)]}, "clock", "warn", "95 s behind"),
        ({"problems": ["main: 401"]}, "accounts", "bad", "main: 401"),
        ({"accounts": [replace(ADA, state="refused")]}, "accounts", "bad", "ada on main"),
        ({"accounts": [replace(ADA, expires_at=NOW + 31 * DAY)]}, "expiry", "ok", "none ends"),
        ({"accounts": [replace(ADA, expires_at=NOW + 29 * DAY)]}, "expiry", "warn", "in 29 days"),
        ({"accounts": [replace(ADA, expires_at=NOW + DAY // 2)]}, "expiry", "bad", "ends today"),
        ({"accounts": [replace(ADA, expires_at=NOW - DAY)]}, "expiry", "bad", "has ended"),
        (
            {"accounts": [replace(ADA, expires_at=NOW, renews_itself=True)]},
            "expiry",
            "ok",
            "none ends",
        ),
        ({"discoveries": [LOST]}, "discovery", "warn", "@ada on main: GitLab failed"),
        ({"discoveries": [replace(LOST, is_used=False)]}, "discovery", "ok", "none has failed"),
        ({"backup": BackupFacts(True, 48.0, None, None)}, "backup", "warn", "there is none"),
        ({"backup": BackupFacts(True, 1.0, DONE, None)}, "backup", "bad", "2 hours old"),
        ({"backup": BackupFacts(True, 48.0, DONE, FAILED)}, "backup", "bad", "the disk is full"),
        ({"versions": UPGRADED}, "versions", "warn", "GitLab main: 18.0.0 became 18.1.0"),
        (
            {"fields": [OLD, NEWER]},
            "fields",
            "warn",
            "issues of main 18.1.0: new health; gone weight",
        ),
        ({"fields": [OLD, replace(NEWER, records=9)]}, "fields", "ok", "as before"),
        (
            {"fields": [OLD, replace(NEWER, version="18.1.0 by GraphQL")]},
            "fields",
            "ok",
            "as before",
        ),
        (
            {"fields": [fields("18.0.0", 40, **WITHIN), fields("18.1.0", 40, **NEWER_WITHIN)]},
            "fields",
            "warn",
            "issues of main 18.1.0: new milestone.start; gone milestone.due",
        ),
        # Nothing had a milestone: that its fields come or go says nothing of the version.
        (
            {"fields": [fields("18.0.0", 40, **BARE), fields("18.1.0", 40, **WITHIN)]},
            "fields",
            "ok",
            "as before",
        ),
        (
            {"fields": [fields("18.0.0", 40, **WITHIN), fields("18.1.0", 40, **BARE)]},
            "fields",
            "ok",
            "as before",
        ),
        (
            {"fields": [fields("18.0.0", 40, **KINDS), fields("18.1.0", 40, **NEWER_KINDS)]},
            "fields",
            "warn",
            "issues of main 18.1.0: changed iid (number became text)",
        ),
        ({"fallen": [Fallen(7, "a/b", 1000, 640, NOW)]}, "shares", "warn", "100.0 % became 64.0 %"),
        ({"stop_requests": 1}, "stop_requests", "bad", "1 wait for an answer"),
        ({"failed_deliveries": 2}, "notices", "warn", "2 of the last week"),
    ],
)
def test_check_changes_with_its_fact(
    change: dict[str, Any], name: str, state: str, says: str
) -> None:
    checks = {each.name: each for each in judge(replace(FACTS, **change))}
    assert (checks[name].state, says in checks[name].says) == (state, True), checks[name]
    assert bool(checks[name].advice) == (state != "ok")
    assert {each.name for each in checks.values() if each.state != "ok"} <= {name}
