"""The ledger of lists that are read again: what is there, what is missing, and filling it."""

from collections.abc import AsyncIterator

import pytest

from labtrawl.errors import BadMessage
from labtrawl.protocol.messages import LedgerReport, LedgerWindow
from labtrawl.store import gaps
from labtrawl.store.engine import Database
from tests.integration.dispatch.visits import Site
from tests.integration.store.table import store


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with store(database) as db:
        yield Site(db)


async def test_collected_counts_what_is_there(site: Site) -> None:
    await site.discovered("milestones")
    row = "SELECT expected, collected, reason FROM ledger WHERE resource = 'milestones'"
    one = await site.claim("milestones")
    await site.commit(one, 5)
    await site.complete(one, ledger=LedgerReport(expected=6))
    assert await site.ask(row) == [(6, 5, None)]
    await site.pass_time(2)
    await site.open_due()
    changes = await site.claim("milestones")
    await site.commit(changes, 4, added=2, removed=1)
    await site.complete(changes)
    assert await site.ask(row) == [(7, 6, None)]  # the gap of the full reading is still one
    await site.pass_time(30)
    await site.open_due()
    sweep = await site.claim("milestones")
    await site.commit(sweep, 1, added=1)
    await site.complete(sweep, ledger=LedgerReport(expected=7))
    assert await site.ask(row) == [(7, 7, None)]


@pytest.mark.parametrize(
    "counts", [{"added": 2}, {"added": -1}, {"removed": 2}, {"added": 1, "removed": 1}]
)
async def test_counts_that_cannot_be_are_refused(site: Site, counts: dict[str, int]) -> None:
    await site.discovered("milestones")
    one = await site.claim("milestones")
    with pytest.raises(BadMessage, match="do not fit"):
        await site.commit(one, 1, **counts)
    assert await site.ask("SELECT COUNT(*) FROM segment") == [(0,)]


async def test_visit_for_changes_explains_no_gap_away(site: Site) -> None:
    await site.discovered("milestones")
    row = "SELECT reason, detail FROM ledger WHERE resource = 'milestones'"
    for reason, after in (("cap", "cap"), ("forbidden", None)):
        await site.visit("milestones", ledger=LedgerReport(reason=reason, detail="so"))
        assert await site.ask(row) == [(reason, "so")]
        await site.pass_time(5)
        await site.open_due()
        assert (await site.visit("milestones")).mode == "changes"
        assert (await site.ask(row))[0][0] == after
        await site.pass_time(30)
        await site.open_due()


async def test_windows_are_those_of_the_last_reading_that_had_any(site: Site) -> None:
    await site.discovered("milestones")
    first = [LedgerWindow(since="a", until="b", expected=2, collected=2), LedgerWindow(since="b")]
    await site.visit("milestones", ledger=LedgerReport(windows=first))
    asked = "SELECT since, until, expected, collected FROM ledger_window ORDER BY since"
    assert await site.ask(asked) == [("a", "b", 2, 2), ("b", "", None, 0)]
    await site.pass_time(2)
    await site.open_due()
    await site.visit("milestones", ledger=LedgerReport())
    assert len(await site.ask(asked)) == 2
    await site.pass_time(5)
    await site.open_due()
    await site.visit(
        "milestones", ledger=LedgerReport(windows=[LedgerWindow(since="c", until="d")])
    )
    assert await site.ask(asked) == [("c", "d", None, 0)]


async def test_refill_opens_what_can_be_filled(site: Site) -> None:
    names = ("milestones", "issues", "labels", "events", "releases")
    await site.discovered(*names)
    await site.visit("milestones", ledger=LedgerReport(expected=3))
    await site.visit("issues", ledger=LedgerReport(reason="changed"))
    await site.visit("labels", ledger=LedgerReport(reason="feature_off"))
    await site.visit("events", ledger=LedgerReport(expected=0))
    failed = await site.claim("releases")
    await site.report(failed, status="failed", reason="unavailable", error="500")
    wanted = gaps.Wanted("lab", "")
    found = await site.db.read(lambda c: gaps.rows(c, wanted, gaps_only=True))
    told = {row.resource: (row.reason, row.is_unexplained) for row in found}
    assert {name: told.get(name) for name in names} == {
        "milestones": (None, True),
        "issues": ("changed", False),
        "labels": ("feature_off", False),
        "events": None,
        "releases": ("failed", False),
    }
    assert await site.db.write(lambda c: gaps.refill(c, gaps.Wanted("other", ""))) == 0
    assert await site.db.write(lambda c: gaps.refill(c, gaps.Wanted("lab", "releases"))) == 1
    planned = len(told) - len(names) + 1  # nobody ever proposed the others
    assert await site.db.write(lambda c: gaps.refill(c, wanted)) == 2 + planned
    assert await site.db.write(lambda c: gaps.refill(c, wanted)) == 0
    states = await site.jobs()
    assert {name: states[name] for name in names} == {
        "milestones": ("queued", "sweep"),
        "issues": ("queued", "sweep"),
        "labels": ("completed", "full"),
        "events": ("completed", "full"),
        "releases": ("queued", "sweep"),
    }
