"""`request_budget` over a real database: what is refused, what is kept, what a restart knows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.clock import Clock, system_clock
from labtrawl.dispatch import grants
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.quiet import QuietHours, put_off
from labtrawl.domain.credential import Secret
from labtrawl.domain.quiet import parse_window
from labtrawl.errors import BadMessage, Missing
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller
from labtrawl.store.engine import Store
from labtrawl.store.quiet import let_go
from tests.integration.store.table import RETRY, account, planned, rows, store

CRAWLER = Caller("crawler-1")
SECOND = 1_000


async def _desk(db: Store, clock: Clock) -> Desk:
    """A website that was just started."""
    credentials = Credentials(db, lambda _: Secret("t"))
    desk = Desk(db, credentials, RETRY, 60.0, clock, lambda: 0.0)
    await grants.restore(desk.budget, db)
    return desk


async def _ask(desk: Desk, **payload: Any) -> list[wire.BudgetGrant]:
    raw = msgspec.Raw(msgspec.json.encode(payload))
    asked = wire.Envelope(origin="c", type="jobRequest", key="request_budget", payload=raw)
    reply = await handle(desk, CRAWLER, asked)
    assert reply is not None
    assert (reply.type, reply.key) == ("jobResponse", "budget_granted")
    return msgspec.json.decode(reply.payload, type=wire.BudgetGranted).grants


def _stopped() -> Clock:
    now = system_clock().now()
    return Clock(lambda: now, lambda: 0.0, system_clock().sleep)


async def test_restarted_website_knows_the_limit_and_until_when_to_wait(tmp_path: Path) -> None:
    clock = _stopped()
    now = clock.now_ms()
    want = [{"accountId": "1", "class": "rest", "requests": 5}]
    async with store(tmp_path) as db:
        await db.write(lambda c: account(c, 1))
        seen = [{"accountId": "1", "limit": 130, "remaining": 0, "retryAfterSeconds": 30.5}]
        held = [wire.BudgetGrant(account_id="1", not_before=now + 30_500, expires_at=now)]
        assert await _ask(await _desk(db, clock), want=want, seen=seen) == held
        again = await _desk(db, clock)
        assert await _ask(again, want=want) == held
        assert again.budget.pot((1, "rest")).allowed() == 104


async def test_grant_ends_where_quiet_hours_begin_and_in_them_the_answer_says_why(
    tmp_path: Path,
) -> None:
    now = [datetime(2026, 1, 1, 7, 59, 58, tzinfo=UTC)]
    clock = Clock(lambda: now[0], lambda: 0.0, system_clock().sleep)
    begin = int(now[0].timestamp() * 1000) + 2 * SECOND
    async with store(tmp_path) as db:
        await db.write(lambda c: account(c, 1))
        desk = await _desk(db, clock)
        desk.quiet.windows = {"http://gitlab": [parse_window("08:00-18:00 UTC")]}
        want = [{"accountId": "1", "requests": 5}]
        (before,) = await _ask(desk, want=want)
        now[0] = datetime(2026, 1, 1, 8, tzinfo=UTC)
        (late,) = await _ask(desk, want=want)
    assert (before.requests, before.expires_at) == (5, begin)
    assert late == wire.BudgetGrant(
        account_id="1",
        not_before=begin + 36_000 * SECOND,
        expires_at=begin,
        reason="quiet hours until 2026-01-01 18:00 UTC",
    )


async def test_due_jobs_of_a_resting_gitlab_wait_until_the_end_and_the_others_do_not(
    tmp_path: Path,
) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: planned(c, 3))
        now = datetime(2026, 1, 1, 9, tzinfo=UTC)
        hours = QuietHours({"http://gitlab": [parse_window("08:00-18:00 UTC")], "http://other": []})
        await put_off(db, hours, int(now.timestamp() * 1000))
        waiting = "SELECT run_after, error_message FROM job WHERE state = 'queued'"
        end = int(datetime(2026, 1, 1, 18, tzinfo=UTC).timestamp() * 1000)
        assert (
            await db.read(lambda c: rows(c, waiting))
            == [(end, "quiet hours until 2026-01-01 18:00 UTC")] * 3
        )
        commits = db.changes.commits
        await put_off(db, hours, int(now.timestamp() * 1000))
        assert db.changes.commits == commits
        # the website was started anew, perhaps with other settings
        assert await db.write(let_go) == 3
        assert await db.read(lambda c: rows(c, waiting)) == [(None, None)] * 3


async def test_limit_is_written_once_however_often_it_is_seen(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: account(c, 1))
        desk = await _desk(db, _stopped())
        for remaining in (100, 90, 80):
            commits = db.changes.commits
            await _ask(desk, seen=[{"accountId": "1", "limit": 130, "remaining": remaining}])
        assert db.changes.commits == commits
        kept = await db.read(lambda c: rows(c, "SELECT account_id, class, not_before FROM budget"))
        assert kept == [(1, "rest", 0)]


async def test_class_that_only_a_newer_crawler_knows_shares_the_budget(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: account(c, 1))
        desk = await _desk(db, _stopped())
        await _ask(desk, seen=[{"accountId": "1", "limit": 130}])
        both = [{"accountId": "1", "class": name, "requests": 99} for name in ("later", "rest")]
        given = await _ask(desk, want=both)
        assert [(one.class_, one.requests) for one in given] == [("later", 8), ("rest", 0)]


@pytest.mark.parametrize(
    "seen",
    [
        {"limit": -1, "remaining": -1, "resetAt": -1, "retryAfterSeconds": -1},
        {"limit": 10**18, "remaining": 10**18, "resetAt": 10**18},
        {"limit": 0},
        {},
    ],
)
async def test_sight_that_cannot_be_changes_nothing_that_matters(
    tmp_path: Path, seen: dict[str, Any]
) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: account(c, 1))
        desk = await _desk(db, _stopped())
        given = await _ask(
            desk,
            want=[{"accountId": "1", "requests": 5}],
            seen=[{"accountId": "1", **seen}],
        )
        assert [one.requests for one in given] == [5]


async def test_endless_wait_is_cut_to_a_day(tmp_path: Path) -> None:
    clock = _stopped()
    async with store(tmp_path) as db:
        await db.write(lambda c: account(c, 1))
        desk = await _desk(db, clock)
        raw = b'{"want":[{"accountId":"1"}],"seen":[{"accountId":"1","retryAfterSeconds":1e300}]}'
        asked = wire.Envelope(
            origin="c", type="jobRequest", key="request_budget", payload=msgspec.Raw(raw)
        )
        reply = await handle(desk, CRAWLER, asked)
        assert reply is not None
        (grant,) = msgspec.json.decode(reply.payload, type=wire.BudgetGranted).grants
        assert grant.not_before == clock.now_ms() + 86_400 * SECOND


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"want": [{"accountId": "1", "requests": "many"}]}, BadMessage),
        ({"want": [{"requests": 1}]}, BadMessage),
        ({"want": [{"accountId": "../1"}]}, BadMessage),
        ({"seen": [{"accountId": "1", "limit": "100"}]}, BadMessage),
        ({"seen": [{"accountId": "1", "remaining": 1.5}]}, BadMessage),
        ({"seen": {"accountId": "1"}}, BadMessage),
        ({"want": [{"accountId": "1"}] * 3000}, BadMessage),
        ({"want": [{"accountId": "2"}]}, Missing),
        ({"seen": [{"accountId": "2", "limit": 9}]}, Missing),
    ],
)
async def test_request_that_cannot_be_meant_is_refused_and_learns_nothing(
    tmp_path: Path, payload: dict[str, Any], error: type[Exception]
) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: account(c, 1))
        desk = await _desk(db, _stopped())
        with pytest.raises(error):
            await _ask(desk, **payload)
        assert desk.budget.changes() == {}
        assert not desk.budget.knows(2)
