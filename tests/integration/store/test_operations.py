"""Operations on a real database: each job is met once, whatever happens in the middle."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from labtrawl.domain.credential import Secret
from labtrawl.domain.job import HoldReason, JobState
from labtrawl.errors import BadMessage, Conflict, Missing
from labtrawl.store import jobs, operations
from labtrawl.store.commands import Worked
from labtrawl.store.engine import Connection, Database, Store
from labtrawl.store.operations import Action, Wish
from labtrawl.store.pages.operations import one_operation
from labtrawl.store.pages.walks import JobFilter, Target
from tests.integration.store.table import claim, planned, rows, states, store

STATES = "SELECT state, COUNT(*) FROM job GROUP BY state ORDER BY state"
FAR = "SELECT state, expected, matching, done, skipped FROM operation ORDER BY id"
HURRIES = """
import asyncio, sys
from functools import partial
from pathlib import Path
from labtrawl.domain.credential import Secret
from labtrawl.store import operations
from labtrawl.store.engine import open_store

async def main(place):
    database = Secret(place) if "://" in place else Path(place)
    async with open_store(database) as store:
        while True:
            await store.write(partial(operations.go_on, operation_id=1, size=2))
            print("batch", flush=True)

asyncio.run(main(sys.argv[1]))
"""


def wish(action: Action, target: Target, value: int | None = None) -> Wish:
    return Wish(action, target, "a test", "somebody", value)


async def carry_out(opened: Store, asked: Wish, size: int = 7) -> list[Worked]:
    """Begin it, do all of it, and return whom it asks to be told."""
    number = await opened.write(lambda c: operations.begin(c, asked))
    return await finish(opened, number, size)


async def finish(opened: Store, number: int, size: int = 7) -> list[Worked]:
    works: list[Worked] = []
    go_on = partial(operations.go_on, operation_id=number, size=size)
    while (done := await opened.write(go_on)) is not None:
        works += done.works
    return works


def in_all_states(connection: Connection) -> None:
    """Twenty of each state but `running`, of which there are three."""
    planned(connection, 123)
    of = "UPDATE job SET state = '{}'{} WHERE id > {} AND id <= {}"
    for statement in (
        of.format("completed", ", finished_at = 1", 0, 20),
        of.format("failed", ", error_reason = 'forbidden', finished_at = 1", 20, 40),
        of.format("cancelled", ", finished_at = 1", 40, 60),
        of.format("held", ", hold_reason = 'paused'", 60, 80),
        of.format("held", ", hold_reason = 'disk'", 80, 100),
    ):
        connection.exec_driver_sql(statement)
    assert len(claim(connection, "a", limit=3)) == 3


@pytest.mark.parametrize(
    ("action", "far", "told"),
    [
        ("retry", (40, {"completed": 20, "held": 40, "queued": 20, "running": 3}), 0),
        ("pause", (63, {"cancelled": 20, "completed": 20, "failed": 20}), 3),
        ("resume", (20, {"cancelled": 20, "completed": 20, "failed": 20, "not_paused": 23,
                         "queued": 20}), 0),
        ("cancel", (63, {"cancelled": 20, "completed": 20, "failed": 20}), 3),
        ("priority", (63, {"cancelled": 20, "completed": 20, "failed": 20}), 0),
    ],
)  # fmt: skip
async def test_operation_does_what_is_legal_and_counts_the_rest_by_cause(
    database: Database, action: str, far: tuple[int, dict[str, int]], told: int
) -> None:
    async with store(database) as opened:
        await opened.write(in_all_states)
        value = 9 if action == "priority" else None
        works = await carry_out(opened, wish(Action(action), Target(JobFilter()), value))
        ((state, *counts, skipped),) = await opened.read(lambda c: rows(c, FAR))
        assert (state, counts, json.loads(skipped)) == ("completed", [123, 123, far[0]], far[1])
        assert [work.holder for work in works] == ["a"] * told


async def test_jobs_of_a_filter_are_met_and_no_others(database: Database) -> None:
    async with store(database) as opened:
        await opened.write(in_all_states)
        wanted = JobFilter(state=JobState.HELD, hold=HoldReason.PAUSED)
        await carry_out(opened, wish(Action.CANCEL, Target(wanted)))
        found = await opened.read(lambda c: rows(c, STATES))
        assert dict(found) == {
            "cancelled": 40, "completed": 20, "failed": 20, "held": 20, "queued": 20, "running": 3
        }  # fmt: skip


async def test_picked_jobs_are_done_and_those_that_are_not_there_counted(
    database: Database,
) -> None:
    async with store(database) as opened:
        made = await opened.write(lambda c: planned(c, 5))
        picked = Target(None, (made[3], made[1], made[3], 10**6))
        await carry_out(opened, wish(Action.PRIORITY, picked, 7), size=2)
        priorities = await opened.read(lambda c: rows(c, "SELECT priority FROM job ORDER BY id"))
        assert priorities == [(0,), (7,), (0,), (7,), (0,)]
        # What was picked and is newer than any job is none of those that there were.
        assert await opened.read(lambda c: rows(c, FAR)) == [("completed", 3, 2, 2, "{}")]


async def test_job_that_comes_to_match_again_or_is_made_later_is_left_alone(
    database: Database,
) -> None:
    def fail_again(connection: Connection) -> None:
        jobs.enqueue(connection, jobs.PlannedJob(1, "made_later"))
        for one in claim(connection, "a", "again", 99):
            jobs.fail(connection, one.job_id, "unavailable", "502")

    async with store(database) as opened:
        await opened.write(lambda c: planned(c, 10))
        await opened.write(fail_again)
        failed = Target(JobFilter(state=JobState.FAILED))
        number = await opened.write(lambda c: operations.begin(c, wish(Action.RETRY, failed)))
        await opened.write(partial(operations.go_on, operation_id=number, size=4))
        await opened.write(fail_again)
        await finish(opened, number)
        told = await opened.read(lambda c: one_operation(c, number))
        assert (told.expected, told.matching, told.done, told.skipped) == (11, 11, 11, {})


async def test_list_with_an_open_job_is_not_opened_twice(database: Database) -> None:
    def twice(connection: Connection) -> None:
        planned(connection, 1)
        connection.exec_driver_sql("UPDATE job SET state = 'cancelled', finished_at = 1")
        jobs.enqueue(connection, jobs.PlannedJob(1, "r0"))

    async with store(database) as opened:
        await opened.write(twice)
        await carry_out(opened, wish(Action.RETRY, Target(JobFilter(state=JobState.CANCELLED))))
        assert await opened.read(lambda c: rows(c, FAR)) == [("completed", 1, 1, 0, '{"twin":1}')]


async def test_stopped_operation_goes_no_further(database: Database) -> None:
    async with store(database) as opened:
        await opened.write(lambda c: planned(c, 10))
        asked = wish(Action.CANCEL, Target(JobFilter()))
        number = await opened.write(lambda c: operations.begin(c, asked))
        await opened.write(partial(operations.go_on, operation_id=number, size=4))
        await opened.write(lambda c: operations.stop(c, number, "someone else"))
        assert await opened.write(partial(operations.go_on, operation_id=number)) is None
        told = await opened.read(lambda c: one_operation(c, number))
        assert (told.state, told.done, told.ended_by) == ("stopped", 4, "someone else")
        assert (await opened.read(states)).count("cancelled") == 4
        with pytest.raises(Conflict, match="stopped already"):
            await opened.write(lambda c: operations.stop(c, number, "x"))
        with pytest.raises(Missing):
            await opened.write(lambda c: operations.stop(c, 99, "x"))


async def test_batch_that_breaks_is_undone_as_a_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(connection: Connection, job_id: int) -> Worked:
        if job_id == 3:
            raise ZeroDivisionError
        return before(connection, job_id)

    before = operations.COMMANDS[Action.CANCEL]
    async with store(database) as opened:
        await opened.write(lambda c: planned(c, 4))
        asked = wish(Action.CANCEL, Target(JobFilter()))
        number = await opened.write(lambda c: operations.begin(c, asked))
        monkeypatch.setitem(operations.COMMANDS, Action.CANCEL, breaks)
        with pytest.raises(ZeroDivisionError):
            await opened.write(partial(operations.go_on, operation_id=number))
        assert await opened.read(states) == ["queued"] * 4
        assert await opened.read(lambda c: rows(c, FAR)) == [("running", 4, 0, 0, "{}")]
        monkeypatch.undo()
        await finish(opened, number)
        assert await opened.read(states) == ["cancelled"] * 4


COUNTING: dict[str, tuple[str, ...]] = {
    "sqlite": (
        "CREATE TRIGGER counts AFTER UPDATE OF priority ON job"
        " BEGIN INSERT INTO met VALUES (NEW.id); END",
    ),
    "postgresql": (
        "CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO met VALUES (NEW.id); RETURN NULL; END $$",
        "CREATE TRIGGER counts AFTER UPDATE OF priority ON job"
        " FOR EACH ROW EXECUTE FUNCTION counts()",
    ),
}


async def test_killed_in_the_middle_loses_nothing_and_does_nothing_twice(
    database: Database,
) -> None:
    def prepare(connection: Connection) -> None:
        planned(connection, 60)
        connection.exec_driver_sql("CREATE TABLE met (id INTEGER NOT NULL)")
        for statement in COUNTING[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        operations.begin(connection, wish(Action.PRIORITY, Target(JobFilter()), 3))

    place = database.reveal() if isinstance(database, Secret) else str(database)
    async with store(database) as opened:
        await opened.write(prepare)
        hurrying = subprocess.Popen(  # noqa: ASYNC220 - it is killed in a moment
            [sys.executable, "-c", HURRIES, place], stdout=subprocess.PIPE, text=True
        )
        assert hurrying.stdout is not None
        told = [hurrying.stdout.readline() for _ in range(3)]
        hurrying.kill()
        hurrying.wait()
        hurrying.stdout.close()
        assert told == ["batch\n"] * 3
        done = (await opened.read(lambda c: one_operation(c, 1))).done
        assert done >= 6
        await finish(opened, 1)
        met = await opened.read(lambda c: rows(c, "SELECT id FROM met ORDER BY id"))
        assert met == [(number,) for number in range(1, 61)]
        assert await opened.read(lambda c: rows(c, FAR)) == [("completed", 60, 60, 60, "{}")]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"because": ""}, "say why"),
        ({"action": Action.PRIORITY}, "a priority is given"),
        ({"value": 5}, "a priority is given"),
        ({"action": Action.PRIORITY, "value": 10**6}, "from -1000 to 1000"),
        ({"target": Target()}, "name the jobs"),
        ({"target": Target(JobFilter(), (1,))}, "name the jobs"),
        ({"target": Target(None, tuple(range(1, 1002)))}, "at most 1000"),
    ],
)
def test_wish_that_says_too_little_or_too_much_is_refused(
    fields: dict[str, Any], words: str
) -> None:
    asked: dict[str, Any] = {
        "action": Action.CANCEL,
        "target": Target(None, (1,)),
        "because": "a test",
        "who": "somebody",
        "value": None,
    }
    with pytest.raises(BadMessage, match=words):
        operations.check(Wish(**(asked | fields)))


async def test_wishes_are_kept_as_they_were_asked_for(tmp_path: Path) -> None:
    wanted = JobFilter(JobState.HELD, "issues", "lab/", None, 1, HoldReason.DISK, "")
    async with store(tmp_path / "kept.sqlite") as opened:
        await opened.write(planned)
        asked = wish(Action.RESUME, Target(wanted))
        number = await opened.write(lambda c: operations.begin(c, asked))
        told = await opened.read(lambda c: one_operation(c, number))
        assert (told.target, told.action, told.because) == (Target(wanted), "resume", "a test")
        assert await opened.read(operations.under_way) == [number]
