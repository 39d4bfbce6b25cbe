"""Instants, rhythm, limits, faults and texts: small rules, each alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.sandbox import Fault, build_world, format_truth, truth
from labtrawl.sandbox.entities_planning import human_time, task_status
from labtrawl.sandbox.faults import Mischief
from labtrawl.sandbox.instants import instant_ms, instant_text, normal_text
from labtrawl.sandbox.limits import Throttle
from labtrawl.sandbox.rhythm import apportion


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_instant_text_and_back_is_the_same(ms: int) -> None:
    assert instant_ms(instant_text(ms)) == ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-11-20 17:01:53 UTC", "2019-11-20T17:01:53.000Z"),
        ("2026-01-02", "2026-01-02T00:00:00.000Z"),
        ("2014-08-06T08:35:52.000+02:00", "2014-08-06T06:35:52.000Z"),
    ],
)
def test_normal_text_reads_what_gitlab_writes(text: str, expected: str) -> None:
    assert normal_text(text) == expected


@given(
    st.integers(min_value=0, max_value=5_000),
    st.lists(st.floats(min_value=0.01, max_value=100), min_size=1, max_size=40),
)
def test_apportion_gives_the_whole_away(total: int, weights: list[float]) -> None:
    counts = apportion(total, weights)
    assert (sum(counts), min(counts) >= 0, len(counts)) == (total, True, len(weights))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, None), (5400, "1h 30m"), (36_000, "1d 2h"), (60, "1m")]
)
def test_human_time_counts_working_days(seconds: int, text: str | None) -> None:
    assert human_time(seconds) == text


def test_task_status_counts_boxes() -> None:
    assert task_status("- [x] a\n- [ ] b\n* [X] c\ntext [x]") == (3, 2)


def test_throttle_refuses_until_the_minute_is_over() -> None:
    now = [600.5]
    throttle = Throttle(1, lambda: now[0])
    _, first = throttle.count("ada")
    _, second = throttle.count("ada")
    _, other = throttle.count("bo")
    now[0] = 660.0
    _, later = throttle.count("ada")
    assert (first, other, later) == (None, None, None)
    assert second is not None
    assert dict(second.headers)[b"retry-after"] == b"60"


def test_mischief_strikes_as_often_as_told() -> None:
    mischief = Mischief((Fault(path="issues", kind="500", skip=1, every=2, times=2),))
    struck = [mischief.strike(f"/issues?page={n}") is not None for n in range(7)]
    assert struck == [False, False, True, False, True, False, False]


def test_format_truth_tells_counts_and_ids() -> None:
    found = truth(build_world("small", 1, {"issues": 3, "projects": 1}))
    assert f"{'issues':<32}{3:>9}" in format_truth(found).splitlines()
    ids = [str(cell.items[0].natural_id) for cell in found.cells if cell.items]
    assert all(f"    {number}" in format_truth(found, ids=True) for number in ids)
    assert '"issues": 3' in format_truth(found, as_json=True)
