"""The hot statements find their rows by an index, at a hundred thousand jobs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labtrawl.store import jobs, leases, watches
from labtrawl.store.engine import Connection, open_engine
from labtrawl.store.migrate import migrate
from tests.integration.store.table import account, area

JOBS = 100_000


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    path = tmp_path_factory.mktemp("plans") / "labtrawl.sqlite"
    migrate(path)
    engine = open_engine(path, read_only=False)
    with engine.connect() as opened, opened.begin():
        _fill(opened)
        opened.exec_driver_sql("ANALYZE")
        yield opened
    engine.dispose()


def _fill(connection: Connection) -> None:
    """Of ten jobs seven are completed, one due, one put off, one running."""
    area_id = area(connection, 7, {account(connection, 1): 30})
    connection.exec_driver_sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO job (area_id, resource, state, run_after, lease_holder, lease_expires_at,"
        " account_id, priority, created_at, updated_at, change)"
        " SELECT ?, 'r' || i, CASE i % 10 WHEN 0 THEN 'queued' WHEN 1 THEN 'queued'"
        " WHEN 2 THEN 'running' ELSE 'completed' END, IIF(i % 10 = 1, i, NULL),"
        " IIF(i % 10 = 2, 'c' || (i % 7), NULL), IIF(i % 10 = 2, i, NULL),"
        " IIF(i % 10 = 2, 1, NULL), i % 6, 0, 0, i FROM n",
        (JOBS, area_id),
    )


def _plan(connection: Connection, statement: str, arguments: tuple[Any, ...]) -> str:
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", arguments).all()
    return "\n".join(row[3] for row in plan)


@pytest.mark.parametrize(
    ("name", "statement", "arguments", "index"),
    [
        ("claim", leases.CLAIMABLE, (None, None, 8), "ix_job_due"),
        (
            "due",
            "UPDATE job SET run_after = NULL WHERE run_after <= ? AND state = 'queued'",
            (5,),
            "ix_job_run_after",
        ),
        (
            "rescue",
            "UPDATE job SET state = 'queued' WHERE state = 'running' AND lease_expires_at < ?",
            (5,),
            "ix_job_lease_expires_at",
        ),
        (
            "change feed",
            "SELECT id FROM job WHERE change > ? ORDER BY change",
            (5,),
            "ix_job_change",
        ),
        ("next change", f"SELECT {jobs.NEXT_CHANGE}", (), "ix_job_change"),
        (
            "open job",
            "SELECT 1 FROM job WHERE area_id = ? AND resource = ? LIMIT 1",
            (1, "r5"),
            "ix_job_area_id",
        ),
        (
            "children",
            "SELECT id FROM job WHERE parent_id = ? ORDER BY id",
            (1,),
            "ix_job_parent_id",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_hot_statement_is_a_search_by_its_index(
    connection: Connection, name: str, statement: str, arguments: tuple[Any, ...], index: str
) -> None:
    plan = _plan(connection, statement, arguments)
    assert index in plan, name
    assert "USE TEMP B-TREE" not in plan
    assert not any(
        line.startswith("SCAN job") and "USING" not in line for line in plan.splitlines()
    ), plan


def test_look_for_what_needs_care_reads_no_whole_table(connection: Connection) -> None:
    plan = _plan(connection, leases.NEEDS_CARE, ())
    for line in plan.splitlines():
        assert not (line.startswith("SCAN job") and "USING" not in line), plan


def test_claimed_jobs_are_found_by_their_holder_without_reading_all(connection: Connection) -> None:
    plan = _plan(connection, leases.CLAIMED, ("c1", "x"))
    assert "SEARCH j USING" in plan, plan


def test_lists_that_nobody_tells_of_are_looked_for_from_the_watches_on(tmp_path: Path) -> None:
    """Also where SQLite knows nothing of the tables: a crawl of many projects begins so."""
    path = tmp_path / "labtrawl.sqlite"
    migrate(path)
    engine = open_engine(path, read_only=True)
    with engine.connect() as opened:
        asked = ("changed_issues", "issues", "changed_issues")
        plan = _plan(opened, watches.UNDRIVEN, asked)
    engine.dispose()
    lives = ["x", "c"]
    found = re.findall(r"^SEARCH (\w) USING", plan, re.MULTILINE)
    assert found == ["w", "g", *lives, "p", "v", "j", "w", "g", *lives], plan
    assert "SEARCH p USING INDEX ix_area_full_path (full_path>? AND full_path<?)" in plan
