"""A world that changes, and a crawl that follows: how long until a change is in the dataset, at what cost.

What `labtrawl crawl` runs, by its defaults, against the look-alike over real sockets; hours are leapt over.
"""

from pathlib import Path

import pytest

from labtrawl.cli import crawl_run
from labtrawl.cli.crawl_run import Plan
from labtrawl.domain.credential import Secret
from labtrawl.sandbox import Options
from labtrawl.sandbox.presets import build_world
from tests.rig.following import Followed, Weather, at_share, follow, target_of
from tests.rig.leaping import Leaps
from tests.rig.served import served

LISTS = (
    "members",
    "labels",
    "milestones",
    "issues",
    "merge_requests",
    "commits",
    "branches",
    "pipelines",
    "issue_discussions",
    "merge_request_discussions",
)
HOUR = 3600.0
LIMIT = 2000
MEDIAN_SECONDS, P95_SECONDS, SHARE = 120, 600, 0.1


async def crawled(
    out: Path, world: str, per_hour: float, hours: float, quiet_hours: float
) -> Followed:
    """Follow a world of which each kind changes as often as it has objects."""
    leaps = Leaps()
    # In a leap nobody tells how much of a grant was used: so the limit is told as ten times what it
    # is, and the share is a tenth of what it is.
    options = Options(rate_limit_per_minute=10 * LIMIT, now=leaps.now)
    with served(build_world(world), options) as up:
        weather = Weather(up, 1, {})
        weather.weights = {kind: size for kind, size in weather.sizes().items() if size}
        plan = Plan(target_of(up), Secret(up.token), out, LISTS, every_seconds=HOUR)
        return await follow(up, weather, leaps, plan, per_hour, hours, quiet_hours)


@pytest.fixture(autouse=True)
def share_of_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert crawl_run.SHARE_OF_LIMIT == SHARE
    monkeypatch.setattr(crawl_run, "SHARE_OF_LIMIT", SHARE / 10)


def seen_by_change(followed: Followed) -> list[float]:
    """Seconds of lag of all that is no deletion: those are found by sweeps."""
    kinds = followed.by_kind()
    return [lag for kind, lags in kinds.items() if not kind.endswith("gone") for lag in lags]


async def test_changes_are_there_within_two_minutes_for_a_tenth_of_the_limit(
    tmp_path: Path,
) -> None:
    followed = await crawled(tmp_path / "out", "w3n@0.02", 300, 0.08, 0.07)
    lags = seen_by_change(followed)
    assert len(lags) >= 20
    assert at_share(lags, 0.5) <= MEDIAN_SECONDS
    assert at_share(lags, 0.95) <= P95_SECONDS
    assert followed.requests_a_minute() <= SHARE * LIMIT


@pytest.mark.proof
@pytest.mark.timeout(3600)
async def test_world_of_200_projects_is_followed_for_an_hour(tmp_path: Path) -> None:
    """900 changes in an hour, of 20 groups with 200 projects."""
    followed = await crawled(tmp_path / "out", "w3n", 900, 1, 0.25)
    lags = seen_by_change(followed)
    for kind, each in sorted(followed.by_kind().items()):
        print(f"{kind:22} {len(each):5} {at_share(each, 0.5):8.1f} s {at_share(each, 0.95):8.1f} s")
    print(f"all {at_share(lags, 0.5):.1f} s {at_share(lags, 0.95):.1f} s")
    print(f"requests a minute {followed.requests_a_minute():.1f}")
    assert len(lags) >= 850
    assert at_share(lags, 0.5) <= MEDIAN_SECONDS
    assert at_share(lags, 0.95) <= P95_SECONDS
    assert followed.requests_a_minute() <= SHARE * LIMIT


@pytest.mark.proof
@pytest.mark.timeout(3600)
async def test_deletions_are_found_within_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_run, "SHARE_OF_LIMIT", 0.0)
    followed = await crawled(tmp_path / "out", "w3n@0.02", 60, 2, 24)
    gone = [lag for kind, lags in followed.by_kind().items() if "gone" in kind for lag in lags]
    print(f"{len(gone)} deletions, the last {max(gone) / HOUR:.1f} h")
    assert len(gone) >= 3
    assert max(gone) <= 24 * HOUR
