"""What waits before a job, asked of prepared sums, is what a walk over all groups finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.domain.ahead import Capped, Waiting
from labtrawl.domain.learned import Kind, Queued

ISSUES = Kind("issues", "full")
AMOUNTS = st.floats(0, 1_000_000)


@st.composite
def groups(draw: st.DrawFn) -> tuple[Queued, float]:
    first, jobs = draw(st.integers(1, 12)), draw(st.integers(1, 50))
    last = first + draw(st.integers(0, 8))
    return Queued(ISSUES, draw(st.integers(-1, 2)), first, last, jobs), draw(AMOUNTS)


def share_before(group: Queued, priority: int, job_id: int) -> float:
    """How much of a group is claimed before a job, its jobs lying evenly."""
    if group.priority != priority:
        return float(group.priority > priority)
    span = group.last_id - group.first_id + 1
    return min(max(job_id - group.first_id, 0), span) / span


@given(st.lists(groups(), max_size=15), st.integers(-2, 3))
def test_jobs_and_work_before_a_job_are_those_of_every_group_by_its_share(
    waiting: list[tuple[Queued, float]], priority: int
) -> None:
    for job_id in range(24):
        shares = [share_before(group, priority, job_id) for group, _ in waiting]
        jobs = sum(group.jobs * share for (group, _), share in zip(waiting, shares, strict=True))
        work = sum(work * share for (_, work), share in zip(waiting, shares, strict=True))
        assert Waiting(waiting).ahead(priority, job_id) == pytest.approx((jobs, work))


@given(st.lists(AMOUNTS, max_size=20), AMOUNTS)
def test_sum_with_a_limit_counts_no_number_for_more(numbers: list[float], limit: float) -> None:
    capped = Capped(numbers)
    assert capped.at_most(limit) == pytest.approx(sum(min(each, limit) for each in numbers))
    assert capped.whole == pytest.approx(sum(numbers))
