"""Raises notices when something needs the operators, and delivers them: durable, and quiet.

What is raised lies in the database with its deliveries before anything is sent, so a restart loses
none and repeats at most what was under way. The cli runs one beside the site.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from labtrawl import logs
from labtrawl.errors import LabtrawlError
from labtrawl.store import care, notices
from labtrawl.store.engine import Connection
from labtrawl.store.notices import Delivery, Notice
from labtrawl.website.care import noticing
from labtrawl.website.care.channels import Channel
from labtrawl.website.care.checks import judge
from labtrawl.website.care.looking import look
from labtrawl.website.care.noticing import CURVE, DAY_MS, Steady
from labtrawl.website.care.verdicts import Check
from labtrawl.website.given.facts import Facts
from labtrawl.website.given.site import Site

log = logs.get("website.notices")

TICK_SECONDS = 10.0
LOOK_SECONDS = 60.0
# Counts that walk over much are taken less often.
COUNT_SECONDS = 600.0
KEPT_DAYS = 180
GONE = "this channel is not set any more"


@dataclass(slots=True)
class Notifier:
    """Looks, raises and delivers; `left` says in words how long the crawl will still take."""

    site: Site
    channels: Sequence[Channel]
    kinds: frozenset[str]
    digest_day: str
    _steady: Steady = field(default_factory=Steady)
    _gaps: int | None = None
    _left: str = ""

    def tell_left(self, words: str) -> None:
        """Hear how long the crawl will still take, for the digest."""
        self._left = words

    @property
    def _is_discreet(self) -> bool:
        return self.site.mode == "study"

    async def run(self) -> None:
        """Go on for ever; what fails is tried again at the next turn."""
        monotonic = self.site.clock.monotonic
        looked_at = counted_at = float("-inf")
        while True:
            try:
                if monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = monotonic()
                    await self.look()
                if monotonic() - counted_at >= COUNT_SECONDS:
                    counted_at = monotonic()
                    await self.count()
                await self.deliver()
            except Exception as error:  # whatever it is, the site goes on
                log.error("notices_not_cared_for", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self.site.care.notice_wanted.wait()
            self.site.care.notice_wanted.clear()

    async def look(self) -> None:
        """Judge how everything is, and raise what is not as it should be."""
        facts = await look(self.site)
        checks = judge(facts)
        lasting = self._steady.lasting(checks, self.site.clock.monotonic())
        discreet = self._is_discreet
        found = [noticing.of_check(each, facts.now, discreet=discreet) for each in lasting]
        found += noticing.of_expiries(facts, discreet=discreet)
        found += noticing.of_changes(facts, discreet=discreet)
        digest = await self._digest(facts, checks)
        await self._raise([*found, *digest])

    async def _digest(self, facts: Facts, checks: Sequence[Check]) -> list[Notice]:
        period = noticing.digest_period(facts.now, self.digest_day)
        read = self.site.store.read
        if period is None or "digest" not in self.kinds:
            return []
        if await read(lambda c: notices.is_told(c, "digest", period)):
            return []
        # Who began today has seen all of it.
        if not await read(lambda c: care.is_older(c, facts.now - DAY_MS)):
            return []
        week = await read(lambda c: care.week(c, facts.now - 7 * DAY_MS))
        discreet = self._is_discreet
        return [noticing.of_week(week, period, self._left, checks, discreet=discreet)]

    async def count(self) -> None:
        """Count failed jobs and gaps, and raise what is new; forget what is very old."""
        now = self.site.clock.now_ms()
        failed, gaps = await self.site.store.read(lambda c: _counts(c, now))
        total = sum(gaps.values())
        # What was there at the start is no news: the digest has it.
        is_more = self._gaps is not None and total > self._gaps
        self._gaps = total
        found = [
            noticing.of_failures(failed, now, discreet=self._is_discreet),
            noticing.of_gaps(gaps, now) if is_more else None,
        ]
        await self._raise([each for each in found if each is not None])
        await self.site.store.write(lambda c: notices.forget(c, KEPT_DAYS))

    async def _raise(self, found: Sequence[Notice]) -> None:
        wanted = [each for each in found if each.kind in self.kinds]
        names = [each.name for each in self.channels]

        def new(connection: Connection) -> list[Notice]:
            return [each for each in wanted if not _is_told(connection, each)]

        fresh = await self.site.store.read(new) if wanted else []
        if not fresh:
            return

        def write(connection: Connection) -> None:
            for each in fresh:
                notices.raise_notice(connection, each, names)

        await self.site.store.write(write)
        for each in fresh:
            log.warning("notice_raised", cause=each.cause, subject=each.subject)

    async def deliver(self) -> None:
        """Send what is due; a channel that fails is left alone until the next turn."""
        by_name = {each.name: each for each in self.channels}
        failing: set[str] = set()
        for each in await self.site.store.read(notices.due):
            channel = by_name.get(each.channel)
            if channel is None:
                await self._give_up(each)
            elif channel.name not in failing and not await self._send(channel, each):
                failing.add(channel.name)

    async def _give_up(self, delivery: Delivery) -> None:
        await self.site.store.write(lambda c: notices.not_sent(c, delivery, GONE, None))

    async def _send(self, channel: Channel, delivery: Delivery) -> bool:
        try:
            result = await channel.send(delivery)
        except (LabtrawlError, OSError, ValueError) as error:
            again = _again_ms(delivery.attempts + 1)
            told = logs.mask(str(error))
            await self.site.store.write(lambda c: notices.not_sent(c, delivery, told, again))
            log.warning("notice_not_sent", channel=channel.name, error=told, gives_up=again is None)
            return False
        await self.site.store.write(lambda c: notices.sent(c, delivery, result))
        log.info("notice_sent", channel=channel.name, notice=delivery.notice_id)
        return True


def _is_told(connection: Connection, notice: Notice) -> bool:
    # Each request is told when it comes: the check reminds of it from the next day on.
    if notice.kind == noticing.STOP_REQUESTS:
        return notices.is_kind_told(connection, notice.kind, notice.period)
    return notices.is_told(connection, notice.cause, notice.period)


def _counts(connection: Connection, now: int) -> tuple[list[care.FailedJobs], dict[str, int]]:
    last = notices.last_raised(connection, "failures") or 0
    since = max(last, now - DAY_MS)
    return care.failed_since(connection, since), care.gaps_since(connection, 0)


def _again_ms(attempt: int) -> int | None:
    """Return how long to wait after this many failed tries; None where there is no other try."""
    return int(CURVE.delay(attempt, 1.0) * 1000) if CURVE.may_retry(attempt) else None
