"""What is claimed before a job: the groups that wait, ready to be asked for many jobs. Pure.

A page of waiting jobs asks for each of them, so that the groups are put in order once.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from labtrawl.domain.learned import Queued


class Capped:
    """The sum of some numbers, none of them counted for more than a limit."""

    def __init__(self, numbers: Iterable[float]) -> None:
        self._sorted = sorted(numbers)
        self._sums = [0.0, *accumulate(self._sorted)]

    @property
    def whole(self) -> float:
        """The sum without a limit."""
        return self._sums[-1]

    def at_most(self, limit: float) -> float:
        """Return the sum with this limit."""
        below = bisect_left(self._sorted, limit)
        return self._sums[below] + limit * (len(self._sorted) - below)


class _Line:
    """The groups of one priority, and the work that each of them is."""

    def __init__(self, groups: Sequence[tuple[Queued, float]]) -> None:
        self._groups = sorted(groups, key=lambda one: one[0].last_id)
        self._lasts = [group.last_id for group, _ in self._groups]
        self._jobs = [0, *accumulate(group.jobs for group, _ in self._groups)]
        self._work = [0.0, *accumulate(work for _, work in self._groups)]
        # From each group on, the lowest number that is still to come.
        firsts = [group.first_id for group, _ in reversed(self._groups)]
        self._firsts = list(accumulate(firsts, min))[::-1]

    @property
    def whole(self) -> tuple[float, float]:
        """All jobs of it, and their work."""
        return self._jobs[-1], self._work[-1]

    def before(self, job_id: int) -> tuple[float, float]:
        """Return the jobs with lower numbers, and their work: of a group that goes on, a share."""
        at = bisect_left(self._lasts, job_id)
        jobs, work = float(self._jobs[at]), self._work[at]
        while at < len(self._groups) and self._firsts[at] < job_id:
            group, whole = self._groups[at]
            share = max(job_id - group.first_id, 0) / (group.last_id - group.first_id + 1)
            jobs, work, at = jobs + group.jobs * share, work + whole * share, at + 1
        return jobs, work


class Waiting:
    """All groups that are due: higher priority first, then lower numbers."""

    def __init__(self, groups: Iterable[tuple[Queued, float]]) -> None:
        of: dict[int, list[tuple[Queued, float]]] = {}
        for group, work in groups:
            of.setdefault(group.priority, []).append((group, work))
        self._lines = {priority: _Line(each) for priority, each in of.items()}

    def ahead(self, priority: int, job_id: int) -> tuple[float, float]:
        """Return how many jobs are claimed before a job, and how much work they are."""
        met = [line.whole for above, line in self._lines.items() if above > priority]
        if priority in self._lines:
            met.append(self._lines[priority].before(job_id))
        return sum(jobs for jobs, _ in met), sum(work for _, work in met)
