"""Leases on a real database: claims, renewals, rescue, holds, and who is chosen for a job."""

import pytest

from labtrawl.domain.job import HoldReason
from labtrawl.errors import Conflict, LeaseLost, Missing
from labtrawl.store import accounts, jobs, leases, ledger, summary
from labtrawl.store.engine import Connection, Database
from tests.integration.store.table import (
    RETRY,
    account,
    area,
    claim,
    expire,
    job,
    planned,
    rows,
    states,
    store,
)


def _ids(claimed: list[leases.ClaimedJob]) -> list[int]:
    return [one.job_id for one in claimed]


async def test_same_claim_gets_the_same_jobs_and_another_gets_the_next(database: Database) -> None:
    async with store(database) as db:
        made = await db.write(lambda c: planned(c, 5))
        first = await db.write(lambda c: claim(c, "a", "one", 2))
        again = await db.write(lambda c: claim(c, "a", "one", 5))
        other = await db.write(lambda c: claim(c, "a", "two", 9))
        assert (_ids(first), again, _ids(other)) == (made[:2], first, made[2:])
        assert {one.fence for one in first} == {1}
        assert await db.write(lambda c: claim(c, "b", "one", 9)) == []


async def test_claim_takes_the_most_important_first_and_only_the_resource_asked_for(
    database: Database,
) -> None:
    async with store(database) as db:

        def plan(connection: Connection) -> list[int]:
            area_id = area(connection, 7, {account(connection, 1): 30})
            return [
                job(connection, area_id, name, priority)
                for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 9))
            ]

        a, b, c, d = await db.write(plan)
        assert await db.read(lambda k: leases.has_due(k, "x", "only", "c"))
        assert not await db.read(lambda k: leases.has_due(k, "x", "only", "z"))
        assert _ids(await db.write(lambda k: claim(k, "x", "only", 9, resource="c"))) == [c]
        order = await db.write(lambda k: [claim(k, "x", f"{n}")[0].job_id for n in range(3)])
        assert order == [d, b, a]


async def test_account_with_the_highest_role_is_chosen_then_the_least_busy(
    database: Database,
) -> None:
    async with store(database) as db:

        def plan(connection: Connection) -> tuple[int, int, int]:
            guest, one, two = (account(connection, user) for user in (1, 2, 3))
            for number in range(4):
                roles = {guest: 10, one: 40, two: 40}
                job(connection, area(connection, number + 1, roles))
            job(connection, area(connection, 9, {guest: 10}))
            return guest, one, two

        guest, one, two = await db.write(plan)
        claimed = await db.write(lambda c: claim(c, "x", "c", 9))
        assert [task.account_id for task in claimed] == [one, two, one, two, guest]


async def test_refused_account_is_not_chosen_and_what_it_alone_saw_waits(
    database: Database,
) -> None:
    async with store(database) as db:

        def plan(connection: Connection) -> tuple[int, int]:
            one, two = account(connection, 1), account(connection, 2)
            job(connection, area(connection, 1, {one: 50, two: 10}))
            job(connection, area(connection, 2, {one: 50}))
            accounts.refuse(connection, one)
            return two, jobs.hold_unseen(connection)

        two, held = await db.write(plan)
        claimed = await db.write(lambda c: claim(c, "x", "c", 9))
        assert (held, [task.account_id for task in claimed]) == (1, [two])
        assert await db.read(states) == ["running", "held"]
        again = await db.write(lambda c: jobs.resume(c, HoldReason.CREDENTIAL, account(c, 1)))
        assert (again, await db.read(states)) == (1, ["running", "queued"])


async def test_renewal_prolongs_what_is_still_ours_and_tells_the_rest(database: Database) -> None:
    async with store(database) as db:
        one, two, three = await db.write(lambda c: planned(c, 3))
        await db.write(lambda c: claim(c, "a", "1", 2))
        await db.write(lambda c: claim(c, "b", "1", 1))
        await db.write(expire)
        asked = [(one, 1), (two, 0), (three, 1), (99, 1)]
        renewed = await db.write(lambda c: leases.renew(c, "a", asked, 60))
        assert [one.lost for one in renewed] == [False, True, True, True]
        assert (renewed[0].expires_at or 0) > 10**12
        assert await db.write(lambda c: leases.rescue_expired(c, RETRY)) == 2


async def test_rescued_job_comes_back_under_a_higher_fence_from_its_cursor(
    database: Database,
) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        await db.write(lambda c: claim(c, "a"))
        await db.write(lambda c: jobs.step(c, job_id, jobs.Step(cursor="here", segments=3)))
        await db.write(expire)
        assert await db.read(leases.needs_care)
        assert await db.write(lambda c: leases.rescue_expired(c, RETRY)) == 1
        (again,) = await db.write(lambda c: claim(c, "b"))
        assert (again.fence, again.cursor, again.next_segment) == (2, "here", 4)
        assert not await db.read(leases.needs_care)


async def test_job_that_only_kills_its_crawlers_is_failed_with_a_reason_in_the_ledger(
    database: Database,
) -> None:
    async with store(database) as db:
        await db.write(planned)
        for number in range(RETRY.attempts * 2):
            assert await db.read(states) == ["queued"]
            await db.write(lambda c, n=number: claim(c, "a", f"{n}"))  # type: ignore[misc]
            await db.write(lambda c: leases.rescue_holder(c, "a", RETRY))
        assert await db.read(states) == ["failed"]
        (gap,) = await db.read(summary.gaps)
        assert (gap.reason, gap.detail) == ("failed", leases.POISONED)


async def test_job_that_gets_on_between_kills_is_never_failed(database: Database) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        for number in range(20):
            step = jobs.Step(cursor=f"{number}")
            await db.write(lambda c, n=number: claim(c, "a", f"{n}"))  # type: ignore[misc]
            await db.write(lambda c, s=step: jobs.step(c, job_id, s))  # type: ignore[misc]
            await db.write(lambda c: leases.rescue_holder(c, "a", RETRY))
        assert await db.read(states) == ["queued"]


async def test_sweep_that_reads_the_same_rows_in_each_try_fails_at_last(database: Database) -> None:
    """Each try begins anew: what it read before it failed is no progress."""
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        await db.write(lambda c: c.exec_driver_sql("UPDATE job SET mode = 'sweep'"))
        attempts = []
        for number, items in enumerate((100, 100, 100, 300, 100)):
            (one,) = await db.write(lambda c, n=number: claim(c, "a", f"{n}"))  # type: ignore[misc]
            attempts.append(one.attempt)
            for read in (100, items):
                step = jobs.Step(jobs.Progress(processed_items=read), cursor=f"{read}")
                await db.write(lambda c, s=step: jobs.step(c, job_id, s))  # type: ignore[misc]
            await db.write(lambda c: leases.rescue_holder(c, "a", RETRY))
        assert attempts == [1, 2, 3, 4, 2]


async def test_job_given_back_has_its_try_back(database: Database) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        for number in range(20):
            (one,) = await db.write(lambda c, n=number: claim(c, "a", f"{n}"))  # type: ignore[misc]
            assert one.attempt == 1
            await db.write(lambda c: leases.give_back(c, job_id))


async def test_lease_not_named_at_a_new_connection_is_freed(database: Database) -> None:
    async with store(database) as db:
        one, two, three = await db.write(lambda c: planned(c, 3))
        await db.write(lambda c: claim(c, "a", "1", 3))
        held = {(one, 1), (two, 9)}
        assert await db.write(lambda c: leases.release_unheld(c, "a", held)) == [two, three]
        assert await db.read(states) == ["running", "queued", "queued"]
        assert await db.read(leases.live_leases) == {(one, 1)}


async def test_job_put_off_is_due_when_its_time_has_come(database: Database) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        await db.write(lambda c: claim(c, "a"))
        await db.write(lambda c: jobs.retry_later(c, job_id, "later", 3600))
        assert await db.write(leases.make_due) == 0
        assert await db.write(lambda c: claim(c, "a", "2")) == []
        await db.write(lambda c: c.exec_driver_sql("UPDATE job SET run_after = 1").rowcount)
        assert await db.read(leases.needs_care)
        assert await db.write(leases.make_due) == 1
        (again,) = await db.write(lambda c: claim(c, "a", "3"))
        assert again.attempt == 2


async def test_held_job_is_not_claimed_and_resumes_from_its_cursor(database: Database) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        await db.write(lambda c: claim(c, "a"))
        await db.write(lambda c: jobs.step(c, job_id, jobs.Step(cursor="here", segments=1)))
        await db.write(lambda c: jobs.hold(c, job_id, HoldReason.DISK, "full"))
        assert await db.write(lambda c: claim(c, "a", "2")) == []
        assert await db.write(lambda c: jobs.resume(c, HoldReason.PAUSED)) == 0
        assert await db.write(lambda c: jobs.resume(c, HoldReason.DISK)) == 1
        (again,) = await db.write(lambda c: claim(c, "a", "3"))
        assert (again.cursor, again.fence) == ("here", 2)


async def test_report_is_judged_by_lease_then_by_id(database: Database) -> None:
    def origin(message_id: str, fence: int = 1, name: str = "a") -> jobs.Origin:
        return jobs.Origin(name, message_id, fence)

    async with store(database) as db:
        (job_id,) = await db.write(planned)
        await db.write(lambda c: claim(c, "a"))
        assert not await db.read(lambda c: jobs.was_applied(c, job_id, origin("2")))
        await db.write(lambda c: jobs.mark_applied(c, job_id, origin("2")))
        told = [
            await db.read(lambda c, m=m: jobs.was_applied(c, job_id, origin(m)))  # type: ignore[misc]
            for m in ("1", "2", "3")
        ]
        assert told == [True, True, False]
        for wrong in (origin("3", 2), origin("3", 1, "b"), origin("1", 0)):
            with pytest.raises(LeaseLost):
                await db.read(lambda c, o=wrong: jobs.was_applied(c, job_id, o))  # type: ignore[misc]
        await db.write(lambda c: jobs.step(c, job_id, jobs.Step(is_end=True)))
        assert await db.read(lambda c: jobs.was_applied(c, job_id, origin("2")))
        with pytest.raises(LeaseLost):
            await db.read(lambda c: jobs.was_applied(c, job_id, origin("3")))
        with pytest.raises(Missing):
            await db.read(lambda c: jobs.was_applied(c, 99, origin("3")))


async def test_retry_is_for_ended_jobs_whose_work_nobody_else_does(database: Database) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        with pytest.raises(Conflict):
            await db.write(lambda c: jobs.retry(c, job_id))
        await db.write(lambda c: claim(c, "a"))
        await db.write(lambda c: jobs.fail(c, job_id, "forbidden", "403"))
        other = await db.write(lambda c: jobs.enqueue(c, jobs.PlannedJob(1, "r0")))
        with pytest.raises(Conflict):
            await db.write(lambda c: jobs.retry(c, job_id))
        await db.write(lambda c: claim(c, "b"))
        await db.write(lambda c: jobs.step(c, int(other or 0), jobs.Step(is_end=True)))
        await db.write(lambda c: jobs.retry(c, job_id))
        assert await db.read(states) == ["queued", "completed"]


async def test_ledger_forgets_its_reason_when_a_failed_list_is_read_after_all(
    database: Database,
) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        await db.write(lambda c: claim(c, "a"))

        def fail(connection: Connection) -> None:
            entry = ledger.Entry(reason=None, detail="no answer")
            ledger.explain(connection, 1, "r0", entry)
            jobs.fail(connection, job_id, "failed", "no answer")

        await db.write(fail)
        await db.write(lambda c: jobs.retry(c, job_id))
        await db.write(lambda c: claim(c, "a", "2"))

        def complete(connection: Connection) -> None:
            ledger.count(connection, 1, "r0", 5)
            ledger.close_row(connection, 1, "r0", ledger.Entry(expected=5, expected_by="x-total"))
            jobs.step(connection, job_id, jobs.Step(is_end=True))

        await db.write(complete)
        assert await db.read(summary.gaps) == []
        assert await db.read(
            lambda c: rows(c, "SELECT collected, expected, reason, detail FROM ledger")
        ) == [(5, 5, None, "")]


async def test_more_or_fewer_records_than_expected_are_a_gap_without_a_reason(
    database: Database,
) -> None:
    async with store(database) as db:

        def read_all(connection: Connection) -> None:
            planned(connection, 3)
            for number, collected in enumerate((4, 5, 6)):
                ledger.count(connection, 1, f"r{number}", collected)
                ledger.close_row(connection, 1, f"r{number}", ledger.Entry(expected=5))

        await db.write(read_all)
        gaps = await db.read(summary.gaps)
        assert [(gap.resource, gap.reason) for gap in gaps] == [("r0", None), ("r2", None)]
