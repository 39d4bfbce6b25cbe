"""How many requests each crawler may send to GitLab: one budget an account, shared by all.

Pure: no I/O, no clock; instants are milliseconds by the website's clock and come in as arguments.
`grants` asks it for a message, `handout` for a peer that cannot ask.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

# GitLab tells its limits as requests in 60 s (lib/gitlab/rack_attack/request_throttle_data.rb).
WINDOW_MS = 60_000
# Fair shares look back so far: who comes later is not starved, and does not starve the others.
SHARED_MS = 10_000
# Who got less than it wanted and asks no more for so long does not want it any more.
PATIENCE_MS = 1_500
LONGEST_WAIT_MS = 3_600_000
MOST_REQUESTS = 10_000
MOST_PER_MINUTE = 1_000_000
# GitLab's count changes with every answer, so one looks again soon; what is spent for so long that
# a job should not be held for it is told as it is.
AGAIN_MS = 1_000
LONG_MS = 120_000
# A wait that is longer by less than this is not worth a write.
MEANINGFUL_MS = 1_000

Key = tuple[int, str]
"""An account's number and a class of endpoints."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say; `requests_per_minute` 0 leaves it to GitLab alone."""

    requests_per_minute: int = 0
    reserved_share: float = 0.2
    grant_ms: int = 5_000


@dataclass(frozen=True, slots=True)
class Sight:
    """What one crawler saw of a limit; a `retry_after_ms` means that GitLab refused."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: int | None = None
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """So many requests until `expires_at`.

    Without any: no more before `not_before`, and what is in hand ends at `expires_at` too.
    """

    requests: int
    not_before: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What outlives the website's process."""

    limit_per_minute: int | None = None
    not_before: int = 0


class _Entry(NamedTuple):
    granted_at: int
    expires_at: int
    holder: str
    requests: int


class _Period(NamedTuple):
    """GitLab's own count until `reset_at`, and what of it may still be granted."""

    reset_at: int
    remaining: int
    left: int


@dataclass(slots=True)
class Pot:
    """The budget of one account in one class of endpoints.

    A granted request counts until 60 s after its grant expired, for it may be sent at the last
    moment: so no 60 s hold more requests than the limit, wherever they begin.
    """

    rules: Rules
    limit: int | None = None
    not_before: int = 0
    _entries: deque[_Entry] = field(default_factory=deque)
    _counted: int = 0
    _tokens: float = math.inf
    _at: int = 0
    _period: _Period | None = None
    _last_reset_at: int = 0
    _most_remaining: int | None = None
    _hungry: dict[str, int] = field(default_factory=dict)
    _charges: dict[str, tuple[int, int]] = field(default_factory=dict)

    def allowed(self) -> int | None:
        """Return how many requests all crawlers may send in 60 s; None where no limit is known."""
        known = []
        if self.rules.requests_per_minute:
            known.append(self.rules.requests_per_minute)
        if self.limit is not None:
            known.append(max(1, self.limit - self._reserve()))
        if not known:
            return None
        return max(0, min(known) - sum(requests for requests, _ in self._charges.values()))

    def see(self, sight: Sight, now: int) -> None:
        """Learn from an answer of GitLab; numbers that cannot be are ignored or cut to size."""
        self._advance(now)
        if sight.limit is not None and sight.limit > 0:
            self.limit = min(sight.limit, MOST_PER_MINUTE)
        if sight.remaining is not None and sight.reset_at is not None:
            self._count_down(max(sight.remaining, 0), sight.reset_at, now)
        if sight.retry_after_ms is not None:
            wait = min(max(sight.retry_after_ms, 0), LONGEST_WAIT_MS)
            self.not_before = max(self.not_before, now + wait)

    def grant(self, holder: str, wanted: int, now: int) -> Grant:
        """Give a crawler as much of what it wants as is free and fair."""
        self._advance(now)
        wanted = min(max(wanted, 0), MOST_REQUESTS)
        expires_at = now + self.rules.grant_ms
        if now < self.not_before:
            self._hungry[holder] = self.not_before + PATIENCE_MS
            return Grant(0, self.not_before, now)
        requests = min(wanted, self._share(holder, now))
        if requests:
            self._entries.append(_Entry(now, expires_at, holder, requests))
            self._counted += requests
            self._spend(requests)
        ready_at = now if requests or not wanted else self._ready_at(now)
        self._remember(holder, requests < wanted, ready_at)
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
        return 0 if allowed is None else max(1, allowed // (1 + len(self._had(now))))

    def learned(self) -> Learned:
        """Return what is worth keeping: a wait that is almost over is not."""
        is_long = self.not_before - self._at > MEANINGFUL_MS
        return Learned(self.limit, self.not_before if is_long else 0)

    def _reserve(self) -> int:
        """Requests of a known limit that are left to the human."""
        return 0 if self.limit is None else math.ceil(self.limit * self.rules.reserved_share)

    def _advance(self, now: int) -> None:
        """Let time pass: forget what no longer counts, let free requests grow back."""
        back = self._at - now
        if back > 0:
            self._shift(back)
        while self._entries and self._entries[0].expires_at + WINDOW_MS <= now:
            self._counted -= self._entries.popleft().requests
        self._charges = {key: one for key, one in self._charges.items() if one[1] > now}
        if self._period is not None and self._period.reset_at <= now:
            self._period = None
        allowed = self.allowed()
        grown = 0.0 if allowed is None else (now - min(self._at, now)) * self._per_ms(allowed)
        self._tokens = min(self._tokens + grown, self._most_tokens(allowed))
        self._at = now

    def _shift(self, back: int) -> None:
        """The clock was set back: what was granted stays as old as it is."""
        self._entries = deque(
            one._replace(granted_at=one.granted_at - back, expires_at=one.expires_at - back)
            for one in self._entries
        )
        self.not_before -= back
        self._hungry = {holder: until - back for holder, until in self._hungry.items()}
        self._charges = {key: (rate, until - back) for key, (rate, until) in self._charges.items()}
        self._period = self._period and self._period._replace(reset_at=self._period.reset_at - back)

    def _per_ms(self, allowed: int) -> float:
        """The even pace at which the window is never full."""
        return allowed / (WINDOW_MS + self.rules.grant_ms)

    def _most_tokens(self, allowed: int | None) -> float:
        """How much may go out at once: what grows back in the life of a grant."""
        if allowed is None:
            return math.inf
        return max(1.0, self._per_ms(allowed) * self.rules.grant_ms) if allowed else 0.0

    def _count_down(self, remaining: int, reset_at: int, now: int) -> None:
        """Take over GitLab's own count: people and other programs spend from it as well.

        Of two counts of one period the lower is the newer. What is granted and not yet expired may
        be missing in it; told again later, less of it can be.
        """
        reset_at = min(reset_at, now + LONGEST_WAIT_MS)
        known = self._period
        if reset_at <= now or (known is not None and reset_at < known.reset_at):
            return
        if known is None or reset_at > known.reset_at or remaining <= known.remaining:
            under_way = sum(one.requests for one in self._entries if one.expires_at > now)
            if 0 < self._last_reset_at < reset_at:
                self._most_remaining = max(self._most_remaining or 0, remaining)
            self._last_reset_at = reset_at
            left = remaining - self._period_reserve() - under_way
            self._period = _Period(reset_at, remaining, left)

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
        allowed = self.allowed()
        free = MOST_REQUESTS if allowed is None else min(allowed - self._counted, int(self._tokens))
        if self._period is not None:
            free = min(free, self._period.left)
        return max(0, free)

    def _share(self, holder: str, now: int) -> int:
        """What of it one crawler may have: all who want more come to the same level."""
        free = self._free()
        self._hungry = {name: until for name, until in self._hungry.items() if until > now}
        others = [name for name in self._hungry if name != holder]
        if not others or self.allowed() is None:
            return free
        had = self._had(now)
        sharing = [holder, *others]
        level = (sum(had.get(name, 0) for name in sharing) + free) / len(sharing)
        return min(free, max(0, math.ceil(level - had.get(holder, 0))))

    def _had(self, now: int) -> dict[str, int]:
        had: dict[str, int] = {}
        for entry in reversed(self._entries):
            if entry.granted_at <= now - SHARED_MS:
                break
            had[entry.holder] = had.get(entry.holder, 0) + entry.requests
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
            pace = self._per_ms(max(allowed, 1))
            ready.append(now + math.ceil((1 - self._tokens) / pace))
        if allowed is not None and self._entries and allowed - self._counted < 1:
            ready.append(self._entries[0].expires_at + WINDOW_MS)
        return min(max(ready), now + LONGEST_WAIT_MS)

    def _remember(self, holder: str, is_hungry: bool, ready_at: int) -> None:
        if is_hungry:
            self._hungry[holder] = ready_at + PATIENCE_MS
        else:
            self._hungry.pop(holder, None)


@dataclass(slots=True)
class Budget:
    """The pots of all accounts, and what was answered last."""

    rules: Rules = field(default_factory=Rules)
    _pots: dict[Key, Pot] = field(default_factory=dict)
    _kept: dict[Key, Learned] = field(default_factory=dict)
    _answers: dict[str, tuple[str, list[Grant]]] = field(default_factory=dict)

    def pot(self, key: Key) -> Pot:
        """Return the pot of an account's class of endpoints, made where there was none."""
        return self._pots.setdefault(key, Pot(self.rules))

    def knows(self, account_id: int) -> bool:
        """Say whether anything was ever asked or learned for the account."""
        return any(known == account_id for known, _ in self._pots)

    def ask(
        self,
        holder: str,
        request_id: str,
        wanted: Iterable[tuple[Key, int]],
        seen: Iterable[tuple[Key, Sight]],
        now: int,
    ) -> list[Grant]:
        """Learn what a crawler saw, then give it its share of each thing wanted.

        The same `request_id` gets the same answer again: a repeat is no second grant.
        """
        before_id, before = self._answers.get(holder, ("", []))
        if request_id and request_id == before_id:
            return before
        for key, sight in seen:
            self.pot(key).see(sight, now)
        grants = [self.pot(key).grant(holder, number, now) for key, number in wanted]
        self._answers[holder] = (request_id, grants)
        return grants

    def limit_of(self, account_id: int, class_: str, now: int) -> int:
        """Return the requests a minute for a task whose peer asks for no grants; 0: no limit."""
        return self.pot((account_id, class_)).fair_rate(now)

    def charge(
        self, account_id: int, class_: str, task_id: str, requests_per_minute: int, now: int
    ) -> None:
        """Count a task's whole rate for a minute from now, whatever its peer sends."""
        self.pot((account_id, class_)).charge(task_id, requests_per_minute, now)

    def prolong_charge(self, task_id: str, now: int) -> None:
        """Note that a charged task is still under way."""
        for pot in self._pots.values():
            pot.prolong_charge(task_id, now)

    def restore(self, learned: dict[Key, Learned]) -> None:
        """Go on with what an earlier process learned."""
        for key, known in learned.items():
            pot = self.pot(key)
            pot.limit, pot.not_before = known.limit_per_minute, known.not_before
            self._kept[key] = known

    def changes(self) -> dict[Key, Learned]:
        """Return what is worth writing down since `restore` or `keep`."""
        known = {key: pot.learned() for key, pot in self._pots.items()}
        return {
            key: learned
            for key, learned in known.items()
            if _is_meaningful(self._kept.get(key, Learned()), learned)
        }

    def keep(self, written: dict[Key, Learned]) -> None:
        """Remember what was written down."""
        self._kept.update(written)


def _is_meaningful(before: Learned, after: Learned) -> bool:
    later = after.not_before - before.not_before
    return later > MEANINGFUL_MS or after != replace(before, not_before=after.not_before)
