"""Operations: one thing done to many jobs, in batches, each a transaction.

What is done to a batch and how far the operation is are written together: a crash in the middle
loses nothing, and nothing is done twice. Jobs are met in the order of their numbers, each once.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec
from sqlalchemy import Connection

from labtrawl.domain.job import OPEN_STATES, JobState
from labtrawl.errors import BadMessage, Conflict, Missing
from labtrawl.store import commands, jobs, tasks
from labtrawl.store.commands import Worked
from labtrawl.store.engine import NOW_MS
from labtrawl.store.pages.jobs import Count, count_jobs, next_matching
from labtrawl.store.pages.walks import Order, Target, target_of

BATCH = 200
# How far the jobs of a filter are counted before they are met: in an index, and one by one.
COUNTED = (1_000_000, 20_000)
MOST_IDS = 1000
TOO_MANY = f"at most {MOST_IDS} jobs can be picked one by one; use a filter for more"
# What a 32-bit column holds; nobody needs as much.
LARGEST_PRIORITY = 1000

GONE, NOT_PAUSED, TWIN = "gone", "not_paused", "twin"
ENDED = frozenset({JobState.FAILED, JobState.CANCELLED})


class Action(StrEnum):
    """What can be done to jobs."""

    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    PRIORITY = "priority"


# The states that an action is for; a job in another one is left as it is, and counted.
FOR: dict[Action, frozenset[JobState]] = {
    Action.RETRY: ENDED,
    Action.PAUSE: frozenset(OPEN_STATES),
    Action.RESUME: frozenset({JobState.HELD, JobState.RUNNING}),
    Action.CANCEL: frozenset(OPEN_STATES),
    Action.PRIORITY: frozenset(OPEN_STATES),
}
# Why a job in the right state was left all the same.
ELSE: dict[Action, str] = {
    Action.RETRY: TWIN,
    Action.PAUSE: GONE,
    Action.RESUME: NOT_PAUSED,
    Action.CANCEL: GONE,
    Action.PRIORITY: GONE,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """An operation as somebody asks for it; `value` is the priority, where that is the action."""

    action: Action
    target: Target
    because: str
    who: str
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a batch did: whose crawlers are to be told, and whether there is more to do."""

    action: Action
    works: Sequence[Worked]
    is_over: bool


def check(wish: Wish) -> None:
    """Raise BadMessage where a wish says too little or too much."""
    if (wish.action is Action.PRIORITY) == (wish.value is None):
        raise BadMessage("a priority is given where the action is priority, and only there")
    if wish.value is not None and abs(wish.value) > LARGEST_PRIORITY:
        raise BadMessage(f"a priority is a number from -{LARGEST_PRIORITY} to {LARGEST_PRIORITY}")
    if (wish.target.filter is None) == (not wish.target.ids):
        raise BadMessage("name the jobs by their numbers, or by a filter")
    if len(wish.target.ids) > MOST_IDS:
        raise BadMessage(TOO_MANY)
    if not wish.because:
        raise BadMessage("say why: a reason is kept with what is done")


def expected(connection: Connection, target: Target) -> Count:
    """Count the jobs that a target is about, as of now."""
    if target.filter is None:
        return Count(len(set(target.ids)))
    return count_jobs(connection, target.filter, limits=COUNTED)


def begin(connection: Connection, wish: Wish) -> int:
    """Write down an operation and return its number; `go_on` carries it out. Raises BadMessage."""
    check(wish)
    count = expected(connection, wish.target)
    row = connection.exec_driver_sql(
        "INSERT INTO operation (action, wanted, value, because, who, expected, expected_more,"
        " last_id, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?,"
        f" (SELECT COALESCE(MAX(id), 0) FROM job), {NOW_MS}, {NOW_MS}) RETURNING id",
        (
            wish.action,
            msgspec.json.encode(_sorted(wish.target)).decode(),
            wish.value,
            wish.because,
            wish.who,
            count.number,
            int(count.more),
        ),
    ).one()
    return int(row[0])


def _sorted(target: Target) -> Target:
    """Let ids come each once and in their order, and a filter without an order of its own."""
    if target.filter is None:
        return Target(None, tuple(sorted(set(target.ids))))
    return Target(replace(target.filter, order=Order.NEWEST))


def under_way(connection: Connection) -> list[int]:
    """Return the numbers of the operations that are not done, the oldest first."""
    rows = connection.exec_driver_sql(
        "SELECT id FROM operation WHERE state = 'running' ORDER BY id"
    ).all()
    return [row[0] for row in rows]


def stop(connection: Connection, operation_id: int, who: str) -> None:
    """End an operation where it is; Missing for none, Conflict for one that has ended."""
    changed = connection.exec_driver_sql(
        f"UPDATE operation SET state = 'stopped', ended_by = ?, ended_at = {NOW_MS},"
        f" updated_at = {NOW_MS} WHERE id = ? AND state = 'running'",
        (who, operation_id),
    ).rowcount
    if changed:
        return
    row = connection.exec_driver_sql(
        "SELECT state FROM operation WHERE id = ?", (operation_id,)
    ).first()
    if row is None:
        raise Missing(f"There is no operation {operation_id}.")
    raise Conflict(f"operation {operation_id} is {row[0]} already; there is nothing to stop")


UNDER_WAY = """
SELECT action, wanted, value, looked_id, last_id, skipped FROM operation
WHERE id = ? AND state = 'running'
"""


def go_on(connection: Connection, operation_id: int, size: int = BATCH) -> Progress | None:
    """Do the next batch, all of it or nothing; None where the operation has ended."""
    row = connection.exec_driver_sql(UNDER_WAY, (operation_id,)).first()
    if row is None:
        return None
    action, target = Action(row[0]), target_of(row[1])
    found, looked = _next(connection, target, row[3], size)
    met = [(job_id, state) for job_id, state in found if job_id <= row[4]]
    works, skipped = _do(connection, action, row[2], met)
    is_over = looked is None or looked >= row[4]
    counts = Counter(msgspec.json.decode(row[5], type=dict[str, int])) + skipped
    connection.exec_driver_sql(
        "UPDATE operation SET looked_id = ?, matching = matching + ?, done = done + ?, skipped = ?,"
        f" state = ?, ended_at = CASE WHEN CAST(? AS INTEGER) = 1 THEN {NOW_MS} END,"
        f" updated_at = {NOW_MS} WHERE id = ?",
        (
            row[4] if looked is None else looked,
            len(met),
            len(works),
            msgspec.json.encode(dict(sorted(counts.items()))).decode(),
            "completed" if is_over else "running",
            int(is_over),
            operation_id,
        ),
    )
    return Progress(action, [work for work in works if work.holder], is_over)


def _next(
    connection: Connection, target: Target, looked: int, size: int
) -> tuple[list[tuple[int, str]], int | None]:
    """Return (id, state) of the next jobs, and up to which job that is; None at the end."""
    if target.filter is not None:
        return next_matching(connection, target.filter, looked, size)
    ids = [each for each in target.ids if each > looked][:size]
    if not ids:
        return [], None
    marks = ", ".join("?" * len(ids))
    rows = connection.exec_driver_sql(
        f"SELECT id, state FROM job WHERE id IN ({marks})", tuple(ids)
    ).all()
    states: dict[int, str] = {row[0]: row[1] for row in rows}
    return [(each, states.get(each, GONE)) for each in ids], ids[-1]


def _do(
    connection: Connection, action: Action, value: int | None, met: Sequence[tuple[int, str]]
) -> tuple[list[Worked], Counter[str]]:
    """Do it to each job that it can be done to; count the others by cause."""
    works, skipped = [], Counter[str]()
    for job_id, state in met:
        if state not in FOR[action]:
            skipped[state] += 1
            continue
        try:
            works.append(_act(connection, action, value, job_id))
        except Conflict:
            skipped[ELSE[action]] += 1
    return works, skipped


def _act(connection: Connection, action: Action, value: int | None, job_id: int) -> Worked:
    if action is Action.RETRY:
        jobs.retry(connection, job_id)
        return Worked(job_id, "")
    if action is Action.PRIORITY:
        tasks.prioritise(connection, job_id, value or 0)
        return Worked(job_id, "")
    return COMMANDS[action](connection, job_id)


COMMANDS: dict[Action, commands.JobCommand] = {
    Action.PAUSE: commands.pause_job,
    Action.RESUME: commands.resume_job,
    Action.CANCEL: commands.cancel_job,
}
