"""What happened in a while: sums of what was counted, means of what was looked at. Folds into longer whiles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from labtrawl.domain.traffic import Tally, Traffic

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Grain(StrEnum):
    """How long a sample is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length_ms(self) -> int:
        """Return it in milliseconds."""
        return {Grain.MINUTE: MINUTE_MS, Grain.HOUR: HOUR_MS, Grain.DAY: DAY_MS}[self]


# How long samples stay; days stay for ever.
KEPT_MS = {Grain.MINUTE: 48 * HOUR_MS, Grain.HOUR: 90 * DAY_MS}
# What longer samples are made of.
MADE_OF = {Grain.HOUR: Grain.MINUTE, Grain.DAY: Grain.HOUR}


@dataclass(frozen=True, slots=True)
class Figures:
    """One while of it. `seconds` of it were watched: a website that was stopped saw nothing.

    `counts` are requests, retries, messages and the like; `means` were looked at again and again,
    `last` are what stood at the end (jobs by state, bytes of the disk).
    """

    seconds: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    records: Mapping[str, int] = field(default_factory=dict)
    endpoints: Mapping[str, Traffic] = field(default_factory=dict)
    means: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of a while that began `at` (milliseconds since the epoch)."""

    at: int
    figures: Figures


def fold(parts: Iterable[Figures]) -> Figures:
    """Make one of several that follow each other, oldest first."""
    counts: dict[str, int] = {}
    records: dict[str, int] = {}
    endpoints: dict[str, Tally] = {}
    weighed: dict[str, float] = {}
    watched: dict[str, float] = {}
    last: Mapping[str, int] = {}
    seconds = 0.0
    for part in parts:
        seconds += part.seconds
        _add(counts, part.counts)
        _add(records, part.records)
        for name, traffic in part.endpoints.items():
            endpoints.setdefault(name, Tally()).add(traffic)
        for name, mean in part.means.items():
            weighed[name] = weighed.get(name, 0.0) + mean * part.seconds
            watched[name] = watched.get(name, 0.0) + part.seconds
        last = part.last or last
    means = {name: weighed[name] / watched[name] for name in weighed if watched[name]}
    told = {name: tally.told() for name, tally in endpoints.items()}
    return Figures(seconds, counts, records, told, means, last)


def _add(to: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        to[name] = to.get(name, 0) + count


def gathered(samples: Iterable[Sample], step_ms: int) -> list[Sample]:
    """Fold samples, oldest first, into whiles of `step_ms`; whiles without any are left out."""
    groups: dict[int, list[Figures]] = {}
    for sample in samples:
        groups.setdefault(sample.at - sample.at % step_ms, []).append(sample.figures)
    return [Sample(at, fold(groups[at])) for at in sorted(groups)]
