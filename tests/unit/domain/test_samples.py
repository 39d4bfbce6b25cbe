"""Traffic, samples and what is foretold from them: sums are kept, percentiles are near, gaps stay gaps."""

import random

import pytest

from labtrawl.domain.fullness import full_at
from labtrawl.domain.sample import HOUR_MS, MINUTE_MS, Figures, Sample, fold, gathered
from labtrawl.domain.traffic import (
    EXACTNESS,
    NO_TRAFFIC,
    STEPS,
    Traffic,
    percentile,
    step_of,
    total,
)

GIB = 1 << 30


def latency(seconds: list[float]) -> dict[int, int]:
    counted: dict[int, int] = {}
    for one in seconds:
        counted[step_of(one)] = counted.get(step_of(one), 0) + 1
    return counted


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_percentile_is_within_its_step_of_the_true_one(share: float) -> None:
    rng = random.Random(5)
    seconds = sorted(rng.lognormvariate(-2.5, 0.8) for _ in range(5000))
    true = seconds[int(share * len(seconds)) - 1] * 1000
    found = percentile(latency(seconds), share)
    assert found is not None
    assert abs(found / true - 1) <= EXACTNESS


def test_latency_beyond_every_step_falls_into_the_last_and_below_into_the_first() -> None:
    assert [step_of(one) for one in (0.0, 0.001, 0.0011, 3600.0)] == [0, 0, 1, STEPS - 1]
    assert percentile({}, 0.5) is None


def test_traffic_adds_up_and_apart_again() -> None:
    first = Traffic(3, 1, 0, 300, {4: 2, 5: 1})
    second = Traffic(2, 0, 1, 100, {5: 1, 9: 1})
    both = total([first, second])
    assert both == Traffic(5, 1, 1, 400, {4: 2, 5: 2, 9: 1})
    assert both.since(first) == second
    assert both.since(NO_TRAFFIC) == both


def test_traffic_of_a_process_that_began_anew_counts_whole() -> None:
    assert Traffic(2, 0, 0, 10, {1: 2}).since(Traffic(900, 4, 4, 999, {1: 900})) == Traffic(
        2, 0, 0, 10, {1: 2}
    )


def test_folding_adds_counts_weighs_means_and_keeps_the_last() -> None:
    long = Figures(60, {"requests": 6}, {"issues": 1}, {"a": Traffic(6)}, {"jobs": 4}, {"free": 9})
    short = Figures(20, {"requests": 2}, {"notes": 1}, {"b": Traffic(2)}, {"jobs": 8}, {"free": 5})
    assert fold([long, short, Figures(0)]) == Figures(
        80,
        {"requests": 8},
        {"issues": 1, "notes": 1},
        {"a": Traffic(6), "b": Traffic(2)},
        {"jobs": 5},
        {"free": 5},
    )


def test_samples_gather_into_longer_whiles_and_leave_the_empty_ones_out() -> None:
    minutes = [Sample(at * MINUTE_MS, Figures(60, {"n": at})) for at in (1, 2, 130)]
    assert gathered(minutes, HOUR_MS) == [
        Sample(0, Figures(120, {"n": 3})),
        Sample(2 * HOUR_MS, Figures(60, {"n": 130})),
    ]


def falling(minutes: int, by_minute: int, noise: int = 0) -> list[tuple[int, int]]:
    rng = random.Random(1)
    return [
        (at * MINUTE_MS, 100 * GIB - at * by_minute + rng.randint(-noise, noise))
        for at in range(minutes)
    ]


def test_disk_that_falls_steadily_is_full_when_the_line_ends() -> None:
    # 100 GiB at 1 GiB a minute.
    assert full_at(falling(60, GIB)) == 100 * MINUTE_MS
    noisy = full_at(falling(60, GIB, noise=GIB))
    assert noisy is not None
    assert abs(noisy - 100 * MINUTE_MS) < 5 * MINUTE_MS


@pytest.mark.parametrize(
    "free",
    [
        [],
        falling(15, GIB),  # not watched long enough
        falling(60, 0),
        falling(60, -GIB),  # somebody tidies up
        falling(60, 1),  # bytes
        # Up and down by far more than it falls.
        [(at, size + (at // MINUTE_MS % 2) * 20 * GIB) for at, size in falling(60, 200 << 20)],
        falling(60, 150_000),  # in more than a year
    ],
)
def test_disk_that_does_not_fill_has_no_end(free: list[tuple[int, int]]) -> None:
    assert full_at(free) is None
