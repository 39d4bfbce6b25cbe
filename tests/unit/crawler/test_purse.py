"""The purse of a crawler with a website and a clock of our own making."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.clock import Clock
from labtrawl.crawler.pocket import FIRST_REQUESTS, Pocket
from labtrawl.crawler.purse import (
    PAUSE_SECONDS,
    SHORT_PAUSE_SECONDS,
    WAITS,
    Purse,
    Spender,
    Stopped,
)
from labtrawl.errors import RateLimited, StoreError
from labtrawl.gitlab.limits import REST, Limits
from labtrawl.protocol.messages import BudgetSeen, BudgetWanted, Envelope, Record, RequestBudget

# The website's clock is a day ahead of the crawler's, and says so with each answer.
AHEAD_MS = 86_400_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
Answer = dict[str, Any] | Exception


@dataclass(slots=True)
class Scene:
    """A website that answers by a script (its last line again and again), and time by hand."""

    answers: list[Callable[[int], Answer]]
    seconds: float = 1000.0
    asked: list[RequestBudget] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    is_stopping: bool = False
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def website_ms(self) -> int:
        return AHEAD_MS + int(self.seconds * 1000)

    def clock(self) -> Clock:
        return Clock(
            lambda: BEGIN + timedelta(seconds=self.seconds), lambda: self.seconds, asyncio.sleep
        )

    async def ask(self, type_: str, key: str, payload: Record, _seconds: float) -> Envelope:
        assert (type_, key) == ("jobRequest", "request_budget")
        self.asked.append(cast("RequestBudget", payload))
        self.heard.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        grant = answer(self.website_ms)
        if isinstance(grant, Exception):
            raise grant
        wanted = [one.class_ for one in self.asked[-1].want]
        grants = [{"accountId": "7", "class": each, **grant} for each in wanted]
        told = {"grants": grants, "serverTime": self.website_ms}
        return Envelope(
            origin="w",
            type="jobResponse",
            key="budget_granted",
            payload=msgspec.Raw(msgspec.json.encode(told)),
        )

    def spender(self) -> Spender:
        return Spender("7", lambda: self.is_stopping, self.told.append)


def _granting(requests: int, seconds: float = 5) -> Callable[[int], Answer]:
    def answer(now: int) -> Answer:
        return {"requests": requests, "notBefore": now, "expiresAt": now + int(seconds * 1000)}

    return answer


def _waiting(seconds: float, ends_seconds: float = 5) -> Callable[[int], Answer]:
    def answer(now: int) -> Answer:
        ends = now + int(ends_seconds * 1000)
        return {"requests": 0, "notBefore": now + int(seconds * 1000), "expiresAt": ends}

    return answer


@contextlib.asynccontextmanager
async def _purse(*answers: Callable[[int], Answer]) -> AsyncIterator[tuple[Purse, Scene]]:
    scene = Scene(list(answers))
    async with Purse(scene.ask, scene.clock()).running() as purse, asyncio.timeout(20):
        yield purse, scene


async def test_one_question_pays_for_many_requests() -> None:
    async with _purse(_granting(16)) as (purse, scene):
        for _ in range(8):
            await purse.take(scene.spender())
    assert scene.asked == [
        RequestBudget(want=[BudgetWanted(account_id="7", requests=FIRST_REQUESTS + 1, spent=0)])
    ]


async def test_lapsed_grant_is_not_spent() -> None:
    async with _purse(_granting(100)) as (purse, scene):
        await purse.take(scene.spender())
        scene.seconds += 5
        await purse.take(scene.spender())
    assert len(scene.asked) == 2


async def test_refusal_is_told_at_once_and_ends_what_is_in_hand() -> None:
    async with _purse(_granting(100), _waiting(30, 0), _granting(100)) as (purse, scene):
        await purse.take(scene.spender())
        purse.told(scene.spender(), REST, Limits(100, 0, 5_000))
        scene.seconds += 1
        scene.heard.clear()
        purse.refused(scene.spender(), REST, 30.0)
        await scene.heard.wait()
        waiter = asyncio.create_task(purse.take(scene.spender()))
        await asyncio.wait([waiter], timeout=0.05)
        assert (waiter.done(), len(scene.asked)) == (False, 2)
        scene.seconds += 31
        await waiter
    seen = BudgetSeen(
        account_id="7",
        limit=100,
        remaining=0,
        reset_at=5_000,
        retry_after_seconds=30.0,
        refused=True,
    )
    assert scene.asked[1].seen == [seen]
    assert scene.asked[2].seen[0].retry_after_seconds is None


async def test_refusal_that_another_crawler_saw_ends_what_is_in_hand() -> None:
    async with _purse(_granting(2), _waiting(30, 0), _granting(9)) as (purse, scene):
        await purse.take(scene.spender())
        scene.seconds += 1
        await purse.take(scene.spender())
        waiter = asyncio.create_task(purse.take(scene.spender()))
        await asyncio.wait([waiter], timeout=0.3)
        assert (waiter.done(), len(scene.asked)) == (False, 2)
        scene.seconds += 31
        await waiter
    assert len(scene.asked) == 3


async def test_long_wait_gives_the_job_back_with_the_time_to_come_again() -> None:
    async with _purse(_waiting(1000)) as (purse, scene):
        with pytest.raises(RateLimited) as failure:
            await purse.take(scene.spender())
    assert failure.value.retry_after == pytest.approx(1000, abs=1)


async def test_stop_while_waiting_ends_the_wait_at_once() -> None:
    async with _purse(_waiting(60)) as (purse, scene):
        waiter = asyncio.create_task(purse.take(scene.spender()))
        await scene.heard.wait()
        scene.is_stopping = True
        with pytest.raises(Stopped):
            await waiter


async def test_wait_for_a_website_that_is_away_is_told_once_and_ends_when_it_is_back() -> None:
    away = StoreError("away")
    late = TimeoutError()
    answers = (lambda _: away, lambda _: late, lambda _: late, lambda _: late, _granting(5))
    async with _purse(*answers) as (purse, scene):
        waiter = asyncio.create_task(purse.take(scene.spender()))
        while not waiter.done():
            scene.seconds += 0.3
            # The purse looks each LOOK_SECONDS of real time; once it has told, each look is waited for.
            await asyncio.sleep(0.3 if scene.told else 0.02)
    assert (scene.told, len(scene.asked)) == ([WAITS], 5)


async def test_grants_go_on_while_the_website_is_away_until_they_lapse() -> None:
    away = TimeoutError()
    async with _purse(_granting(10), lambda _: away) as (purse, scene):
        for _ in range(10):
            await purse.take(scene.spender())
        scene.is_stopping = True
        with pytest.raises(Stopped):
            await purse.take(scene.spender())


async def test_answer_in_another_shape_is_asked_for_again() -> None:
    async with _purse(lambda _: {"requests": "many"}, _granting(5)) as (purse, scene):
        waiter = asyncio.create_task(purse.take(scene.spender()))
        while not waiter.done():
            scene.seconds += 0.6
            # The purse asks again in this loop meanwhile, and tells nobody that it does.
            await asyncio.sleep(0.01)
    assert len(scene.asked) == 2


async def test_request_of_an_endpoint_with_a_limit_of_its_own_is_asked_for_in_one_message() -> None:
    async with _purse(_granting(16)) as (purse, scene):
        for _ in range(12):
            await purse.take(scene.spender(), "members_all")
            purse.told(scene.spender(), "members_all", None)
        while len(scene.asked) < 2:
            scene.seconds += 0.6
            await purse.take(scene.spender(), "members_all")
            # The question is asked in this loop meanwhile.
            await asyncio.sleep(0.01)
    assert [[(one.class_, one.spent) for one in asked.want] for asked in scene.asked] == [
        [("rest", 0), ("members_all", 0)],
        [("rest", 13), ("members_all", 13)],
    ]


async def test_refusal_of_one_endpoint_holds_up_no_other() -> None:
    async with _purse(_granting(16), _waiting(30, 0)) as (purse, scene):
        await purse.take(scene.spender(), "members_all")
        purse.refused(scene.spender(), "members_all", 30.0)
        await purse.take(scene.spender())
        waiter = asyncio.create_task(purse.take(scene.spender(), "members_all"))
        await asyncio.wait([waiter], timeout=0.05)
        assert not waiter.done()
        waiter.cancel()


async def test_refusal_without_a_time_waits_for_the_website_to_say_how_long() -> None:
    async with _purse(_granting(100), _waiting(30, 0), _granting(100)) as (purse, scene):
        await purse.take(scene.spender())
        scene.seconds += 1
        purse.refused(scene.spender(), REST, None)
        waiter = asyncio.create_task(purse.take(scene.spender()))
        await asyncio.wait([waiter], timeout=0.3)
        assert (waiter.done(), len(scene.asked)) == (False, 2)
        scene.seconds += 31
        await waiter
    assert scene.asked[1].seen == [BudgetSeen(account_id="7", refused=True)]
    assert scene.asked[2].seen == []


async def test_only_pages_for_people_in_a_row_are_a_refusal_of_the_account() -> None:
    async with _purse(_granting(100), _waiting(300, 0)) as (purse, scene):
        await purse.take(scene.spender())
        for is_good in (False, False, True, False, False):
            if is_good:
                purse.told(scene.spender(), REST, None)
            else:
                purse.blocked(scene.spender())
        await purse.take(scene.spender())
        purse.blocked(scene.spender())
        scene.seconds += 1
        with pytest.raises(RateLimited):
            await purse.take(scene.spender())
    assert [one.seen for one in scene.asked] == [[], [BudgetSeen(account_id="7", refused=True)]]


async def test_wait_says_why_in_the_websites_words() -> None:
    def quiet(now: int) -> Answer:
        return {"notBefore": now + 60_000, "expiresAt": now, "reason": "quiet hours until 18:00"}

    async with _purse(quiet) as (purse, scene):
        waiter = asyncio.create_task(purse.take(scene.spender()))
        while not scene.told:
            scene.seconds += 0.3
            # As above: the purse looks in this loop.
            await asyncio.sleep(0.02)
        scene.is_stopping = True
        with pytest.raises(Stopped):
            await waiter
    assert scene.told == ["quiet hours until 18:00"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(-2, 20), st.floats(-1, 10)),
            st.tuples(st.just("wait"), st.floats(-1, 10), st.floats(-1, 10)),
            st.tuples(st.just("freeze"), st.floats(-1, 10), st.none()),
            st.tuples(st.just("spend"), st.floats(0, 3), st.none()),
        )
    )
)
def test_pocket_spends_each_granted_request_once_and_none_that_lapsed(
    steps: list[tuple[str, Any, Any]],
) -> None:
    """A model keeps every single request with its end; the pocket may never have more than it."""
    pocket, now, frozen = Pocket(), 100.0, 0.0
    model: list[float] = []
    for what, one, other in steps:
        if what == "put":
            pocket.put(one, now + other, now)
            model += [now + other] * max(one, 0)
        elif what == "wait":
            pocket.wait(now + one, now + other, now)
            model = [min(end, now + other) for end in model]
        elif what == "freeze":
            pocket.freeze(now + one)
            model, frozen = [], max(frozen, now + one)
        else:
            now += one
            model = sorted(end for end in model if end > now)
            may = bool(model) and now >= frozen
            assert pocket.spend(now) is may
            model = model[1:] if may else model
        assert pocket.in_hand(now) == sum(end > now for end in model)


@given(st.integers(1, 400), st.integers(3, 30))
def test_steady_work_never_runs_dry_and_asks_at_most_twice_a_second(
    pace: int, seconds: int
) -> None:
    """Simulated, without a limit: after the first second nobody waits longer than for one answer."""
    pocket, now, asked_at = Pocket(), 0.0, -1.0
    asked = spent = dry = 0
    while now < seconds:
        pause = SHORT_PAUSE_SECONDS if pocket.is_pressing(now) else PAUSE_SECONDS
        if pocket.due_at(now) <= now and now - asked_at >= pause:
            asked, asked_at = asked + 1, now
            pocket.put(pocket.want(now), now + 5, now)
        due = int(now * pace) - spent
        for _ in range(due):
            pocket.waiting = 0 if pocket.spend(now) else 1
            spent += 1 - pocket.waiting
            pocket.hear(None)
        dry += now > 1 and pocket.waiting
        now += 0.02
    assert dry <= 1
    assert asked <= 2 * seconds + 6
