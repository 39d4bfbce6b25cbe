"""Quiet hours of each GitLab: nothing is granted in them, and what waits says until when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from labtrawl import logs
from labtrawl.dispatch.budget import Rest
from labtrawl.domain.quiet import Window, next_quiet
from labtrawl.store import quiet
from labtrawl.store.engine import Store

log = logs.get("backend.budget")


@dataclass(slots=True)
class QuietHours:
    """The windows of each instance, by its URL, and which account is of which instance."""

    windows: Mapping[str, Sequence[Window]] = field(default_factory=dict)
    _urls: dict[int, str] = field(default_factory=dict)
    _next: dict[str, tuple[int, Rest | None]] = field(default_factory=dict)

    def know(self, account_id: int, url: str) -> None:
        """Learn of which instance an account is."""
        self._urls[account_id] = url

    def knows(self, account_id: int) -> bool:
        """Say whether it was learned."""
        return account_id in self._urls

    def rest_of(self, account_id: int, now: int) -> Rest | None:
        """Return the quiet time in which an account's instance is, or comes to next; ms."""
        url = self._urls.get(account_id)
        return None if url is None else self._rest_at(url, now)

    def resting(self, now: int) -> list[tuple[str, Rest]]:
        """Return the instances that are to be left alone now."""
        rests = [(url, self._rest_at(url, now)) for url in self.windows]
        return [(url, rest) for url, rest in rests if rest is not None and rest.begins_at <= now]

    def _rest_at(self, url: str, now: int) -> Rest | None:
        if not self.windows.get(url):
            return None
        asked_at, rest = self._next.get(url, (0, None))
        # A clock that was set back asks anew.
        if rest is None or not asked_at <= now < rest.ends_at:
            rest = _rest(self.windows[url], now)
            self._next[url] = (now, rest)
        return rest


def _rest(windows: Sequence[Window], now: int) -> Rest | None:
    found = next_quiet(windows, datetime.fromtimestamp(now / 1000, UTC))
    if found is None:
        return None
    begins_at, ends_at = (int(at.timestamp() * 1000) for at in (found.begins_at, found.ends_at))
    return Rest(begins_at, ends_at, found.reason)


async def put_off(store: Store, hours: QuietHours, now: int) -> None:
    """Let the due jobs of resting instances wait until the end, and say so on each."""
    for url, rest in hours.resting(now):
        if await store.read(lambda c, at=url: quiet.has_due(c, at)):  # type: ignore[misc]
            number = await store.write(
                lambda c, at=url, to=rest: quiet.put_off(c, at, to.ends_at, to.reason)  # type: ignore[misc]
            )
            log.info("quiet_hours", instance=url, jobs=number, until=rest.reason)
