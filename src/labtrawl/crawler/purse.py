"""A crawler's share of the rate budgets: asked for ahead of need, spent one request at a time.

The website decides (protocol, `request_budget`). Here no request goes out without a grant, and no
grant is used after it lapsed: instants of the website are taken as distances from its answer's own
`server_time`, so that the two clocks need not agree.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.crawler.pocket import Pocket
from labtrawl.errors import LabtrawlError, ProtocolError, RateLimited, StoreError
from labtrawl.gitlab.limits import REST, Limits
from labtrawl.protocol.messages import (
    BudgetGranted,
    BudgetSeen,
    BudgetWanted,
    Envelope,
    Record,
    RequestBudget,
)

log = logs.get("crawler.budget")

ASK_SECONDS = 10.0
# Between two requests for budget; the shorter only while somebody has nothing left to send.
PAUSE_SECONDS = 0.5
SHORT_PAUSE_SECONDS = 0.05
# An answer older than this is taken for so old: it waited for a website that was away.
LONGEST_FLIGHT_SECONDS = 1.0
# Who waits looks up so often whether the crawler stops, and tells after so long that it waits.
LOOK_SECONDS = 0.25
TELL_SECONDS = 1.0
LOG_SECONDS = 60.0
# A longer wait is the job's: it goes back, and is due again when there is budget.
LONGEST_WAIT_SECONDS = 120.0
LONGEST_FREEZE_SECONDS = 86_400.0
# One page that is no answer says something of its path; so many in a row, of the whole account.
BLOCKED_IN_A_ROW = 3
WAITS = "waits for budget"

Ask = Callable[[str, str, Record, float], Awaitable[Envelope]]
"""Type, key, payload and seconds: `DirectCommunicationClient.request`."""

_GRANTED = msgspec.json.Decoder(BudgetGranted)


class Stopped(LabtrawlError):
    """The crawler stops, and the job waits for budget: it gives itself back as it is."""

    reason = "drain"


@dataclass(frozen=True, slots=True)
class Spender:
    """On whose behalf requests go out; `waits` is told once, and why, when it takes long."""

    account_id: str
    stopping: Callable[[], bool]
    waits: Callable[[str], None]


class Purse:
    """All budgets of one crawler; one request for budget is under way at a time."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask_website = ask
        self._clock = clock
        self._pockets: dict[tuple[str, str], Pocket] = {}
        self._blocked: dict[str, int] = {}
        self._woken = asyncio.Event()
        self._changed = asyncio.Event()
        self._asked_at = -math.inf
        self._looks_at = math.inf
        self._is_away = False
        self._logged_at = -math.inf

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Purse"]:
        """Ask the website while the block runs."""
        task = asyncio.create_task(self._keep_filled(), name="purse")
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def take(self, spender: Spender, class_: str = REST) -> None:
        """Wait for the right to send one request of a class, which counts in the general one too.

        Raises RateLimited where that takes too long to hold a job for, Stopped where the crawler
        stops meanwhile.
        """
        pockets = self._counting(spender.account_id, class_)
        now = self._clock.monotonic()
        if not _spend(pockets, now):
            await self._wait(pockets, spender)
        elif max(now, self._asked_at + PAUSE_SECONDS) < self._looks_at and any(
            pocket.is_low(now) for pocket in pockets
        ):
            self._woken.set()

    def told(self, spender: Spender, class_: str, limits: Limits | None) -> None:
        """Hear what the headers of an answer say; it goes along with the next request."""
        self._blocked.pop(spender.account_id, None)
        for pocket in self._counting(spender.account_id, class_)[1:]:
            pocket.hear(None)
        self._pocket(spender.account_id, REST).hear(limits)

    def refused(self, spender: Spender, class_: str, seconds: float | None) -> None:
        """Hear that GitLab asks to wait: the website is told at once, for all crawlers.

        Without `seconds` nothing more is sent until the website said how long.
        """
        pocket = self._pocket(spender.account_id, class_)
        if seconds is None:
            pocket.stop()
        else:
            until = self._clock.monotonic() + min(seconds, LONGEST_FREEZE_SECONDS)
            if until - pocket.frozen_until > PAUSE_SECONDS:
                pocket.is_refusal_untold = pocket.is_wait_known = True
            pocket.freeze(until)
        self._woken.set()

    def blocked(self, spender: Spender) -> None:
        """Hear that something else than GitLab's API answered; often in a row it is a refusal."""
        times = self._blocked.get(spender.account_id, 0) + 1
        self._blocked[spender.account_id] = times % BLOCKED_IN_A_ROW
        if times == BLOCKED_IN_A_ROW:
            self.refused(spender, REST, None)

    def _pocket(self, account_id: str, class_: str) -> Pocket:
        return self._pockets.setdefault((account_id, class_), Pocket())

    def _counting(self, account_id: str, class_: str) -> list[Pocket]:
        """Where a request of a class counts; the general one first."""
        classes = [REST] if class_ == REST else [REST, class_]
        return [self._pocket(account_id, each) for each in classes]

    async def _wait(self, pockets: list[Pocket], spender: Spender) -> None:
        began_at = self._clock.monotonic()
        is_told = False
        for pocket in pockets:
            pocket.waiting += 1
        try:
            while not _spend(pockets, self._clock.monotonic()):
                self._check(pockets, spender)
                if not is_told and self._clock.monotonic() - began_at >= TELL_SECONDS:
                    is_told = True
                    self._tell(pockets, spender)
                self._woken.set()
                await _until(self._changed, LOOK_SECONDS)
        finally:
            for pocket in pockets:
                pocket.waiting -= 1

    def _check(self, pockets: list[Pocket], spender: Spender) -> None:
        now = self._clock.monotonic()
        pocket = max(pockets, key=lambda one: one.ready_at(now))
        seconds = pocket.ready_at(now) - now
        if spender.stopping():
            raise Stopped("the crawler stops while the job waits for budget")
        if seconds > LONGEST_WAIT_SECONDS:
            if pocket.why:
                raise RateLimited(pocket.why)  # the website puts the job off, until it knows when
            raise RateLimited(f"the budget of the account is spent for {seconds:.0f} s", seconds)

    def _tell(self, pockets: list[Pocket], spender: Spender) -> None:
        now = self._clock.monotonic()
        spender.waits(max(pockets, key=lambda one: one.ready_at(now)).why or WAITS)
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            log.info("waits_for_budget", account=spender.account_id)

    async def _keep_filled(self) -> None:
        while True:
            self._woken.clear()
            seconds = self._seconds_to_next(self._clock.monotonic())
            self._looks_at = self._clock.monotonic() + seconds
            if seconds > 0:
                await _until(self._woken, None if math.isinf(seconds) else seconds)
            else:
                await self._ask()

    def _seconds_to_next(self, now: float) -> float:
        """Return how long nothing is to be asked; infinite until somebody wakes us."""
        due_at = min((pocket.due_at(now) for pocket in self._pockets.values()), default=math.inf)
        is_pressing = any(pocket.is_pressing(now) for pocket in self._pockets.values())
        pause = SHORT_PAUSE_SECONDS if is_pressing and not self._is_away else PAUSE_SECONDS
        return max(due_at, self._asked_at + pause) - now

    async def _ask(self) -> None:
        """Ask for what is wanted and tell what was seen; without an answer, both again later."""
        now = self._asked_at = self._clock.monotonic()
        due = {key: one for key, one in self._pockets.items() if _is_due(one, now)}
        message = RequestBudget(want=_wanted(due, now), seen=_seen(due, now))
        refused = [one for one in due.values() if one.is_refusal_untold]
        for pocket in refused:
            pocket.is_refusal_untold = False
        try:
            answer = await self._ask_website("jobRequest", "request_budget", message, ASK_SECONDS)
            granted = _GRANTED.decode(answer.payload)
        except (TimeoutError, StoreError, ProtocolError, msgspec.MsgspecError) as error:
            for pocket in refused:
                pocket.is_refusal_untold = True
            self._say_away(error)
            return
        self._is_away = False
        self._put(granted)
        self._changed.set()
        self._changed = asyncio.Event()

    def _say_away(self, error: Exception) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("no_budget", error=str(error) or type(error).__name__, then="asks again")

    def _put(self, granted: BudgetGranted) -> None:
        now = self._clock.monotonic()
        base = max(self._asked_at, now - LONGEST_FLIGHT_SECONDS)
        theirs = granted.server_time or self._clock.now_ms()

        def here(instant: int) -> float:
            """An instant of the website by our own monotonic clock."""
            return base + min((instant - theirs) / 1000, LONGEST_FREEZE_SECONDS)

        for grant in granted.grants:
            pocket = self._pocket(grant.account_id, grant.class_)
            if grant.requests > 0:
                pocket.put(grant.requests, here(grant.expires_at), now)
            elif grant.not_before:
                pocket.wait(here(grant.not_before), here(grant.expires_at), now, grant.reason)


def _spend(pockets: list[Pocket], now: float) -> bool:
    """Take one request from all of them, or from none."""
    if not all(pocket.may_spend(now) for pocket in pockets):
        return False
    for pocket in pockets:
        pocket.spend(now)
    return True


def _is_due(pocket: Pocket, now: float) -> bool:
    """Say whether to ask for a pocket now that somebody asks: what was used is filled up as well.

    So all the classes of a request are filled by one message, not each by its own.
    """
    return pocket.due_at(now) <= now or (pocket.is_used() and pocket.ready_at(now) <= now)


def _wanted(due: dict[tuple[str, str], Pocket], now: float) -> list[BudgetWanted]:
    return [
        BudgetWanted(
            account_id=account_id, class_=class_, requests=pocket.want(now), spent=pocket.total
        )
        for (account_id, class_), pocket in due.items()
    ]


def _seen(due: dict[tuple[str, str], Pocket], now: float) -> list[BudgetSeen]:
    """What is known of each, told anew each time: the website may have been started since."""
    seen = []
    for (account_id, class_), pocket in due.items():
        is_refused = pocket.is_refusal_untold
        wait = max(pocket.frozen_until - now, 0.0) if is_refused and pocket.is_wait_known else None
        limits = pocket.limits or Limits(None, None, None)
        if not is_refused and pocket.limits is None:
            continue
        seen.append(
            BudgetSeen(
                account_id=account_id,
                class_=class_,
                limit=limits.limit,
                remaining=limits.remaining,
                reset_at=limits.reset_at,
                retry_after_seconds=wait,
                refused=is_refused,
            )
        )
    return seen


async def _until(event: asyncio.Event, seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
