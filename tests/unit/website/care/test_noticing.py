"""What operators are told of: once for each cause, only when it lasts, and without secrets."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from labtrawl import logs
from labtrawl.domain.credential import Secret
from labtrawl.store.care import FailedJobs, Week
from labtrawl.store.seen import Fallen
from labtrawl.website.care import noticing
from labtrawl.website.care.checks import judge
from labtrawl.website.care.noticing import CURVE, Steady
from labtrawl.website.given.facts import BackupFacts
from tests.unit.website.care.facts import ADA, DAY, DISK, FACTS, GIB, NOW, fields


def test_what_may_pass_by_itself_is_told_when_it_lasts() -> None:
    steady = Steady()
    none, some = judge(replace(FACTS, crawlers=())), judge(FACTS)
    assert steady.lasting(none, 0.0) == []
    assert steady.lasting(none, 299.0) == []
    assert [each.name for each in steady.lasting(none, 300.0)] == ["crawlers"]
    assert steady.lasting(some, 301.0) == []
    assert steady.lasting(none, 302.0) == []


def test_disk_is_told_before_it_is_full_and_a_missing_backup_is_not() -> None:
    facts = replace(
        FACTS,
        disk=replace(DISK, grown_last_day=9 * GIB),
        backup=BackupFacts(False, 0.0, None, None),
    )
    assert [each.name for each in Steady().lasting(judge(facts), 0.0)] == ["disk"]


@pytest.mark.parametrize(
    ("left", "days"), [(31, []), (29, [30]), (6, [7]), (0.5, [1]), (-3, [1])], ids=str
)
def test_end_of_a_token_is_told_30_7_and_1_days_before(left: float, days: list[int]) -> None:
    at = int(NOW + left * DAY)
    told = noticing.of_expiries(replace(FACTS, accounts=[replace(ADA, expires_at=at)]))
    assert [each.period for each in told] == [f"{each} days before {at}" for each in days]
    assert {(each.cause, each.kind) for each in told} <= {("expiry:1", "credentials")}


def test_fields_are_told_once_a_version_and_fallen_shares_once_a_day() -> None:
    facts = replace(
        FACTS,
        fields=[fields("18.0.0", 20, id=20), fields("18.1.0", 20, id=20, health=1)],
        fallen=[Fallen(7, "a/b", 1000, 640, NOW - 5), Fallen(8, "a/c", 900, 1, NOW - 3 * DAY)],
    )
    told = noticing.of_changes(facts)
    assert [(each.cause, each.period, each.body) for each in told] == [
        ("fields:main:issues", "18.1.0", "issues of main 18.1.0: new health"),
        ("shares", noticing.day_of(NOW), "a/b: 100.0 % became 64.0 %"),
    ]


def test_resource_that_changes_after_another_has_a_cause_of_its_own() -> None:
    issues = [fields("18.0.0", 20, id=20), fields("18.1.0", 20, id=20, health=1)]
    labels = [replace(each, resource="labels") for each in issues]
    told = noticing.of_changes(replace(FACTS, fields=[*issues, *labels]))
    assert [each.cause for each in told] == ["fields:main:issues", "fields:main:labels"]


def test_failures_are_one_notice_and_refusals_none() -> None:
    refused, broken = FailedJobs("forbidden", 9, 3, "403"), FailedJobs("unavailable", 2, 8, "502")
    assert noticing.of_failures([refused], NOW) is None
    told = noticing.of_failures([refused, broken], NOW)
    assert told is not None
    assert (told.subject, told.body.splitlines()[0]) == ("2 jobs failed", "2 for unavailable: 502")


def test_secret_and_control_character_reach_no_notice() -> None:
    logs.conceal(Secret("glpat-canary-0123456789"))
    failed = FailedJobs("unavailable", 1, 8, "glpat-canary-0123456789 \x1b[31m\u202e")
    told = noticing.of_failures([failed], NOW)
    assert told is not None
    assert "canary" not in told.body
    assert not {"\x1b", "\u202e"} & set(told.body)
    assert "\n" not in noticing.made("a", "b", "c", "two\nlines", "x").subject


def test_notices_of_a_study_name_neither_people_nor_places() -> None:
    facts = replace(
        FACTS,
        problems=["main: GitLab refuses the token of @ada"],
        accounts=[replace(ADA, expires_at=NOW + DAY)],
        fallen=[Fallen(7, "ada/secret", 1000, 640, NOW - 5)],
    )
    failed = FailedJobs("unavailable", 2, 8, "502 of /projects/ada%2Fsecret")
    checks = judge(facts)
    week = noticing.of_week(Week({}, 0, {}, {}, 0), "w", "", checks, discreet=True)
    told = [
        *(noticing.of_check(each, NOW, discreet=True) for each in checks if not each.ok),
        *noticing.of_expiries(facts, discreet=True),
        *noticing.of_changes(facts, discreet=True),
        noticing.of_failures([failed], NOW, discreet=True),
        week,
    ]
    texts = " ".join(f"{each.subject} {each.body}" for each in told if each is not None)
    assert [word for word in ("ada", "secret") if word in texts] == []
    assert "the token of account 1 on main ends" in texts
    assert "area 7: 100.0 % became 64.0 %" in texts


@pytest.mark.parametrize(
    ("now", "period"),
    [
        ("2026-11-22T23:00", None),
        ("2026-11-23T07:59", None),
        ("2026-11-23T08:00", "week until 2026-11-23"),
        ("2026-11-25T07:59", "week until 2026-11-23"),
        ("2026-11-25T08:00", None),
    ],
)
def test_digest_is_due_from_its_day_on_for_two_days(now: str, period: str | None) -> None:
    at = int(datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp() * 1000)
    assert noticing.digest_period(at, "mon") == period


def test_digest_says_what_came_what_lacks_and_how_long_it_takes() -> None:
    week = Week({"issues": 1200, "labels": 3}, 5 * 1024**2, {"forbidden": 4}, {"completed": 9}, 2)
    told = noticing.of_week(week, "week until 2026-11-23", "about 2 h", judge(FACTS))
    assert told.subject == "the week: 1,203 records"
    assert told.body == (
        "Collected: 1,203 records, 5 MiB.\n  issues: 1,200\n  labels: 3\n\n"
        "Jobs that ended: 9 completed. Open: 2.\nTime left: about 2 h.\n\n"
        "Lists with less than GitLab holds, and why: 4 forbidden.\n\nAll checks are fine."
    )


def test_failing_channel_is_tried_eleven_times_ever_later() -> None:
    waits = [CURVE.delay(attempt, 1.0) for attempt in range(1, 11)]
    assert waits[:3] == [60.0, 120.0, 240.0]
    assert waits[-1] == 6 * 3600
    assert (CURVE.may_retry(10), CURVE.may_retry(11)) == (True, False)
