"""What is done to many jobs at once, and what is left of each lease: for the machine of the job table."""

import json

from sqlalchemy import Connection, Engine

from labtrawl.domain.job import OPEN_STATES, JobState, may_move
from labtrawl.store import operations
from labtrawl.store.operations import Action, Wish
from labtrawl.store.pages.walks import JobFilter, Target


def states(connection: Connection) -> dict[int, JobState]:
    rows = connection.exec_driver_sql("SELECT id, state FROM job").all()
    return {row[0]: JobState(row[1]) for row in rows}


def do_to_all(engine: Engine, action: Action, size: int) -> set[int]:
    """Carry an operation on all jobs out by batches; return the jobs that were open before it.

    Each batch makes legal moves only, and every job is met once.
    """
    value = 5 if action is Action.PRIORITY else None
    wish = Wish(action, Target(JobFilter()), "because", "somebody", value)
    with engine.begin() as c:
        number = operations.begin(c, wish)
        open_ones = {each for each, state in states(c).items() if state in OPEN_STATES}
    is_over = False
    while not is_over:
        with engine.begin() as c:
            before = states(c)
            told = operations.go_on(c, number, size)
            assert told is not None
            is_over, after = told.is_over, states(c)
            moved = [each for each in after if after[each] != before[each]]
            assert all(may_move(before[each], after[each]) for each in moved)
    with engine.begin() as c:
        row = c.exec_driver_sql(
            "SELECT matching, done, skipped, state FROM operation WHERE id = ?", (number,)
        ).one()
    left = sum(json.loads(row[2]).values())
    assert (row[0], row[1] + left, row[3]) == (len(before), len(before), "completed")
    return open_ones


def check_attempts(connection: Connection) -> None:
    """Each lease is an attempt, and only the last one of a running job is open."""
    rows = connection.exec_driver_sql("SELECT id, fence, state, lease_holder FROM job").all()
    found = connection.exec_driver_sql(
        "SELECT job_id, fence, holder, ended_at FROM attempt ORDER BY 1, 2"
    ).all()
    for job_id, fence, state, holder in rows:
        attempts = [tuple(row[1:]) for row in found if row[0] == job_id]
        assert [one[0] for one in attempts] == list(range(max(1, fence - 9), fence + 1))
        is_open = [one[2] is None for one in attempts]
        assert is_open == [state == "running" and one[0] == fence for one in attempts]
        assert state != "running" or attempts[-1][1] == holder


def is_reachable(before: JobState, after: JobState) -> bool:
    """Each rule is one transaction and makes at most one move of a job."""
    return before == after or may_move(before, after)
