"""What was stored with many rights is not shown to who has fewer, however it is read later."""

from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.domain.visit import Mode
from labtrawl.store import areas, compaction, jobs, manifest
from labtrawl.store.engine import Connection, Database
from labtrawl.store.pages.records import Reach, lists
from tests.integration.store.table import account, area, claim, job, store


def read(connection: Connection, job_id: int, *, is_first: bool = False) -> None:
    """Let the job read its list to the end with whoever has most rights, and store a segment."""
    (one,) = claim(connection, "crawler", f"claim-{job_id}-{is_first}")
    assert one.job_id == job_id
    name = SegmentPrefix(1, "project", 7, one.resource, job_id, one.fence).name(1)
    closed = manifest.ClosedSegment(name, 10, "ab" * 32, 3)
    manifest.commit(connection, job_id, one.fence, [closed])
    jobs.step(connection, job_id, jobs.Step(is_end=True))


def shown(connection: Connection, account_id: int) -> list[str]:
    return [each.resource for each in lists(connection, Reach(account_id))]


async def test_list_that_a_maintainer_stored_stays_hidden_from_who_has_fewer_rights(
    database: Database,
) -> None:
    async with store(database) as db:
        ada, ben = await db.write(lambda c: (account(c, 1), account(c, 2)))
        place = await db.write(lambda c: area(c, 7, {ada: 40, ben: 20}))
        issues = await db.write(lambda c: job(c, place))
        await db.write(lambda c: read(c, issues, is_first=True))
        assert await db.read(lambda c: (shown(c, ada), shown(c, ben))) == (["issues"], [])
        # The maintainer becomes a reporter, then all is read again, and more than before.
        await db.write(lambda c: areas.grant(c, place, ada, 20))
        await db.write(lambda c: jobs.reopen(c, place, "issues", Mode.SWEEP))
        await db.write(lambda c: read(c, issues))
        labels = await db.write(lambda c: job(c, place, "labels"))
        await db.write(lambda c: read(c, labels))
        assert await db.read(lambda c: (shown(c, ada), shown(c, ben))) == (["labels"], ["labels"])
        await db.write(lambda c: areas.grant(c, place, ben, 50))
        assert await db.read(lambda c: shown(c, ben)) == ["issues", "labels"]


async def test_files_that_were_put_together_keep_the_role_of_their_list(database: Database) -> None:
    async with store(database) as db:
        ada = await db.write(lambda c: account(c, 1))
        place = await db.write(lambda c: area(c, 7, {ada: 40}))
        issues = await db.write(lambda c: job(c, place))
        await db.write(lambda c: read(c, issues, is_first=True))
        await db.write(lambda c: areas.grant(c, place, ada, 20))
        await db.write(lambda c: jobs.reopen(c, place, "issues", Mode.CHANGES))
        await db.write(lambda c: read(c, issues))
        (planned,) = await db.write(lambda c: compaction.plan(c, place, "issues", least=2))
        name = SegmentPrefix(1, "project", 7, "issues", issues, planned.fence).name(1)
        merged = manifest.ClosedSegment(name, 20, "cd" * 32, 6)
        assert await db.write(lambda c: compaction.commit(c, planned, merged)) is True
        assert await db.read(lambda c: shown(c, ada)) == []
