"""What was asked of the look-alike: counts of requests for tests and the demo.

Entered by the app, which counts, and read through ``/-/sandbox/requests``.
"""

import time
from collections import Counter
from collections.abc import Callable


class Tally:
    """Counts since the start or the last reset. Control requests are never counted."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.clear()

    def clear(self) -> None:
        """Start again from zero."""
        self._endpoints: Counter[str] = Counter()
        self._projects: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self._seconds: Counter[int] = Counter()

    def count(self, endpoint: str, project: int | None, status: int, user: str) -> None:
        """One request: its route, the project it names, the answer's status and who asked."""
        self._endpoints[endpoint] += 1
        self._statuses[str(status)] += 1
        self._users[user] += 1
        self._seconds[int(self._now())] += 1
        if project is not None:
            self._projects[str(project)] += 1

    def seconds(self) -> dict[str, int]:
        """The requests of each second (Unix time) that had any."""
        return {str(second): number for second, number in self._seconds.items()}

    def body(self) -> dict[str, object]:
        """The counts as the control endpoint answers them."""
        return {
            "total": self._statuses.total(),
            "by_endpoint": dict(self._endpoints),
            "by_project": dict(self._projects),
            "by_status": dict(self._statuses),
            "by_user": dict(self._users),
        }
