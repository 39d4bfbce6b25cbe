"""Counts what requests cost, by endpoint, for the statistics of the website.

An endpoint is a path of the API without its numbers and names: what people called something never
gets in here. The crawler hands `heard` to its doors.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from labtrawl.domain.traffic import Tally, Traffic, step_of
from labtrawl.gitlab.catalog import RESOURCES

API = "/api/"
REST = "v4/"
# There are fewer by far; each is told with every heartbeat.
MOST = 100
OTHER = "other"
# What discovery and sign-in ask beside the catalog (labtrawl.crawler.discovery, gitlab.probe).
_ASKED_TOO = (
    *("groups", "projects", "user", "users", "metadata", "version", "graphql"),
    *("descendant_groups", "subgroups", "personal_access_tokens", "self"),
)
_PATHS = (*(one.path for one in RESOURCES), *(one.statistics for one in RESOURCES))
_WORDS = frozenset(
    word for path in _PATHS for word in path.split("/") if word and "{" not in word
) | frozenset(_ASKED_TOO)


def endpoint_of(path: str) -> str:
    """Return the endpoint that a path belongs to, like `projects/:id/issues`."""
    _, _, rest = path.partition(API)
    words = rest.removeprefix(REST).strip("/").split("/")
    return _named(tuple(word if word in _WORDS else ":id" for word in words))


@lru_cache(maxsize=256)
def _named(words: tuple[str, ...]) -> str:
    return "/".join(words)


@dataclass(slots=True)
class Endpoints:
    """What one process asked so far, by endpoint."""

    _tallies: dict[str, Tally] = field(default_factory=dict)

    def heard(self, path: str, status: int, length: int, seconds: float) -> None:
        """Count a request that came to its end (as `http.Heard`)."""
        name = endpoint_of(path)
        if name not in self._tallies and len(self._tallies) >= MOST:
            name = OTHER
        tally = self._tallies.setdefault(name, Tally())
        tally.requests += 1
        tally.bytes += length
        if status == 429:
            tally.limited += 1
        elif status == 0 or status >= 500:
            tally.failed += 1
        # How long somebody was not answered says nothing of how fast answers are.
        if status:
            step = step_of(seconds)
            tally.latency[step] = tally.latency.get(step, 0) + 1

    def counted(self) -> dict[str, Traffic]:
        """Return the counts so far."""
        return {name: one.told() for name, one in self._tallies.items()}
