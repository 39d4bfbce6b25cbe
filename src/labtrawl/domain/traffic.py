"""What requests to a GitLab cost: counts and how long the answers took, by endpoint.

Latencies are kept as how many fell into which step. Such counts of several crawlers and minutes are
added up without loss, which a percentile cannot be.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

# A step ends at 2 ** (number / 2) milliseconds: 1, 1.4, 2, 2.8, … The last has all above 93 s.
STEPS = 34
# Of a step only its ends are known: a percentile is right within this part of it.
EXACTNESS = math.sqrt(2) - 1

# What a peer may tell: more is cut off.
MOST_ENDPOINTS = 120
LONGEST_NAME = 120
MOST_COUNTED = 1 << 50

Latency = Mapping[int, int]
"""How many answers took as long as the step with this number says."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was asked of an endpoint; counts that only grow.

    `limited` are the answers 429, `failed` those from 500 up and the requests without an answer,
    `bytes` the answers' lengths, unpacked.
    """

    requests: int = 0
    limited: int = 0
    failed: int = 0
    bytes: int = 0
    latency: Latency = field(default_factory=dict)

    def plus(self, other: "Traffic") -> "Traffic":
        """Return both together."""
        return total((self, other))

    def since(self, earlier: "Traffic") -> "Traffic":
        """Return what came after an earlier count; the whole where that was of something else."""
        if earlier.requests > self.requests:
            return self
        steps = {
            step: count - earlier.latency.get(step, 0)
            for step, count in self.latency.items()
            if count > earlier.latency.get(step, 0)
        }
        return Traffic(
            self.requests - earlier.requests,
            max(self.limited - earlier.limited, 0),
            max(self.failed - earlier.failed, 0),
            max(self.bytes - earlier.bytes, 0),
            steps,
        )


NO_TRAFFIC = Traffic()


@dataclass(frozen=True, slots=True)
class Spent:
    """What a crawler, one process of it, told of itself last.

    `endpoints` and `retries` count since it began; one of an earlier release tells none of both, and
    of how many jobs it has room for.
    """

    crawler: str
    pid: int | None
    uptime_seconds: float
    active_jobs: int = 0
    job_places: int = 0
    requests_per_minute: float = 0.0
    retries: int = 0
    unsent: int = 0
    endpoints: Mapping[str, Traffic] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """Traffic that is being counted, or added up."""

    requests: int = 0
    limited: int = 0
    failed: int = 0
    bytes: int = 0
    latency: dict[int, int] = field(default_factory=dict)

    def add(self, traffic: Traffic) -> None:
        """Add what was counted elsewhere."""
        self.requests += traffic.requests
        self.limited += traffic.limited
        self.failed += traffic.failed
        self.bytes += traffic.bytes
        mine = self.latency
        for step, count in traffic.latency.items():
            mine[step] = mine.get(step, 0) + count

    def told(self) -> Traffic:
        """Return the counts so far."""
        latency = dict(sorted(self.latency.items()))
        return Traffic(self.requests, self.limited, self.failed, self.bytes, latency)


def total(each: Iterable[Traffic]) -> Traffic:
    """Add up."""
    whole = Tally()
    for one in each:
        whole.add(one)
    return whole.told()


def credible(one: Spent) -> Spent:
    """Return what can be of what a peer tells: no negative count, no step that there is none of."""
    endpoints = itertools.islice(one.endpoints.items(), MOST_ENDPOINTS)
    return replace(
        one,
        active_jobs=_within(one.active_jobs),
        job_places=_within(one.job_places),
        requests_per_minute=float(_within(int(one.requests_per_minute))),
        retries=_within(one.retries),
        unsent=_within(one.unsent),
        endpoints={name[:LONGEST_NAME]: _credible(traffic) for name, traffic in endpoints},
    )


def _credible(one: Traffic) -> Traffic:
    latency = {step: _within(count) for step, count in one.latency.items() if 0 <= step < STEPS}
    return Traffic(
        _within(one.requests),
        _within(one.limited),
        _within(one.failed),
        _within(one.bytes),
        latency,
    )


def _within(count: int) -> int:
    return min(max(count, 0), MOST_COUNTED)


def step_of(seconds: float) -> int:
    """Return the step that a latency falls into."""
    milliseconds = seconds * 1000
    if milliseconds <= 1:
        return 0
    return min(math.ceil(2 * math.log2(milliseconds)), STEPS - 1)


def percentile(latency: Latency, share: float) -> float | None:
    """Return the milliseconds in which this share (0 … 1) was answered; None where nothing was.

    Inside a step the answers are taken to be spread evenly: see `EXACTNESS`.
    """
    wanted = share * sum(latency.values())
    if wanted <= 0:
        return None
    below = 0
    for step in sorted(latency):
        count = latency[step]
        if count and below + count >= wanted:
            first = 0.0 if step == 0 else 2 ** ((step - 1) / 2)
            return float(first + (2 ** (step / 2) - first) * (wanted - below) / count)
        below += count
    return None
