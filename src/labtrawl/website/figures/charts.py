"""Figures over time, made of samples: what charts draw and their tables say. Pure."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from labtrawl.domain.sample import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    Figures,
    Grain,
    Sample,
    fold,
    gathered,
)
from labtrawl.domain.traffic import Traffic, percentile, total

# Resources beyond these are drawn together.
MOST_RESOURCES = 5
OTHERS = "others"
PERCENTILES = (50, 95, 99)


class Span(StrEnum):
    """How far back a page looks."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


class Scale(NamedTuple):
    """What a span is made of: the samples that are read, and how long a point of a chart is."""

    grain: Grain
    length_ms: int
    step_ms: int


SCALES: Mapping[Span, Scale] = {
    Span.HOUR: Scale(Grain.MINUTE, HOUR_MS, MINUTE_MS),
    Span.DAY: Scale(Grain.MINUTE, DAY_MS, 20 * MINUTE_MS),
    Span.WEEK: Scale(Grain.HOUR, 7 * DAY_MS, 3 * HOUR_MS),
}


class Series(msgspec.Struct, frozen=True):
    """One line of a chart: a value for each instant, None where nothing was seen."""

    name: str
    values: Sequence[float | None]


class Chart(msgspec.Struct, frozen=True):
    """Lines over the same instants (milliseconds since the epoch, the beginning of each while)."""

    id: str
    title: str
    unit: str
    times: Sequence[int]
    series: Sequence[Series]
    note: str = ""
    beside: Sequence[Series] = ()
    """What stands in the table and is not drawn, for it is of another unit."""

    @property
    def columns(self) -> list[Series]:
        """What the table has after the instant."""
        return [*self.series, *self.beside]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value is not None for line in self.series for value in line.values)


class EndpointTold(msgspec.Struct, frozen=True):
    """What an endpoint cost over the span; latencies in milliseconds, None where none is known."""

    endpoint: str
    requests: int
    per_minute: float
    p50: float | None
    p95: float | None
    p99: float | None
    limited: int
    failed: int
    bytes: int


class Sums(msgspec.Struct, frozen=True):
    """The sums over the span; `watched_seconds` of it the website was there and counted."""

    watched_seconds: float
    requests: int
    requests_per_minute: float
    retries: int
    limited: int
    failed: int
    bytes: int
    records: int
    records_by_resource: Mapping[str, int]
    jobs_at_work: float
    job_places: float
    used_share: float | None


class OverTime(msgspec.Struct, frozen=True):
    """What happened in a span: the sums, each endpoint, and the charts."""

    span: str
    since: int
    until: int
    step_seconds: int
    sums: Sums
    endpoints: Sequence[EndpointTold]
    charts: Sequence[Chart]


class Point(NamedTuple):
    """A while of a chart, and the traffic of all endpoints in it."""

    figures: Figures
    traffic: Traffic


Count = Callable[[Point], float]
Value = Callable[[Point], float | None]


class Timeline:
    """Samples at regular instants, those without a sample too."""

    def __init__(self, samples: Sequence[Sample], since: int, until: int, step_ms: int) -> None:
        found = {each.at: _point(each.figures) for each in gathered(samples, step_ms)}
        first = max(since - since % step_ms, min(found, default=until))
        self.times = list(range(first, until, step_ms)) if found else []
        self._points = [found.get(at) for at in self.times]
        self.whole = fold(one.figures for one in found.values())

    def line(self, name: str, value: Value) -> Series:
        """Return a line."""
        return Series(name, [None if one is None else _rounded(value(one)) for one in self._points])

    def chart(self, id_: str, title: str, unit: str, lines: Mapping[str, Value]) -> Chart:
        """Return a chart of some lines."""
        series = [self.line(name, value) for name, value in lines.items()]
        return Chart(id_, title, unit, self.times, series)


def _rounded(value: float | None) -> float | None:
    """Keep what a chart can show: three digits of what is small, whole numbers of the rest."""
    if value is None:
        return None
    return round(value) if value >= 100 or value == int(value) else float(f"{value:.3g}")


def _point(figures: Figures) -> Point:
    return Point(figures, total(figures.endpoints.values()))


def per_minute(count: Count) -> Value:
    """Return the rate of what is counted."""
    return lambda one: count(one) * 60 / one.figures.seconds if one.figures.seconds else None


def _count(name: str) -> Count:
    return lambda one: one.figures.counts.get(name, 0)


def _mean(name: str) -> Value:
    return lambda one: one.figures.means.get(name)


def _jobs(state: str) -> Value:
    return lambda one: one.figures.last.get(f"jobs_{state}")


def _percentile(share: int) -> Value:
    return lambda one: percentile(one.traffic.latency, share / 100)


def requests_chart(line: Timeline) -> Chart:
    """Return the requests a minute, beside what the budget allows."""
    return line.chart(
        "requests",
        "Requests",
        "a minute",
        {
            "Requests": per_minute(_count("requests")),
            "Budget": _mean("budget"),
            "Sent again": per_minute(_count("retries")),
            "Told to wait (429)": per_minute(lambda one: one.traffic.limited),
        },
    )


def latency_chart(line: Timeline) -> Chart:
    """Return how long GitLab took to answer."""
    lines = {f"p{share}": _percentile(share) for share in PERCENTILES}
    return line.chart("latency", "Time to GitLab's answer", "milliseconds", lines)


def records_chart(line: Timeline, whole: Figures) -> Chart:
    """Return the records that were committed, by resource: the most frequent ones, and the others."""
    ranked = sorted(whole.records, key=lambda name: (-whole.records[name], name))
    shown = ranked[:MOST_RESOURCES]
    lines: dict[str, Value] = {name: per_minute(_of(name)) for name in shown}
    if len(ranked) > MOST_RESOURCES:
        rest = frozenset(ranked[MOST_RESOURCES:])
        lines[OTHERS] = per_minute(
            lambda one: sum(count for name, count in one.figures.records.items() if name in rest)
        )
    return line.chart("records", "Records by resource", "a minute", lines)


def _of(name: str) -> Count:
    return lambda one: one.figures.records.get(name, 0)


def crawlers_chart(line: Timeline) -> Chart:
    """Return how much of the crawlers' room for jobs was used."""
    lines = {"Jobs at work": _mean("active_jobs"), "Places for jobs": _mean("job_places")}
    return line.chart("crawlers", "Crawlers in use", "jobs", lines)


def bytes_chart(line: Timeline) -> Chart:
    """Return how much GitLab answered."""
    lines = {"Answers": per_minute(lambda one: one.traffic.bytes / (1 << 20))}
    return line.chart("bytes", "Answers of GitLab, unpacked", "MiB a minute", lines)


def disk_chart(line: Timeline) -> Chart:
    """Return how much of the disk is free."""
    lines: dict[str, Value] = {"Free": lambda one: _gibibytes(one.figures.last.get("disk_free"))}
    return line.chart("disk", "Room on the disk", "GiB", lines)


def _gibibytes(size: int | None) -> float | None:
    return None if size is None else size / (1 << 30)


def jobs_chart(line: Timeline) -> Chart:
    """Return how many jobs wait."""
    names = {"Queued": "queued", "Held": "held", "Running": "running", "Failed": "failed"}
    lines = {name: _jobs(state) for name, state in names.items()}
    return line.chart("jobs", "Jobs that are not done", "jobs", lines)


def socket_chart(line: Timeline) -> Chart:
    """Return how many messages the website and the crawlers exchange."""
    lines = {
        "Received": per_minute(_count("received")),
        "Sent": per_minute(_count("sent")),
        "Repeats": per_minute(_count("duplicates")),
        "Merged": per_minute(_count("merged")),
    }
    return line.chart("socket", "Messages between website and crawlers", "a minute", lines)


def sums_of(whole: Figures) -> Sums:
    """Return the sums of what was folded."""
    traffic = _point(whole).traffic
    requests = whole.counts.get("requests", 0)
    places = whole.means.get("job_places", 0.0)
    at_work = whole.means.get("active_jobs", 0.0)
    return Sums(
        watched_seconds=round(whole.seconds),
        requests=requests,
        requests_per_minute=_rate(requests, whole),
        retries=whole.counts.get("retries", 0),
        limited=traffic.limited,
        failed=traffic.failed,
        bytes=traffic.bytes,
        records=sum(whole.records.values()),
        records_by_resource=dict(sorted(whole.records.items())),
        jobs_at_work=round(at_work, 2),
        job_places=round(places, 2),
        used_share=round(at_work / places, 3) if places else None,
    )


def _rate(count: int, whole: Figures) -> float:
    return round(count * 60 / whole.seconds, 1) if whole.seconds else 0.0


def endpoints_of(whole: Figures) -> list[EndpointTold]:
    """Return each endpoint, the busiest first."""
    ranked = sorted(whole.endpoints.items(), key=lambda each: (-each[1].requests, each[0]))
    return [_endpoint(name, one, whole) for name, one in ranked]


def _endpoint(name: str, one: Traffic, whole: Figures) -> EndpointTold:
    p50, p95, p99 = (_rounded(percentile(one.latency, share / 100)) for share in PERCENTILES)
    return EndpointTold(
        endpoint=name,
        requests=one.requests,
        per_minute=_rate(one.requests, whole),
        p50=p50,
        p95=p95,
        p99=p99,
        limited=one.limited,
        failed=one.failed,
        bytes=one.bytes,
    )


def over_time(samples: Sequence[Sample], span: Span, now: int) -> OverTime:
    """Return all that the page of statistics shows of a span that ends `now` (ms)."""
    scale = SCALES[span]
    since = begin_of(span, now)
    line = Timeline(samples, since, now, scale.step_ms)
    whole = line.whole
    charts = (
        requests_chart(line),
        latency_chart(line),
        records_chart(line, whole),
        bytes_chart(line),
        crawlers_chart(line),
        jobs_chart(line),
        socket_chart(line),
        disk_chart(line),
    )
    return OverTime(
        span.value,
        since,
        now,
        scale.step_ms // 1000,
        sums_of(whole),
        endpoints_of(whole),
        charts,
    )


def begin_of(span: Span, now: int) -> int:
    """Return where a span begins that ends `now`: at a whole step."""
    scale = SCALES[span]
    since = now - scale.length_ms
    return since - since % scale.step_ms
