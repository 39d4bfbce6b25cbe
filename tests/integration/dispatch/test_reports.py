"""What each end of a job does to the database: states, reasons, waits, the ledger."""

from pathlib import Path
from typing import Any

import pytest

from labtrawl.dispatch import planner, reports
from labtrawl.errors import BadMessage
from labtrawl.protocol.messages import (
    DiscoveredArea,
    DiscoveredJob,
    LedgerReport,
    ProgressUpdate,
    SegmentReport,
)
from labtrawl.store import accounts, jobs, leases, ledger, summary
from labtrawl.store.engine import Connection, Store
from tests.integration.store.table import RETRY, account, claim, planned, rows, states, store

DELAY = reports.Delay(RETRY, 0.5)


async def _claimed(db: Store, count: int = 1) -> list[leases.ClaimedJob]:
    await db.write(lambda c: planned(c, count))
    return await db.write(lambda c: claim(c, "a", "1", count))


async def _report(db: Store, one: leases.ClaimedJob, number: int, **fields: Any) -> None:
    told: dict[str, Any] = {"task_id": str(one.job_id), "epoch": one.fence, "timestamp": 0}
    update = ProgressUpdate(**(told | fields))
    origin = jobs.Origin("a", f"{number:026d}", one.fence)
    await db.write(lambda c: reports.apply(c, one.job_id, origin, update, DELAY))


def _job(connection: Connection) -> tuple[Any, ...]:
    return rows(
        connection,
        "SELECT state, hold_reason, error_reason, error_message, attempt,"
        " (run_after - CAST(unixepoch('subsec') * 1000 AS INTEGER) + 500) / 1000 FROM job",
    )[0]


@pytest.mark.parametrize(
    ("fields", "state", "hold", "reason", "attempt"),
    [
        ({"reason": "forbidden"}, "failed", None, "forbidden", 1),
        ({"reason": "empty_repository"}, "failed", None, "empty_repository", 1),
        ({"reason": "cap"}, "failed", None, "cap", 1),
        ({"reason": "something new"}, "failed", None, "failed", 1),
        ({"reason": "unavailable"}, "failed", None, "failed", 1),
        ({"reason": "unavailable", "retryable": True}, "queued", None, None, 1),
        ({"reason": "rate_limited", "retryable": True}, "queued", None, None, 0),
        ({"reason": "disk", "retryable": True}, "held", "disk", None, 1),
        ({"reason": "credential"}, "held", "credential", None, 1),
    ],
)
async def test_failure_ends_holds_or_puts_off_its_job(
    tmp_path: Path,
    fields: dict[str, Any],
    state: str,
    hold: str | None,
    reason: str | None,
    attempt: int,
) -> None:
    async with store(tmp_path) as db:
        (one,) = await _claimed(db)
        await _report(db, one, 1, status="failed", error="so it was", **fields)
        assert (await db.read(_job))[:5] == (state, hold, reason, "so it was", attempt)
        gaps = await db.read(summary.gaps)
        assert [(gap.reason, gap.detail) for gap in gaps] == [
            (reason, "so it was" if reason else "")
        ]


@pytest.mark.parametrize(
    ("asked", "seconds"), [(7.0, 7), (0.0, 0), (-5.0, 0), (1e12, 86_400), (None, 0)]
)
async def test_wait_that_gitlab_asked_for_is_kept_within_a_day(
    tmp_path: Path, asked: float | None, seconds: int
) -> None:
    async with store(tmp_path) as db:
        (one,) = await _claimed(db)
        fields = {"reason": "unavailable", "retryable": True, "retry_after_seconds": asked}
        await _report(db, one, 1, status="failed", **fields)
        assert (await db.read(_job))[5] == seconds


async def test_job_that_is_told_to_wait_again_and_again_is_never_failed(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(planned)
        for number in range(RETRY.attempts * 3):
            await db.write(lambda c: c.exec_driver_sql("UPDATE job SET run_after = NULL").rowcount)
            (one,) = await db.write(lambda c, n=number: claim(c, "a", f"{n}"))  # type: ignore[misc]
            await _report(db, one, number, status="failed", reason="rate_limited", retryable=True)
        assert await db.read(states) == ["queued"]


async def test_job_that_fails_at_each_try_is_failed_after_its_tries(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(planned)
        for number in range(RETRY.attempts):
            assert await db.read(states) == ["queued"]
            await db.write(lambda c: c.exec_driver_sql("UPDATE job SET run_after = NULL").rowcount)
            (one,) = await db.write(lambda c, n=number: claim(c, "a", f"{n}"))  # type: ignore[misc]
            await _report(db, one, number, status="failed", reason="unavailable", retryable=True)
        assert await db.read(states) == ["failed"]


async def test_refused_token_lets_another_account_go_on(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        (one,) = await _claimed(db)

        def second(connection: Connection) -> int:
            other = account(connection, 2)
            connection.exec_driver_sql("INSERT INTO area_access VALUES (1, ?, 10, 0)", (other,))
            return other

        other = await db.write(second)
        await _report(db, one, 1, status="failed", reason="credential", error="401")
        (again,) = await db.write(lambda c: claim(c, "a", "2"))
        assert (one.account_id != again.account_id, again.account_id) == (True, other)


async def test_end_of_a_list_is_one_transaction_with_its_last_segment(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        (one,) = await _claimed(db)
        segment = SegmentReport(name="s", length=1, sha256="0", records=4)
        fields: dict[str, Any] = {
            "cursor": "{}",
            "segments": [segment],
            "ledger": LedgerReport(expected=5, expected_by="x-total", reason="changed", detail="d"),
        }
        await _report(db, one, 1, status="completed", **fields)
        assert await db.read(states) == ["completed"]
        assert await db.read(
            lambda c: rows(c, "SELECT collected, expected, reason, detail FROM ledger")
        ) == [(4, 5, "changed", "d")]


async def test_end_with_a_reason_nobody_knows_changes_nothing(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        (one,) = await _claimed(db)
        with pytest.raises(BadMessage):
            await _report(db, one, 1, status="completed", ledger=LedgerReport(reason="because"))
        assert await db.read(states) == ["running"]


async def test_counters_never_go_back(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        (one,) = await _claimed(db)
        for number, items in enumerate((5, 9, 7, -3)):
            await _report(
                db,
                one,
                number,
                status="processing",
                cursor="{}",
                processed_items=items,
                requests=items,
            )
        assert await db.read(lambda c: rows(c, "SELECT processed_items, requests FROM job")) == [
            (9, 9)
        ]


def test_only_what_shows_is_no_event() -> None:
    def told(**fields: Any) -> bool:
        return reports.is_event(ProgressUpdate(task_id="1", timestamp=0, **fields))

    assert told(status="processing") is False
    assert told(status="processing", cursor="{}")
    assert told(
        status="processing", segments=[SegmentReport(name="s", length=1, sha256="", records=1)]
    )
    assert [told(status=one) for one in ("started", "completed", "failed", "paused")] == [True] * 4


# ---------------------------------------------------------------- the planner


def _area(**fields: Any) -> DiscoveredArea:
    told: dict[str, Any] = {"type": "project", "name": "p", "gitlab_id": 7, "role": 30}
    told["full_path"] = "lab/p"
    return DiscoveredArea(**(told | fields))


async def test_area_has_a_row_for_each_of_its_resources_and_reasons_are_known_before(
    tmp_path: Path,
) -> None:
    async with store(tmp_path) as db:

        def plan(connection: Connection) -> None:
            found = _area(features={"issues_access_level": "disabled"}, empty_repository=True)
            planner.record_area(connection, 1, account(connection, 1), found)

        await db.write(plan)
        told = await db.read(
            lambda c: dict(rows(c, "SELECT resource, reason FROM ledger WHERE reason <> ''"))
        )
        of_issues = ("issues", "issue_discussions", "issue_award_emoji", "issue_links", "timelogs")
        events = ("issue_label_events", "issue_state_events", "issue_milestone_events")
        of_commits = ("commits", "branches", "tags", "languages")
        assert told == {
            **dict.fromkeys((*of_issues, *events), "feature_off"),
            **dict.fromkeys(of_commits, "empty_repository"),
        }
        # All but the discussions of each commit, which nobody named.
        assert await db.read(lambda c: rows(c, "SELECT COUNT(*) FROM ledger")) == [(34,)]


async def test_area_seen_again_keeps_what_was_collected_and_its_older_path(tmp_path: Path) -> None:
    async with store(tmp_path) as db:

        def plan(connection: Connection) -> None:
            user = account(connection, 1)
            planner.record_area(connection, 1, user, _area())
            ledger.count(connection, 1, "issues", 5)
            moved = _area(full_path="new/p", features={"issues_access_level": "disabled"})
            planner.record_area(connection, 1, user, moved)

        await db.write(plan)
        assert await db.read(
            lambda c: rows(c, "SELECT collected, reason FROM ledger WHERE resource = 'issues'")
        ) == [(5, "feature_off")]
        assert await db.read(lambda c: rows(c, "SELECT full_path FROM area")) == [("new/p",)]
        assert await db.read(
            lambda c: rows(c, "SELECT full_path FROM area_path ORDER BY full_path")
        ) == [("lab/p",), ("new/p",)]


@pytest.mark.parametrize("kind", ["planet", "user", "instance", ""])
async def test_area_of_a_strange_kind_is_refused(tmp_path: Path, kind: str) -> None:
    async with store(tmp_path) as db:
        with pytest.raises(BadMessage):
            await db.write(lambda c: planner.record_area(c, 1, account(c, 1), _area(type=kind)))


async def test_job_is_queued_once_and_only_for_what_is_known(tmp_path: Path) -> None:
    async with store(tmp_path) as db:

        def plan(connection: Connection) -> list[int]:
            planner.record_area(connection, 1, account(connection, 1), _area())
            proposals = [
                ("issues", 7, "project"),
                ("issues", 7, "project"),
                ("issues", 8, "project"),
                ("secrets", 7, "project"),
                ("issues", 7, "planet"),
            ]
            return [
                planner.queue_jobs(
                    connection,
                    1,
                    None,  # type: ignore[arg-type]
                    [DiscoveredJob(command=name, full_path="", gitlab_id=number, area_type=kind)],
                )
                for name, number, kind in proposals
            ]

        assert await db.write(plan) == [1, 0, 0, 0, 0]
        assert await db.read(states) == ["queued"]


async def test_account_verified_again_resumes_its_jobs_and_is_discovered_once(
    tmp_path: Path,
) -> None:
    async with store(tmp_path) as db:
        verified = accounts.VerifiedAccount("main", "http://g", "19.3", 5, "ann", ("api",), "t")
        first = await db.write(lambda c: planner.plan_account(c, verified))
        (one,) = await db.write(lambda c: claim(c, "a", "1"))
        await _report(db, one, 1, status="failed", reason="credential")
        assert await db.read(states) == ["held"]
        assert await db.write(lambda c: planner.plan_account(c, verified)) == first
        assert await db.read(states) == ["queued"]
