"""The budget of one account in one class of endpoints: learned limits, grants, fair shares.

Pure: no I/O, no clock; instants are milliseconds by the website's clock and come in as arguments.
Only `budget` enters.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from labtrawl.dispatch.curve import LONGEST_WAIT_MS, Curve
from labtrawl.dispatch.pot_records import Grant, Learned, Rules, Sight, Used
from labtrawl.dispatch.shares import level_of

# GitLab tells its limits as requests in 60 s (lib/gitlab/rack_attack/request_throttle_data.rb).
WINDOW_MS = 60_000
# Fair shares look back so far: who comes later is not starved, and does not starve the others.
SHARED_MS = 10_000
# Who got less than it wanted and asks no more for so long does not want it any more.
PATIENCE_MS = 1_500
MOST_REQUESTS = 10_000
MOST_PER_MINUTE = 1_000_000
# GitLab's count changes with every answer, so one looks again soon; what is spent for so long that
# a job should not be held for it is told as it is.
AGAIN_MS = 1_000
LONG_MS = 120_000
# A wait that is longer by less than this is not worth a write.
MEANINGFUL_MS = 1_000
# Ends of one and the same period differ by so much: GitLab's clock is read from whole seconds.
SAME_PERIOD_MS = 2_000
# A word of a crawler is no older than this when it comes: it gives up waiting for its answer then.
STALE_MS = 15_000
# An endpoint's own limit is known only by being refused: so much of what went through is tried
# next, and a little more after a quiet time.
AFTER_REFUSAL = 0.9
# Fewer tell nothing: the website may have been started, or others spend from it as well.
LEAST_LEARNED = 10
GROWS_AFTER_MS = 30 * 60_000
GROWTH_PART = 10


class _Entry(NamedTuple):
    granted_at: int
    expires_at: int
    requests: int


class _Period(NamedTuple):
    """GitLab's own count until `reset_at`, and what of it may still be granted."""

    reset_at: int
    remaining: int
    left: int


@dataclass(slots=True)
class Pot:
    """The budget of one account in one class of endpoints.

    A granted request counts until 60 s after it was told as sent, at the latest 60 s after its grant
    expired: so no 60 s hold more requests than GitLab's limit, wherever they begin. Within that the
    pace is the limit less the reserve.
    """

    rules: Rules
    limit: int | None = None
    not_before: int = 0
    is_endpoint: bool = False
    _open: dict[str, deque[_Entry]] = field(default_factory=dict)
    # Requests of whom nothing was heard for so long that they count as sent, by holder.
    _assumed: dict[str, int] = field(default_factory=dict)
    _sent: deque[tuple[int, int]] = field(default_factory=deque)
    _had: deque[tuple[int, str, int]] = field(default_factory=deque)
    _told: dict[str, int] = field(default_factory=dict)
    _counted: int = 0
    _tokens: float = math.inf
    _at: int = 0
    _period: _Period | None = None
    _last_reset_at: int = 0
    _most_remaining: int | None = None
    # Who got less than it wanted: until when it counts as waiting, and how much it lacks.
    _hungry: dict[str, tuple[int, int]] = field(default_factory=dict)
    _charges: dict[str, tuple[int, int]] = field(default_factory=dict)
    _curve: Curve = field(default_factory=Curve)
    _learned_at: int = 0

    def __post_init__(self) -> None:
        self._curve = Curve(self.rules.first_wait_ms)

    def go_on(self, known: Learned) -> None:
        """Take over what an earlier process learned, before anything is asked for.

        What may go out at once has gone out, for all that one knows: it grows back from now on.
        """
        self.limit, self.not_before = known.limit_per_minute, known.not_before
        self._tokens = 0.0

    def allowed(self) -> int | None:
        """Return how many requests a minute all crawlers may send; None where no limit is known."""
        return self._least(self._reserve())

    def _most(self) -> int | None:
        """How many requests no 60 s may hold: the reserve is for people, and no reason to refuse."""
        return self._least(0)

    def _least(self, reserve: int) -> int | None:
        known = [self.rules.requests_per_minute] if self.rules.requests_per_minute else []
        if self.limit is not None:
            known.append(max(1, self.limit - reserve))
        charged = sum(requests for requests, _ in self._charges.values())
        return max(0, min(known) - charged) if known else None

    def see(self, sight: Sight, now: int) -> None:
        """Learn from an answer of GitLab; numbers that cannot be are ignored or cut to size."""
        self._advance(now)
        if sight.limit is not None and sight.limit > 0:
            self.limit = min(sight.limit, MOST_PER_MINUTE)
        if sight.remaining is not None and sight.reset_at is not None:
            self._count_down(max(sight.remaining, 0), sight.reset_at, now)
        if sight.is_refused or sight.retry_after_ms is not None:
            self._refuse(sight, now)

    def spent(self, holder: str, total: int, now: int) -> None:
        """Hear how many granted requests a crawler has sent in all since it began to count."""
        self._advance(now)
        before = self._told.get(holder)
        if before is None and self._open.get(holder):
            return  # nobody knows which of these are in the total
        self._told[holder] = total
        if before is None:
            self._assumed.pop(holder, None)
            return
        if total < before:
            # Another process by this name: what its forerunner had not sent it never will.
            self._open.setdefault("", deque()).extend(self._open.pop(holder, ()))
            self._assumed.pop(holder, None)
            return
        # What is heard of so late was counted long ago, and is none of what is open now.
        late = min(total - before, self._assumed.pop(holder, 0))
        left = total - before - late
        entries = self._open.get(holder, deque())
        sent = 0
        while left > sent and entries:
            entry = entries.popleft()
            taken = min(entry.requests, left - sent)
            sent += taken
            if taken < entry.requests:
                entries.appendleft(entry._replace(requests=entry.requests - taken))
        if sent:
            self._sent.append((now, sent))
        self._give_again(entries, now)

    def _give_again(self, entries: deque[_Entry], now: int) -> None:
        """What lapsed, and was surely never sent, is free again."""
        while entries and entries[0].expires_at + STALE_MS <= now:
            unsent = entries.popleft().requests
            self._counted -= unsent
            self._tokens = min(self._tokens + unsent, self._most_tokens(self.allowed()))

    def grant(self, holder: str, wanted: int, now: int) -> Grant:
        """Give a crawler as much of what it wants as is free and fair."""
        self._advance(now)
        wanted = min(max(wanted, 0), MOST_REQUESTS)
        expires_at = now + self.rules.grant_ms
        if now < self.not_before:
            self._remember(holder, wanted, self.not_before)
            return Grant(0, self.not_before, now)
        requests = self._share(holder, wanted, now)
        if requests:
            entry = _Entry(now, expires_at, requests)
            self._open.setdefault(holder, deque()).append(entry)
            self._had.append((now, holder, requests))
            self._counted += requests
            self._spend(requests)
        ready_at = now if requests or not wanted else self._ready_at(now)
        self._remember(holder, wanted - requests, ready_at)
        return Grant(requests, ready_at, expires_at)

    def charge(self, task_id: str, requests_per_minute: int, now: int) -> None:
        """Count a task's whole rate for the next minute; told again, it lasts on."""
        self._advance(now)
        rate = min(max(requests_per_minute, 0), MOST_PER_MINUTE)
        self._charges[task_id] = (rate, now + WINDOW_MS)

    def prolong_charge(self, task_id: str, now: int) -> None:
        """Let a task's charge last a minute from now, where it has one."""
        if task_id in self._charges:
            self.charge(task_id, self._charges[task_id][0], now)

    def fair_rate(self, now: int) -> int:
        """Return a rate for one more who wants requests; 0 where no limit is known."""
        self._advance(now)
        allowed = self.allowed()
        return 0 if allowed is None else max(1, allowed // (1 + len(self._shares())))

    def learned(self) -> Learned:
        """Return what is worth keeping: a wait that is almost over is not."""
        is_long = self.not_before - self._at > MEANINGFUL_MS
        return Learned(self.limit, self.not_before if is_long else 0)

    def used(self, now: int) -> Used:
        """Return how it stands, for people."""
        self._advance(now)
        sent = sum(requests for _, requests in self._sent)
        count = self._period
        return Used(
            self.limit,
            self.allowed(),
            sent,
            self._counted - sent,
            None if count is None else count.remaining,
            None if count is None else count.reset_at,
            self.not_before if self.not_before > now else 0,
        )

    def _refuse(self, sight: Sight, now: int) -> None:
        """Wait as long as GitLab says, else by the curve; refusals of one moment count once."""
        is_known = now < self.not_before
        if self.is_endpoint and not is_known:
            # What went through in a minute is the nearest that anybody says of such a limit.
            sent = sum(requests for _, requests in self._sent)
            passed = min(sent, self.limit or sent)
            if passed >= LEAST_LEARNED:
                self.limit, self._learned_at = int(passed * AFTER_REFUSAL), now
        if sight.retry_after_ms is not None:
            wait = min(max(sight.retry_after_ms, 0), LONGEST_WAIT_MS)
            self.not_before = max(self.not_before, now + wait)
        elif not is_known:
            self.not_before = now + self._curve.next_wait(now - self.not_before, sight.random)

    def _reserve(self) -> int:
        """Requests of a known limit that are left to the human."""
        return 0 if self.limit is None else math.ceil(self.limit * self.rules.reserved_share)

    def _advance(self, now: int) -> None:
        """Let time pass: forget what no longer counts, let free requests grow back."""
        back = self._at - now
        if back > 0:
            self._shift(back)
        for holder, entries in self._open.items():
            while entries and entries[0].expires_at + WINDOW_MS <= now:
                gone = entries.popleft().requests
                self._counted -= gone
                self._assumed[holder] = self._assumed.get(holder, 0) + gone
        while self._sent and self._sent[0][0] + WINDOW_MS <= now:
            self._counted -= self._sent.popleft()[1]
        while self._had and self._had[0][0] <= now - SHARED_MS:
            self._had.popleft()
        self._charges = {key: one for key, one in self._charges.items() if one[1] > now}
        if self._period is not None and self._period.reset_at <= now:
            self._period = None
        self._grow(now)
        allowed = self.allowed()
        passed = now - min(self._at or now, now)
        grown = 0.0 if allowed is None else passed * allowed / WINDOW_MS
        self._tokens = min(self._tokens + grown, self._most_tokens(allowed))
        self._at = now

    def _grow(self, now: int) -> None:
        """A limit that was only guessed is tried a little higher after a quiet time."""
        if self.is_endpoint and self.limit is not None:
            self._learned_at = self._learned_at or now
            if now - self._learned_at >= GROWS_AFTER_MS:
                self.limit, self._learned_at = self.limit + max(1, self.limit // GROWTH_PART), now

    def _shift(self, back: int) -> None:
        """The clock was set back: what was granted stays as old as it is."""
        self._open = {
            holder: deque(
                _Entry(one.granted_at - back, one.expires_at - back, one.requests) for one in each
            )
            for holder, each in self._open.items()
        }
        self._sent = deque((at - back, requests) for at, requests in self._sent)
        self._had = deque((at - back, holder, requests) for at, holder, requests in self._had)
        self.not_before -= back
        self._learned_at = max(0, self._learned_at - back)
        self._hungry = {name: (until - back, lack) for name, (until, lack) in self._hungry.items()}
        self._charges = {key: (rate, until - back) for key, (rate, until) in self._charges.items()}
        self._period = self._period and self._period._replace(reset_at=self._period.reset_at - back)

    def _most_tokens(self, allowed: int | None) -> float:
        """How much may go out at once: what grows back in the life of a grant."""
        if allowed is None:
            return math.inf
        return max(1.0, allowed * self.rules.grant_ms / WINDOW_MS) if allowed else 0.0

    def _count_down(self, remaining: int, reset_at: int, now: int) -> None:
        """Take over GitLab's own count: people and other programs spend from it as well.

        Of two counts of one period the lower is the newer. What is under way may be missing in it;
        told again later, less of it can be.
        """
        reset_at = min(reset_at, now + LONGEST_WAIT_MS)
        known = self._period
        if reset_at <= now or (known and reset_at < known.reset_at - SAME_PERIOD_MS):
            return
        if known and reset_at <= known.reset_at + SAME_PERIOD_MS:
            if remaining > known.remaining:
                return
            reset_at = max(reset_at, known.reset_at)
        if 0 < self._last_reset_at < reset_at - SAME_PERIOD_MS:
            self._most_remaining = max(self._most_remaining or 0, remaining)
        self._last_reset_at = reset_at
        # Twice what is under way: its count may be as old as that again.
        left = remaining - max(self._period_reserve(), 2 * self._under_way(now))
        self._period = _Period(reset_at, remaining, left)

    def _under_way(self, now: int) -> int:
        """Requests that GitLab may not have counted yet when it answered last."""
        held = sum(
            one.requests for each in self._open.values() for one in each if one.expires_at > now
        )
        return held + sum(requests for at, requests in self._sent if at > now - AGAIN_MS)

    def _period_reserve(self) -> int:
        """The reserve of GitLab's period, which may be shorter than the minute of its limit.

        How much a period holds shows only in one that was seen from its begin.
        """
        if self._most_remaining is None:
            return self._reserve()
        return min(self._reserve(), math.ceil(self._most_remaining * self.rules.reserved_share))

    def _spend(self, requests: int) -> None:
        self._tokens -= requests
        if self._period is not None:
            self._period = self._period._replace(left=self._period.left - requests)

    def _free(self) -> int:
        """What may be granted at this moment, to all together."""
        most = self._most()
        free = MOST_REQUESTS if most is None else min(most - self._counted, int(self._tokens))
        if self._period is not None:
            free = min(free, self._period.left)
        return max(0, free)

    def _share(self, holder: str, wanted: int, now: int) -> int:
        """What of it one crawler may have: what others lack is kept for them, and no more."""
        free = self._free()
        self._hungry = {name: one for name, one in self._hungry.items() if one[0] > now}
        lacks = {name: lack for name, (_, lack) in self._hungry.items() if name != holder}
        if not lacks or self.allowed() is None:
            return min(free, wanted)
        had, lacks[holder] = self._shares(), wanted
        level = level_of([(had.get(name, 0), lack) for name, lack in lacks.items()], free)
        return min(free, wanted, max(0, math.ceil(level - had.get(holder, 0))))

    def _shares(self) -> dict[str, int]:
        had: dict[str, int] = {}
        for _, holder, requests in self._had:
            had[holder] = had.get(holder, 0) + requests
        return had

    def _ready_at(self, now: int) -> int:
        """When the first request is free again, as far as one can tell."""
        allowed = self.allowed()
        ready = [now]
        if self._period is not None and self._period.left < 1:
            is_spent = self._period.remaining <= self._period_reserve()
            is_long = is_spent and self._period.reset_at - now > LONG_MS
            soon = self._period.reset_at if is_long else now + AGAIN_MS
            ready.append(min(self._period.reset_at, soon))
        if allowed is not None and self._tokens < 1:
            ready.append(now + math.ceil((1 - self._tokens) * WINDOW_MS / max(allowed, 1)))
        if (most := self._most()) is not None and most - self._counted < 1:
            ready.append(min([at for at, _ in self._sent] + self._ends(), default=now) + WINDOW_MS)
        return min(max(ready), now + LONGEST_WAIT_MS)

    def _ends(self) -> list[int]:
        return [entries[0].expires_at for entries in self._open.values() if entries]

    def _remember(self, holder: str, lack: int, ready_at: int) -> None:
        if lack > 0:
            self._hungry[holder] = (ready_at + PATIENCE_MS, lack)
        else:
            self._hungry.pop(holder, None)
