import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection

from labtrawl.dataset.layout import SegmentPrefix, dataset_root
from labtrawl.dataset.sink import Segment
from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.store import accounts, areas, jobs, manifest
from labtrawl.store.engine import database_path, open_store
from labtrawl.store.migrate import migrate
from tests.integration.dataset.samples import gated, written

OLD, NEW = "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"
ANNA = b'{"id":1,"title":"a","author":{"id":5,"username":"anna","name":"Anna"}}'


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


def labtrawl(*arguments: str | Path) -> Ran:
    ran = subprocess.run(
        [sys.executable, "-m", "labtrawl", "dataset", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def commit(
    connection: Connection, instance_id: int, area: FoundArea, resource: str, row: Segment
) -> None:
    area_id = areas.record(connection, instance_id, area)
    job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, resource))
    assert job_id is not None
    new = manifest.ClosedSegment(row.name, row.length, row.sha256, row.records)
    manifest.commit(connection, job_id, 1, [new])


def fill(connection: Connection, rows: Sequence[tuple[FoundArea, str, Segment]]) -> None:
    account = accounts.VerifiedAccount("lab", "http://lab", "19.3.0", 5, "anna", ("api",), "enc")
    instance_id, _ = accounts.record(connection, account)
    for area, resource, row in rows:
        commit(connection, instance_id, area, resource, row)


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    """A group with labels, and two projects below it, one of them with two versions of an issue."""
    root = dataset_root(tmp_path)
    crew = FoundArea(AreaKind.GROUP, 3, "crew", "Crew")
    app = FoundArea(AreaKind.PROJECT, 12, "crew/app", "App")
    site = FoundArea(AreaKind.PROJECT, 13, "crew-site", "Site")
    issues = [gated(1, at=OLD, body=b'{"id":1}'), gated(1, at=NEW, body=ANNA), gated(2)]
    rows = [
        (crew, "labels", _segment(root, "group", 3, "labels", 7)),
        (app, "issues", written(root, issues, place=_place("project", 12, "issues"))),
        (site, "issues", _segment(root, "project", 13, "issues", 8)),
    ]
    migrate(database_path(tmp_path))
    async with open_store(database_path(tmp_path)) as store:
        await store.write(lambda connection: fill(connection, rows))
    return tmp_path


def _place(kind: str, gitlab_id: int, resource: str) -> SegmentPrefix:
    return SegmentPrefix(1, kind, gitlab_id, resource, 1, 1)


def _segment(root: Path, kind: str, gitlab_id: int, resource: str, number: int) -> Segment:
    return written(root, [gated(number)], place=_place(kind, gitlab_id, resource))


def test_ls_sums_up_by_resource(data_dir: Path) -> None:
    ran = labtrawl("ls", "--data-dir", data_dir)
    lines = [line.split()[:4] for line in ran.out.splitlines()]
    assert (ran.code, ran.err, lines) == (
        0,
        "",
        [
            ["resource", "areas", "segments", "records"],
            ["issues", "2", "2", "4"],
            ["labels", "1", "1", "1"],
            ["all", "3", "3", "5"],
        ],
    )


def test_ls_by_area_as_json_gives_a_line_for_each(data_dir: Path) -> None:
    ran = labtrawl("ls", "--areas", "--json", "--data-dir", data_dir)
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert [(each["area"], each["resource"], each["records"]) for each in found] == [
        ("crew", "labels", 1),
        ("crew-site", "issues", 1),
        ("crew/app", "issues", 3),
    ]
    assert set(found[0]) == {"area", "resource", "areas", "segments", "records", "bytes"}


def test_cat_gives_the_newest_state_of_each_object(data_dir: Path) -> None:
    ran = labtrawl("cat", "--resource", "issues", "--area", "crew", "--data-dir", data_dir)
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert [(each["id"], each["fetched_at"]) for each in found] == [
        (1, NEW),
        (2, "2026-03-04T05:06:07.089Z"),
    ]
    assert list(found[0]) == [
        *("id", "kind", "fetched_at", "request", "page_sha256", "gitlab_version", "policy"),
        "body",
    ]


def test_cat_history_of_bodies_gives_every_version_as_gitlab_sent_it(data_dir: Path) -> None:
    ran = labtrawl("cat", "--history", "--bodies", "--area", "crew/app", "--data-dir", data_dir)
    assert ran.out.encode().splitlines()[:2] == [b'{"id":1}', ANNA]


def test_cat_of_an_unknown_resource_names_those_there_are(data_dir: Path) -> None:
    assert labtrawl("cat", "--resource", "isues", "--data-dir", data_dir) == Ran(
        2, "", "labtrawl: nothing of 'isues' was collected; there is: issues, labels\n"
    )


def test_cat_of_an_unknown_area_says_how_to_list_them(data_dir: Path) -> None:
    assert labtrawl("cat", "--area", "cre", "--data-dir", data_dir) == Ran(
        2,
        "",
        "labtrawl: nothing of the area 'cre' was collected; `labtrawl dataset ls --areas` lists"
        " them\n",
    )


@pytest.fixture
async def many_records(data_dir: Path) -> Path:
    """More than any pipe or buffer holds."""
    root = dataset_root(data_dir)
    tags = [gated(number, body=b'{"x":"' + b"y" * 900 + b'"}') for number in range(3000)]
    area = FoundArea(AreaKind.PROJECT, 12, "crew/app", "App")
    row = written(root, tags, place=_place("project", 12, "tags"))
    async with open_store(database_path(data_dir)) as store:
        await store.write(lambda connection: commit(connection, 1, area, "tags", row))
    return data_dir


def test_cat_into_head_ends_quietly(many_records: Path) -> None:
    command = f"'{sys.executable}' -m labtrawl dataset cat --data-dir '{many_records}' | head -n 2"
    piped = ["bash", "-c", f"set -o pipefail; {command}"]
    ran = subprocess.run(piped, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr, len(ran.stdout.splitlines())) == (0, "", 2)


def test_users_lists_who_was_seen_once(data_dir: Path) -> None:
    ran = labtrawl("users", "--data-dir", data_dir)
    assert [json.loads(line) for line in ran.out.splitlines()] == [
        {"instance_id": 1, "id": 5, "username": "anna", "name": "Anna", "seen_at": NEW}
    ]


def test_verify_of_a_whole_dataset_says_so(data_dir: Path) -> None:
    ran = labtrawl("verify", "--data-dir", data_dir)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("whole: 3 segments, 5 records, ")


def test_verify_of_a_damaged_dataset_names_each_fault_and_exits_1(data_dir: Path) -> None:
    root = dataset_root(data_dir)
    issues, labels = "i1/project-12/issues/j1-f1-000001", "i1/group-3/labels/j1-f1-000001"
    (root / f"{labels}.jsonl.zst").unlink()
    with (root / f"{issues}.jsonl.zst").open("r+b") as file:
        file.seek(10)
        file.write(b"\x00\x00")
    (root / "notes.txt").touch()
    ran = labtrawl("verify", "--data-dir", data_dir)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines()[:2] == [
        f"{issues}.jsonl.zst has other bytes than were committed (sha256 differs)",
        f"{labels}.jsonl.zst is missing",
    ]
    assert ran.out.splitlines()[3:] == [
        "not committed: 1 file (being written now, or removed at the next start)",
        "damaged: 2 segments",
    ]


@pytest.mark.parametrize("command", ["ls", "cat", "users", "verify"])
def test_command_on_a_folder_without_dataset_says_what_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert labtrawl(command, "--data-dir", tmp_path) == Ran(
        2,
        "",
        f"labtrawl: {tmp_path} holds no dataset yet; `labtrawl crawl`, `labtrawl start` or `make"
        " demo` fills one, --data-dir names another folder\n",
    )
