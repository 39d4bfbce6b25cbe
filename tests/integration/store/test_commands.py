"""Commands on a real database: what a person wants outlives whoever should do it."""

from functools import partial

import pytest

from labtrawl.domain.job import HoldReason
from labtrawl.errors import Conflict, Missing
from labtrawl.store import commands, jobs, leases
from labtrawl.store.commands import EVERY_CRAWLER, Wanted, Worked
from labtrawl.store.engine import Connection, Database
from tests.integration.store.table import RETRY, claim, expire, planned, rows, states, store

WISHES = "SELECT state, hold_reason, wanted FROM job ORDER BY id"


@pytest.mark.seed("S1.30")
async def test_pausing_a_queued_job_holds_it_until_it_is_resumed(database: Database) -> None:
    async with store(database) as opened:
        (job_id,) = await opened.write(planned)
        assert await opened.write(lambda c: commands.pause_job(c, job_id)) == Worked(job_id, "")
        assert await opened.write(lambda c: claim(c, "a")) == []
        assert await opened.read(lambda c: rows(c, WISHES)) == [("held", "paused", "run")]
        await opened.write(lambda c: commands.resume_job(c, job_id))
        assert [one.job_id for one in await opened.write(lambda c: claim(c, "a"))] == [job_id]


@pytest.mark.parametrize("end", ["gives back", "dies", "runs out", "fails for now", "disk"])
async def test_pausing_a_running_job_holds_it_however_its_lease_ends(
    database: Database, end: str
) -> None:
    def finish(connection: Connection, job_id: int) -> None:
        if end == "gives back":
            leases.give_back(connection, job_id)
        elif end == "dies":
            leases.rescue_holder(connection, "a", RETRY)
        elif end == "runs out":
            expire(connection)
            leases.rescue_expired(connection, RETRY)
        elif end == "disk":
            jobs.hold(connection, job_id, HoldReason.DISK)
        else:
            jobs.retry_later(connection, job_id, "later", 5.0)

    async with store(database) as opened:
        (job_id,) = await opened.write(planned)
        (held,) = await opened.write(lambda c: claim(c, "a"))
        asked = await opened.write(lambda c: commands.pause_job(c, job_id))
        (renewal,) = await opened.write(lambda c: leases.renew(c, "a", [(job_id, held.fence)], 60))
        await opened.write(lambda c: finish(c, job_id))
        assert (asked, renewal.wanted) == (Worked(job_id, "a"), "pause")
        assert await opened.read(lambda c: rows(c, WISHES)) == [("held", "paused", "run")]


async def test_resuming_before_the_page_ended_lets_the_job_run_on(database: Database) -> None:
    async with store(database) as opened:
        (job_id,) = await opened.write(planned)
        await opened.write(lambda c: claim(c, "a"))
        await opened.write(lambda c: commands.pause_job(c, job_id))
        await opened.write(lambda c: commands.resume_job(c, job_id))
        assert await opened.read(lambda c: rows(c, WISHES)) == [("running", None, "run")]


async def test_cancelling_ends_a_job_and_its_lease_and_says_so_in_the_ledger(
    database: Database,
) -> None:
    async with store(database) as opened:
        (job_id,) = await opened.write(planned)
        (held,) = await opened.write(lambda c: claim(c, "a"))
        assert await opened.write(lambda c: commands.cancel_job(c, job_id)) == Worked(job_id, "a")
        (renewal,) = await opened.write(lambda c: leases.renew(c, "a", [(job_id, held.fence)], 60))
        assert renewal.lost
        assert await opened.read(states) == ["cancelled"]
        reasons = await opened.read(lambda c: rows(c, "SELECT reason, detail FROM ledger"))
        assert reasons == [("cancelled", "somebody cancelled it")]
        await opened.write(lambda c: jobs.retry(c, job_id))
        assert await opened.read(states) == ["queued"]


@pytest.mark.parametrize("command", [commands.pause_job, commands.resume_job, commands.cancel_job])
async def test_command_about_a_job_that_is_not_there_or_over_is_refused(
    database: Database, command: commands.JobCommand
) -> None:
    async with store(database) as opened:
        (job_id,) = await opened.write(planned)
        with pytest.raises(Missing, match="there is no job 77"):
            await opened.write(lambda c: command(c, 77))
        await opened.write(lambda c: claim(c, "a"))
        await opened.write(lambda c: jobs.step(c, job_id, jobs.Step(is_end=True)))
        with pytest.raises(Conflict):
            await opened.write(lambda c: command(c, job_id))


def _register(name: str, connection: Connection) -> None:
    commands.register(connection, name, "supervisor")


async def test_wish_for_every_crawler_replaces_that_for_one(database: Database) -> None:
    def told(connection: Connection) -> list[str]:
        return [commands.wanted_of(connection, name) for name in ("a", "b")]

    async with store(database) as opened:
        for name in ("a", "b"):
            await opened.write(partial(_register, name))
        assert await opened.read(told) == ["run", "run"]
        await opened.write(lambda c: commands.want(c, "a", Wanted.DRAIN))
        assert await opened.read(told) == ["drain", "run"]
        await opened.write(lambda c: commands.want(c, EVERY_CRAWLER, Wanted.PAUSE))
        assert await opened.read(told) == ["pause", "pause"]
        await opened.write(lambda c: commands.want(c, EVERY_CRAWLER, Wanted.RUN))
        assert await opened.read(told) == ["run", "run"]
        with pytest.raises(Missing, match="no crawler c ever came"):
            await opened.write(lambda c: commands.want(c, "c", Wanted.PAUSE))


async def test_one_crawler_cannot_be_resumed_while_all_are_to_stop(database: Database) -> None:
    """Nothing would come of it; the wish that counts is the one for all of them."""
    async with store(database) as opened:
        await opened.write(partial(_register, "a"))
        await opened.write(lambda c: commands.want(c, EVERY_CRAWLER, Wanted.PAUSE))
        with pytest.raises(Conflict, match="every crawler is told to pause: resume them all"):
            await opened.write(lambda c: commands.want(c, "a", Wanted.RUN))


async def test_name_of_a_crawler_belongs_to_the_credential_that_came_first(
    database: Database,
) -> None:
    async with store(database) as opened:
        await opened.write(lambda c: commands.register(c, "a", "token:1"))
        await opened.write(lambda c: commands.register(c, "a", "token:1"))
        with pytest.raises(Conflict, match="belongs to another credential"):
            await opened.write(lambda c: commands.register(c, "a", "token:2"))
