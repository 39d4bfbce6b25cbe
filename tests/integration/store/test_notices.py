"""The queue of notices on real databases: told once, sent once, tried again, and never lost."""

import pytest

from labtrawl.domain.failure import GapReason
from labtrawl.domain.sample import Figures
from labtrawl.errors import Missing
from labtrawl.store import backup, care, jobs, ledger, manifest, notices, samples, seen
from labtrawl.store.engine import Connection, Database
from labtrawl.store.manifest import ClosedSegment
from labtrawl.store.notices import Notice
from tests.integration.store.table import account, area, claim, job, rows, store

DISK = Notice("check:disk", "2026-11-22", "disk", "full", "1 MiB is free")
BOTH = ("mail", "webhook")


def make_due(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE delivery SET due_at = 1 WHERE due_at IS NOT NULL")


async def test_cause_is_told_once_a_period(database: Database) -> None:
    async with store(database) as opened:
        first = await opened.write(lambda c: notices.raise_notice(c, DISK, BOTH))
        again = await opened.write(lambda c: notices.raise_notice(c, DISK, BOTH))
        later = Notice("check:disk", "2026-11-23", "disk", "full", "0 MiB are free")
        second = await opened.write(lambda c: notices.raise_notice(c, later, ()))
        assert again is None
        assert await opened.read(lambda c: notices.is_told(c, "check:disk", "2026-11-22"))
        assert not await opened.read(lambda c: notices.is_told(c, "check:disk", "2026-11-24"))
        found = await opened.read(lambda c: notices.newest(c, 10))
        assert [(each.id, [one.channel for one in each.deliveries]) for each in found] == [
            (second, []),
            (first, ["mail", "webhook"]),
        ]
        older = await opened.read(lambda c: notices.newest(c, 1, second))
        assert [each.id for each in older] == [first]


async def test_delivery_waits_longer_each_time_and_is_given_up(database: Database) -> None:
    async with store(database) as opened:
        await opened.write(lambda c: notices.raise_notice(c, DISK, BOTH))
        mail, webhook = await opened.read(notices.due)
        await opened.write(lambda c: notices.sent(c, mail, "taken"))
        await opened.write(lambda c: notices.not_sent(c, webhook, "502", 60_000))
        assert await opened.read(notices.due) == []
        await opened.write(make_due)
        (again,) = await opened.read(notices.due)
        assert (again.channel, again.attempts, again.notice) == ("webhook", 1, DISK)
        await opened.write(lambda c: notices.not_sent(c, again, "x" * 900, None))
        (told,) = await opened.read(lambda c: notices.newest(c, 10))
        assert [
            (one.state, one.attempts, one.due_at, len(one.result)) for one in told.deliveries
        ] == [
            ("sent", 1, None, 5),
            ("failed", 2, None, 300),
        ]
        assert await opened.read(lambda c: notices.failed_since(c, 0)) == 1


async def test_old_notices_go_and_what_is_on_its_way_stays(database: Database) -> None:
    async with store(database) as opened:
        await opened.write(lambda c: notices.raise_notice(c, DISK, ()))
        other = Notice("gaps", "2026-11-22", "gaps", "a", "b")
        await opened.write(lambda c: notices.raise_notice(c, other, ("mail",)))
        await opened.write(lambda c: c.exec_driver_sql("UPDATE notice SET raised_at = 1"))
        assert await opened.write(lambda c: notices.forget(c, 180)) == 1
        assert [row.kind for row in await opened.read(lambda c: notices.newest(c, 9))] == ["gaps"]


async def test_requests_to_stop_are_few_an_hour_and_answered_once(database: Database) -> None:
    async with store(database) as opened:
        for _ in range(2):
            assert await opened.write(lambda c: notices.ask_to_stop(c, "root@a.org", "stop", 2))
        assert await opened.write(lambda c: notices.ask_to_stop(c, "root@a.org", "stop", 2)) is None
        await opened.write(lambda c: notices.answer_stop(c, 1, "admin"))
        with pytest.raises(Missing, match="no open request 1"):
            await opened.write(lambda c: notices.answer_stop(c, 1, "admin"))
        found = await opened.read(notices.stop_requests)
        assert [(each.id, each.answered_by) for each in found] == [(2, ""), (1, "admin")]
        assert await opened.read(care.stop_requests_open) == 1


async def test_backup_that_never_ended_is_noted_as_cut_off(database: Database) -> None:
    async with store(database) as opened:
        await opened.write(lambda c: backup.begin(c, "/b"))
        second = await opened.write(lambda c: backup.begin(c, "/b"))
        await opened.write(lambda c: backup.end(c, second, "/b/2", 3, 400, 100))
        third = await opened.write(lambda c: backup.begin(c, "/b"))
        await opened.write(lambda c: backup.fail(c, third, "the disk is full"))
        found = await opened.read(lambda c: backup.newest(c, 9))
        assert [(each.state, each.message) for each in found] == [
            ("failed", "the disk is full"),
            ("done", ""),
            ("failed", "it was cut off; nothing of it is left"),
        ]
        done = await opened.read(backup.last_done)
        assert done is not None
        assert (done.id, done.place, done.copied_bytes) == (2, "/b/2", 100)


def one_list(connection: Connection, expected: int, collected: int) -> None:
    connection.exec_driver_sql(
        "UPDATE ledger SET expected = ?, collected = ?, completed_at = 1", (expected, collected)
    )


async def test_share_that_fell_is_remembered_until_it_is_back(database: Database) -> None:
    async with store(database) as opened:
        area_id = await opened.write(lambda c: area(c, 7, {account(c, 1): 30}))
        await opened.write(lambda c: job(c, area_id))
        await opened.write(lambda c: claim(c, "c"))
        await opened.write(lambda c: jobs.step(c, 1, jobs.Step(is_end=True)))
        for expected, collected, fell in ((100, 100, False), (100, 95, True), (200, 199, False)):
            await opened.write(lambda c, e=expected, n=collected: one_list(c, e, n))  # type: ignore[misc]
            await opened.write(seen.mark_shares)
            found = await opened.read(seen.fallen)
            assert [(each.full_path, each.best, each.latest) for each in found] == (
                [("lab/p7", 1000, 950)] if fell else []
            )


async def test_fields_add_up_and_a_segment_is_looked_at_once(database: Database) -> None:
    async with store(database) as opened:
        area_id = await opened.write(lambda c: area(c, 7, {account(c, 1): 30}))
        await opened.write(lambda c: job(c, area_id))
        segment = ClosedSegment("i1/project-7/issues/j1-f1-000001.jsonl.zst", 9, "0" * 64, 3)
        await opened.write(lambda c: manifest.commit(c, 1, 1, [segment]))
        (sample,) = await opened.read(lambda c: seen.to_sample(c, 9))
        assert (sample.resource, sample.segment) == ("issues", segment)
        await opened.write(lambda c: seen.note_fields(c, sample, "18.0", 3, {"id": 3, "a": 1}))
        assert await opened.read(lambda c: seen.to_sample(c, 9)) == []
        await opened.write(lambda c: seen.note_fields(c, sample, "18.0", 2, {"id": 2}))
        (told,) = await opened.read(seen.fields)
        assert (told.instance, told.records, told.fields) == ("main", 5, {"id": 5, "a": 1})


async def test_versions_are_kept_from_their_first_sight_on(database: Database) -> None:
    async with store(database) as opened:
        await opened.write(lambda c: account(c, 1))
        for version in ("3.51.3", "3.53.4", "3.51.3"):
            await opened.write(lambda c, v=version: seen.note_version(c, "SQLite", v))  # type: ignore[misc]
        await opened.write(seen.note_gitlab_versions)
        found = await opened.read(seen.versions)
        assert sorted((each.component, each.version) for each in found) == [
            ("GitLab main", "17.0.0"),
            ("SQLite", "3.51.3"),
            ("SQLite", "3.53.4"),
        ]


async def test_facts_of_failures_gaps_accounts_and_the_week(database: Database) -> None:
    async with store(database) as opened:
        area_id = await opened.write(lambda c: area(c, 7, {account(c, 1): 30}))
        await opened.write(lambda c: job(c, area_id))
        await opened.write(lambda c: claim(c, "c"))
        segment = ClosedSegment("i1/project-7/issues/j1-f1-000001.jsonl.zst", 9, "0" * 64, 3)
        await opened.write(lambda c: manifest.commit(c, 1, 1, [segment]))
        await opened.write(lambda c: jobs.fail(c, 1, "unavailable", "502"))
        entry = ledger.Entry(reason=GapReason.FAILED)
        await opened.write(lambda c: ledger.explain(c, area_id, "issues", entry))
        failed = await opened.read(lambda c: care.failed_since(c, 0))
        assert failed == [care.FailedJobs("unavailable", 1, 1, "502")]
        assert await opened.read(lambda c: care.gaps_since(c, 0)) == {"failed": 1}
        # Compacted just now, and old: only what the samples tell came this week.
        assert await opened.read(care.growth_a_day) == 0
        await opened.write(lambda c: samples.write(c, 60_000, Figures(60.0, records={"issues": 8})))
        minute = await opened.read(care.now_ms) // 60_000 * 60_000
        await opened.write(lambda c: samples.write(c, minute, Figures(60.0, records={"issues": 3})))
        assert await opened.read(care.growth_a_day) == 9
        told = await opened.read(lambda c: care.week(c, minute - 7 * care.DAY_MS))
        assert told == care.Week({"issues": 3}, 9, {"failed": 1}, {"failed": 1}, 0)
        assert [each.username for each in await opened.read(care.accounts)] == ["user1"]
        await opened.write(lambda c: c.exec_driver_sql("UPDATE account SET token = ''"))
        assert await opened.read(care.accounts) == []
        assert await opened.read(lambda c: rows(c, "SELECT COUNT(*) FROM seen_version")) == [(0,)]
