"""How many requests each crawler may send to GitLab: one budget an account, shared by all.

Pure: no I/O, no clock; instants are milliseconds by the website's clock and come in as arguments.
`grants` asks it for a message, `handout` for a peer that cannot ask.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from labtrawl.dispatch.pot import MEANINGFUL_MS, Pot
from labtrawl.dispatch.pot_records import Grant, Learned, Rules, Sight, Used
from labtrawl.gitlab.limits import REST

Key = tuple[int, str]
"""An account's number and a class of endpoints."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a crawler asks for; `spent` is how many of all its grants it has sent, where it tells."""

    key: Key
    requests: int
    spent: int | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """A time in which nothing may be sent: its begin, its end (ms), and why."""

    begins_at: int
    ends_at: int
    reason: str


def _never(_account_id: int, _now: int) -> Rest | None:
    """For accounts without quiet hours."""
    return None


@dataclass(slots=True)
class Budget:
    """The pots of all accounts, and what was answered last."""

    rules: Rules = field(default_factory=Rules)
    # The rest that an account is in, or comes to next.
    rest_of: Callable[[int, int], Rest | None] = _never
    _pots: dict[Key, Pot] = field(default_factory=dict)
    _kept: dict[Key, Learned] = field(default_factory=dict)
    _answers: dict[str, tuple[str, list[Grant]]] = field(default_factory=dict)

    def pot(self, key: Key) -> Pot:
        """Return the pot of an account's class of endpoints, made where there was none."""
        if key not in self._pots:
            is_endpoint = key[1] != REST
            # What the settings say counts once, for all requests of the account together.
            own = replace(self.rules, requests_per_minute=0, reserved_share=0.0)
            rules = own if is_endpoint else self.rules
            self._pots[key] = Pot(rules, is_endpoint=is_endpoint)
        return self._pots[key]

    def knows(self, account_id: int) -> bool:
        """Say whether anything was ever asked or learned for the account."""
        return any(known == account_id for known, _ in self._pots)

    def ask(
        self,
        holder: str,
        request_id: str,
        wanted: Iterable[Wanted],
        seen: Iterable[tuple[Key, Sight]],
        now: int,
    ) -> list[Grant]:
        """Learn what a crawler saw, then give it its share of each thing wanted.

        The same `request_id` gets the same answer again: a repeat is no second grant.
        """
        before_id, before = self._answers.get(holder, ("", []))
        if request_id and request_id == before_id:
            return before
        wanted = list(wanted)
        for one in wanted:
            if one.spent is not None:
                self.pot(one.key).spent(holder, one.spent, now)
        for key, sight in seen:
            self.pot(key).see(sight, now)
        grants = [self._grant(holder, one, now) for one in wanted]
        self._answers[holder] = (request_id, grants)
        return grants

    def _grant(self, holder: str, wanted: Wanted, now: int) -> Grant:
        """No grant reaches into a time of rest."""
        rest = self.rest_of(wanted.key[0], now)
        if rest is not None and rest.begins_at <= now:
            return Grant(0, rest.ends_at, now, rest.reason)
        grant = self.pot(wanted.key).grant(holder, wanted.requests, now)
        if rest is not None and rest.begins_at < grant.expires_at:
            return replace(grant, expires_at=rest.begins_at)
        return grant

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

    def used(self, account_id: int, now: int) -> dict[str, Used]:
        """Return how the pots of an account stand, by the class of endpoints."""
        mine = {class_: pot for (known, class_), pot in self._pots.items() if known == account_id}
        return {class_: pot.used(now) for class_, pot in sorted(mine.items())}

    def restore(self, learned: dict[Key, Learned]) -> None:
        """Go on with what an earlier process learned."""
        for key, known in learned.items():
            self.pot(key).go_on(known)
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
