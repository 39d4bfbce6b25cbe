"""The four questions: answered by their own SQL, whether records are as they came or pseudonymised."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from labtrawl.dataset.insights import ANSWERS, INSIGHTS, Answers, Order, Part
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.dataset.policy_study import Study
from labtrawl.dataset.query import named_tables
from labtrawl.dataset.reckon import reckon
from labtrawl.store import manifest
from labtrawl.store.engine import database_path, open_store
from tests.integration.dataset.exported import Line, collected, labtrawl

ADA, BOB = {"id": 1, "username": "ada"}, {"id": 2, "username": "bob"}
KINDS = {"merge_request_discussions": "discussion"}
THREAD = "d" * 40
MONDAY, NEXT = "2026-03-02", "2026-03-09"


def week(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def lines(ada: dict[str, Any], bob: dict[str, Any]) -> list[Line]:
    def note(number: int, at: str, author: dict[str, Any], system: bool = False) -> dict[str, Any]:
        return {
            "id": number,
            "created_at": at,
            "author": author,
            "system": system,
            "noteable_type": "MergeRequest",
            "noteable_id": 1,
        }

    notes = [
        note(1, "2026-03-03T08:00:00Z", bob, system=True),
        note(2, "2026-03-03T09:00:00Z", ada),
        note(3, "2026-03-03T12:00:00Z", bob),
    ]
    opened = {"created_at": "2026-03-03T00:00:00Z", "author": ada}
    merged = {"id": 1, **opened, "merged_at": "2026-03-10T00:00:00Z", "state": "merged"}
    pipelines = [(1, "success"), (2, "success"), (3, "failed"), (4, "canceled")]
    return [
        Line("issues", 1, {"id": 1, **opened, "state": "opened"}),
        Line("merge_requests", 1, merged),
        Line("merge_requests", 2, {"id": 2, **opened, "state": "opened"}),
        Line("merge_request_discussions", THREAD, {"id": THREAD, "notes": notes}),
        *(
            Line("pipelines", number, {"id": number, "status": status, **opened})
            for number, status in pipelines
        ),
        # One of a clock that is far ahead.
        *(
            Line("commits", f"12/{sha * 40}", {"id": sha * 40, "committed_date": at})
            for sha, at in (("c", "2026-03-09T07:00:00Z"), ("f", "2106-03-09T07:00:00Z"))
        ),
    ]


EXPECTED = {
    "activity": {week(MONDAY): [0, 2, 1, 2], week(NEXT): [1, 0, 0, 0]},
    "time-to-merge": {week(NEXT): [168.0, 168.0, 1]},
    "first-response": {week(MONDAY): [12.0, None, 3, 1]},
    "pipeline-success": {week(MONDAY): [66.7, 2, 1, 1]},
}


async def reckoned(data_dir: Path, out: Path) -> Answers:
    """Order the answers as the website does."""
    async with open_store(database_path(data_dir)) as store:
        rows = await store.read(manifest.segments)
    parts = [Part(one.name, one.length, one.sha256, one.records) for one in rows]
    reckon(Order(str(dataset_root(data_dir)), parts, str(out)))
    return msgspec.json.decode((out / ANSWERS).read_bytes(), type=Answers)


def pseudonymised(line: Line) -> Line:
    """What the policy of a study keeps of a record."""
    kind = KINDS.get(line.resource, line.resource.removesuffix("s"))
    body = line.body if isinstance(line.body, bytes) else json.dumps(line.body).encode()
    fetched = FetchedRecord(line.id, kind, line.at, "/x", "ab" * 32, "19.3.0", body, line.state)
    kept = Study(b"k" * 32, "lab").shaped(fetched)
    return replace(line, id=kept.id, kind=kind, body=bytes(kept.body))


@pytest.mark.parametrize("policy", ["as_is", "study"])
async def test_answers_are_the_same_of_records_as_they_came_and_of_a_study(
    tmp_path: Path, policy: str
) -> None:
    came = lines(ADA, BOB)
    kept = came if policy == "as_is" else [pseudonymised(line) for line in came]
    assert policy == "as_is" or not any(b'"ada"' in line.body for line in kept)
    await collected(tmp_path, kept)
    out = tmp_path / "cache" / "insights" / "one"
    answers = await reckoned(tmp_path, out)
    found = {
        name: dict(zip(table.weeks, map(list, table.rows), strict=True))
        for name, table in answers.tables.items()
    }
    assert found == EXPECTED
    assert [path.name for path in out.parent.iterdir()] == ["one"]
    for insight in INSIGHTS:
        columns = duckdb.execute(f"DESCRIBE FROM '{out / insight.id}.parquet'").fetchall()
        assert [column[0] for column in columns] == ["week", *insight.lines, *insight.beside]


async def test_sql_that_is_shown_is_answered_by_the_command(tmp_path: Path) -> None:
    for insight in INSIGHTS:
        assert named_tables(insight.sql) == set(insight.tables)
        assert not set(insight.sql) & set('"$`\\!')  # the shell takes it as it stands
    await collected(tmp_path, lines(ADA, BOB))
    (response,) = (one for one in INSIGHTS if one.id == "first-response")
    ran = labtrawl("query", response.sql, "--data-dir", tmp_path, "--format", "json")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    answered = {week(row["week"]): [row[name] for name in list(row)[1:]] for row in rows}
    assert answered == EXPECTED["first-response"]
