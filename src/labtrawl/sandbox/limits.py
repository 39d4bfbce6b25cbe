"""The HTTP layer's rate limit, per user (per address for anonymous callers).

Entered by the app. Headers and words as Rack::Attack in GitLab 19.3 gives them.
"""

import math
import time
from collections.abc import Callable
from email.utils import formatdate

from labtrawl.sandbox.wire import Headers, Reply

_NAME = b"throttle_authenticated_api"


class Throttle:
    """Counts requests in fixed periods; `per_minute` 0 switches it off.

    The limit is told for 60 s, what was counted for the real period (rack_attack_headers.rb).
    """

    def __init__(
        self, per_minute: int, now: Callable[[], float] = time.time, *, period_seconds: int = 60
    ) -> None:
        self.per_minute = per_minute
        self._period_seconds = period_seconds
        self._per_period = per_minute * period_seconds // 60
        self._now = now
        self._counts: dict[tuple[str, int], int] = {}

    def count(self, user: str) -> tuple[Headers, Reply | None]:
        """Count one request of `user`: the headers for its answer, and the refusal if any."""
        if not self.per_minute:
            return [], None
        now = self._now()
        period = int(now // self._period_seconds)
        self._counts = {key: n for key, n in self._counts.items() if key[1] == period}
        seen = self._counts[user, period] = self._counts.get((user, period), 0) + 1
        reset = (period + 1) * self._period_seconds
        headers = self._headers(seen, reset)
        if seen <= self._per_period:
            return headers, None
        wait = max(math.ceil(reset - now), 1)
        refused = [*headers, (b"retry-after", str(wait).encode())]
        return headers, Reply(429, b"Retry later\n", refused, b"text/plain")

    def _headers(self, seen: int, reset: int) -> Headers:
        return [
            (b"ratelimit-limit", str(self.per_minute).encode()),
            (b"ratelimit-name", _NAME),
            (b"ratelimit-observed", str(seen).encode()),
            (b"ratelimit-remaining", str(max(self._per_period - seen, 0)).encode()),
            (b"ratelimit-reset", str(reset).encode()),
            (b"ratelimit-resettime", formatdate(reset, usegmt=True).encode()),
        ]
