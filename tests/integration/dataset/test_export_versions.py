"""Newest state and history: changes, re-reads, objects that went and came back, derived notes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.dataset.exported import Line, collected, instant, labtrawl, rows_of

DAY = [f"2026-03-0{day}T00:00:00.000Z" for day in range(1, 8)]
PICKED = (
    "id",
    "record_state",
    "title",
    "fetched_at",
    "first_seen_at",
    "last_changed_at",
    "gone_at",
)


def issue(number: int, title: str, at: str, **more: Any) -> Line:
    return Line("issues", number, {"id": number, "title": title}, at, **more)


def tombstone(resource: str, number: int | str, at: str, state: str = "gone") -> Line:
    return Line(resource, number, b"{}", at, state)


async def exported(tmp_path: Path, lines: list[Line], *more: str) -> Path:
    await collected(tmp_path, lines)
    out = tmp_path / "out"
    ran = labtrawl("export", "parquet", "--data-dir", tmp_path, "--out", out, *more)
    assert (ran.code, ran.err) == (0, "")
    return out


def picked(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


async def test_newest_and_history_of_changed_unchanged_gone_and_returned(tmp_path: Path) -> None:
    out = await exported(
        tmp_path,
        [
            issue(1, "a", DAY[0]),
            issue(2, "same", DAY[0]),
            issue(3, "went", DAY[0]),
            issue(4, "came back", DAY[0]),
            issue(1, "b", DAY[1]),
            issue(2, "same", DAY[2]),
            tombstone("issues", 3, DAY[2]),
            tombstone("issues", 4, DAY[2], "forbidden"),
            tombstone("issues", 3, DAY[3], "unknown"),
            issue(4, "came back", DAY[4]),
            tombstone("issues", 5, DAY[4]),
        ],
    )
    day = [instant(each) for each in DAY]
    assert picked(rows_of(out, "issues", "id"), *PICKED) == [
        (1, "present", "b", day[1], day[0], day[1], None),
        (2, "present", "same", day[2], day[0], day[0], None),
        (3, "unknown", "went", day[3], day[0], day[3], day[2]),
        (4, "present", "came back", day[4], day[0], day[4], None),
        (5, "gone", None, day[4], day[4], day[4], day[4]),
    ]
    history = rows_of(out, "issues_history", "id, valid_from")
    assert picked(history, "id", "record_state", "title", "valid_from", "valid_to") == [
        (1, "present", "a", day[0], day[1]),
        (1, "present", "b", day[1], None),
        (2, "present", "same", day[0], None),
        (3, "present", "went", day[0], day[2]),
        (3, "gone", None, day[2], day[3]),
        (3, "unknown", None, day[3], None),
        (4, "present", "came back", day[0], day[2]),
        (4, "forbidden", None, day[2], day[4]),
        (4, "present", "came back", day[4], None),
        (5, "gone", None, day[4], None),
    ]


async def test_clock_that_ran_ahead_keeps_nothing_old_newest(tmp_path: Path) -> None:
    """What was committed last is the newest; no version begins before the one before it."""

    def thread(at: str, *notes: tuple[int, str]) -> Line:
        told = [{"id": number, "body": text} for number, text in notes]
        return Line("issue_discussions", "d1", {"id": "d1", "notes": told}, at, kind="discussion")

    lines = [
        issue(1, "read by a clock ahead", DAY[5]),
        issue(2, "gone since", DAY[5]),
        thread(DAY[5], (1, "one"), (2, "two")),
        issue(1, "newer", DAY[1]),
        tombstone("issues", 2, DAY[1]),
        thread(DAY[1], (1, "one!")),
        issue(1, "newest", DAY[6]),
    ]
    out = await exported(tmp_path, lines)
    day = [instant(each) for each in DAY]
    assert picked(rows_of(out, "issues", "id"), *PICKED) == [
        (1, "present", "newest", day[6], day[1], day[6], None),
        (2, "gone", "gone since", day[5], day[1], day[5], day[5]),
    ]
    history = rows_of(out, "issues_history", "id, valid_from, title")
    assert picked(history, "id", "record_state", "title", "valid_from", "valid_to") == [
        (1, "present", "newer", day[5], day[6]),
        (1, "present", "read by a clock ahead", day[5], day[5]),
        (1, "present", "newest", day[6], None),
        (2, "present", "gone since", day[5], day[5]),
        (2, "gone", None, day[5], None),
    ]
    assert picked(rows_of(out, "notes", "id"), "id", "record_state", "text") == [
        (1, "present", "one!"),
        (2, "gone", "two"),
    ]
    lined = tmp_path / "lines"
    ran = labtrawl("export", "jsonl", "--data-dir", tmp_path, "--out", lined, "--no-history")
    assert (ran.code, ran.err) == (0, "")
    told = [json.loads(line) for line in (lined / "issues.jsonl").read_text().splitlines()]
    assert [(one["id"], one["body"].get("title"), one.get("state")) for one in told] == [
        (2, None, "gone"),
        (1, "newest", None),
    ]


async def test_note_that_its_discussion_no_longer_holds_is_gone(tmp_path: Path) -> None:
    def thread(at: str, *notes: tuple[int, str]) -> Line:
        told = [{"id": number, "body": text} for number, text in notes]
        return Line("issue_discussions", "d1", {"id": "d1", "notes": told}, at, kind="discussion")

    out = await exported(
        tmp_path,
        [
            thread(DAY[0], (1, "one"), (2, "two")),
            thread(DAY[1], (1, "one!"), (2, "two")),
            thread(DAY[2], (1, "one!")),
            Line("issue_discussions", "d1", b"{}", DAY[3], "gone", kind="discussion"),
        ],
    )
    day = [instant(each) for each in DAY]
    assert picked(rows_of(out, "notes", "id"), "id", "record_state", "text", "gone_at") == [
        (1, "gone", "one!", day[3]),
        (2, "gone", "two", day[2]),
    ]
    history = rows_of(out, "notes_history", "id, valid_from")
    assert picked(
        history, "id", "record_state", "text", "discussion_id", "valid_from", "valid_to"
    ) == [
        (1, "present", "one", "d1", day[0], day[1]),
        (1, "present", "one!", "d1", day[1], day[3]),
        (1, "gone", None, None, day[3], None),
        (2, "present", "two", "d1", day[0], day[2]),
        (2, "gone", None, None, day[2], None),
    ]


async def test_users_are_gathered_from_what_was_read(tmp_path: Path) -> None:
    def by(number: int, at: str, name: str) -> Line:
        author = {"id": 5, "username": "anna", "name": name}
        return Line("issues", number, {"id": number, "author": author}, at)

    out = await exported(
        tmp_path, [by(1, DAY[0], "Anna"), by(2, DAY[3], "Anna B"), by(3, DAY[1], "Anna")]
    )
    day = [instant(each) for each in DAY]
    assert picked(
        rows_of(out, "users"), "id", "username", "name", "fetched_at", "first_seen_at"
    ) == [(5, "anna", "Anna B", day[3], day[0])]
    assert picked(
        rows_of(out, "users_history", "valid_from"), "name", "valid_from", "valid_to"
    ) == [("Anna", day[0], day[3]), ("Anna B", day[3], None)]


async def test_no_history_leaves_the_histories_out(tmp_path: Path) -> None:
    out = await exported(tmp_path, [issue(1, "a", DAY[0])], "--no-history", "--resource", "issues")
    assert sorted(path.name for path in out.iterdir()) == [
        "issues.parquet",
        "labtrawl_meta.parquet",
        "users.parquet",
    ]


async def test_record_of_an_unknown_resource_is_kept(tmp_path: Path) -> None:
    out = await exported(tmp_path, [Line("boards", 7, {"id": 7, "x": [1]}, kind="board")])
    assert picked(rows_of(out, "other_records"), "resource", "id", "body") == [
        ("boards", "7", {"id": 7, "x": [1]})
    ]


WRONG = {
    "id": 1,
    "iid": "7",
    "title": 5,
    "confidential": "yes",
    "created_at": "yesterday",
    "updated_at": "2026-03-01T00:00:00",
    "due_date": "2026-02-30",
    "weight": 2**70,
    "labels": ["a", 1],
    "author": [1],
    "user_notes_count": 1.0,
}


async def test_wrong_types_are_null_counted_and_told(tmp_path: Path) -> None:
    await collected(tmp_path, [Line("issues", 1, WRONG), issue(2, "right", DAY[0])])
    ran = labtrawl("export", "parquet", "--data-dir", tmp_path, "--out", tmp_path / "out")
    names = (
        *("author_id", "author_username", "confidential", "created_at", "due_date", "iid"),
        *("labels", "title", "updated_at", "user_notes_count", "weight"),
    )
    told = "another type and are NULL; `body` keeps them"
    assert ran.err.splitlines() == [f"labtrawl: 1 of issues.{name} had {told}" for name in names]
    first = rows_of(tmp_path / "out", "issues", "id")[0]
    assert [first[name] for name in names] == [None] * len(names)
    assert first["body"]["created_at"] == "yesterday"


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b'{"id":1,"title":"a\\u0000b"}', "a\0b"),
        ('{"id":1,"title":"\u202eعمر"}'.encode(), "\u202eعمر"),
        (b'{"id":1,"title":"x","weight":1e999}', "x"),
        (b'{"id":1,"title":"' + b"y" * 3_000_000 + b'"}', "y" * 3_000_000),
    ],
    ids=["null character", "right to left", "endless number", "3 MB"],
)
async def test_odd_bodies_are_kept(tmp_path: Path, body: bytes, title: str) -> None:
    await collected(tmp_path, [Line("issues", 1, body)])
    ran = labtrawl("export", "parquet", "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert picked(rows_of(tmp_path / "out", "issues"), "title") == [(title,)]
