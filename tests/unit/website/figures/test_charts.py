"""What is watched becomes samples, and samples become charts: rates, percentiles, gaps."""

import pytest

from labtrawl.domain.sample import MINUTE_MS, Figures, Sample
from labtrawl.domain.traffic import MOST_COUNTED, MOST_ENDPOINTS, Spent, Traffic
from labtrawl.website.figures.charts import OverTime, Series, Span, over_time
from labtrawl.website.figures.sampling import Watch
from labtrawl.website.figures.sums import budget_of

NOON = 1_795_348_800_000


def spent(name: str, uptime: float, requests: int, **told: float) -> Spent:
    traffic = {"graphql": Traffic(requests, 0, 0, 10 * requests, {8: requests})}
    return Spent(name, 7, uptime, endpoints=traffic, **told)  # type: ignore[arg-type]


def test_watch_counts_what_grew_and_nothing_of_before_it_looked() -> None:
    watch = Watch()
    watch.look([spent("old", 900.0, 500, retries=3)], 0.0)
    began = spent("young", 4.0, 20, active_jobs=2, job_places=8)
    watch.look([spent("old", 910.0, 530, retries=5, active_jobs=4), began], 10.0)
    watch.look([spent("old", 920.0, 540, retries=5, active_jobs=4)], 10.0)
    taken = watch.take()
    assert taken == Figures(
        20.0,
        {"requests": 60, "retries": 2},
        {},
        {"graphql": Traffic(60, 0, 0, 600, {8: 60})},
        {"crawlers": 1.5, "active_jobs": 5.0, "job_places": 4.0, "unsent": 0.0},
        {},
    )
    assert watch.take() == Figures()
    watch.put_back(taken)
    assert watch.take() == taken


def test_crawler_that_tells_only_its_rate_is_counted_by_it() -> None:
    watch = Watch()
    watch.look([], 0.0)
    watch.look([Spent("legacy", None, 0.0, requests_per_minute=120.0)], 30.0)
    assert watch.take().counts == {"requests": 60, "retries": 0}


def test_what_a_peer_cannot_mean_is_cut_off() -> None:
    told = {f"e{number}": Traffic(-4, 1 << 90, 0, 1, {-3: 1, 99: 1, 5: 2}) for number in range(999)}
    watch = Watch()
    watch.look([], 0.0)
    watch.look([Spent("odd", 1, 0.0, -9, 1 << 80, 1e300, -1, endpoints=told)], 10.0)
    taken = watch.take()
    assert len(taken.endpoints) == MOST_ENDPOINTS
    assert taken.endpoints["e0"] == Traffic(0, MOST_COUNTED, 0, 1, {5: 2})
    assert taken.means["active_jobs"] == 0.0
    assert taken.means["job_places"] == float(MOST_COUNTED)


def minute(at: int, requests: int, seconds: float = 60.0) -> Sample:
    traffic = Traffic(requests, 1, 0, requests << 20, {8: requests})
    figures = Figures(
        seconds,
        {"requests": requests, "retries": 2, "received": 30},
        {name: requests * place for place, name in enumerate("abcdefg", 1)},
        {"graphql": traffic},
        {"active_jobs": 3.0, "job_places": 4.0, "budget": 800.0},
        {"jobs_queued": 9, "disk_free": 5 << 30},
    )
    return Sample(NOON - at * MINUTE_MS, figures)


def lines(told: OverTime, chart: str) -> dict[str, list[float | None]]:
    (found,) = (one for one in told.charts if one.id == chart)
    return {line.name: list(line.values) for line in found.series}


def test_hour_is_drawn_minute_by_minute_with_its_gaps() -> None:
    told = over_time([minute(4, 120), minute(3, 60, seconds=30.0), minute(1, 60)], Span.HOUR, NOON)
    times = told.charts[0].times
    assert list(times) == [NOON - at * MINUTE_MS for at in (4, 3, 2, 1)]
    # Half a minute was watched: the rate is that of a whole one.
    assert lines(told, "requests") == {
        "Requests": [120, 120, None, 60],
        "Budget": [800, 800, None, 800],
        "Sent again": [2, 4, None, 2],
        "Told to wait (429)": [1, 2, None, 1],
    }
    assert list(lines(told, "records")) == ["g", "f", "e", "d", "c", "others"]
    assert lines(told, "records")["others"] == [360, 360, None, 180]
    assert lines(told, "disk") == {"Free": [5, 5, None, 5]}
    # All answers took 11.3 to 16 ms.
    assert lines(told, "latency")["p50"] == [13.7, 13.7, None, 13.7]


def test_sums_are_of_all_that_was_watched() -> None:
    told = over_time([minute(4, 120), minute(3, 60, seconds=30.0)], Span.HOUR, NOON)
    sums = told.sums
    assert (sums.watched_seconds, sums.requests, sums.requests_per_minute) == (90, 180, 120.0)
    assert (sums.retries, sums.limited, sums.bytes) == (4, 2, 180 << 20)
    assert (sums.records, sums.used_share) == (180 * 28, 0.75)
    (one,) = told.endpoints
    assert (one.endpoint, one.requests, one.per_minute, one.p50) == ("graphql", 180, 120.0, 13.7)


def test_span_without_samples_is_empty_and_says_so() -> None:
    told = over_time([], Span.WEEK, NOON)
    assert all(chart.is_empty and not chart.times for chart in told.charts)
    assert told.charts[0].series[0] == Series("Requests", [])
    assert told.sums.used_share is None


@pytest.mark.parametrize(
    ("limits", "most", "budget"),
    [
        ([600, 400], 0, 800),
        ([600, 400], 350, 670),
        ([600, None], 0, None),
        ([600, None], 100, 200),
        ([], 100, None),
    ],
)
def test_budget_is_what_gitlab_allows_without_what_is_left_to_people(
    limits: list[int | None], most: int, budget: int | None
) -> None:
    assert budget_of(limits, 0.2, most) == budget
