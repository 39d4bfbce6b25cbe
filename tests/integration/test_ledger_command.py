"""`labtrawl ledger` and `labtrawl dataset compact`, on a data folder as the website leaves it."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labtrawl.cli.main import labtrawl
from labtrawl.errors import ConfigError
from labtrawl.protocol.messages import LedgerReport, LedgerWindow
from labtrawl.store import care, gaps
from labtrawl.store.engine import Connection, database_path, open_snapshots
from labtrawl.store.migrate import migrate
from labtrawl.store.pages import overview
from labtrawl.store.pages.areas import AreaFilter, LedgerLine, area_detail, list_areas
from labtrawl.store.pages.coverage import coverage
from labtrawl.store.pages.keyset import Place
from labtrawl.store.secrets import create_key_file, key_path
from tests.integration.dispatch.visits import Site, project, wish
from tests.integration.faults.crawling import ONE, WORLD
from tests.integration.store.table import rows, store
from tests.integration.test_crawl_command import code_of, crawl
from tests.rig.served import served


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    """A project of which one list is whole, one has a gap, and one a gap that is explained."""
    migrate(database_path(tmp_path))
    create_key_file(key_path(tmp_path))
    async with store(database_path(tmp_path)) as db:
        site = Site(db)
        await site.begin()
        found = await site.claim("discovery")
        await site.discover(found, project())
        names = ("labels", "issues", "commits")
        await site.propose(found, *(wish(name) for name in names))
        await site.complete(found)
        await site.visit("labels", ledger=LedgerReport(expected=0))
        windows = [LedgerWindow(since="2026-01-01", until="2026-02-01", expected=3)]
        await site.visit("issues", ledger=LedgerReport(expected=3, windows=windows))
        empty = LedgerReport(reason="empty_repository", detail="no commit yet")
        await site.visit("commits", ledger=empty)
        await db.write(
            lambda c: c.exec_driver_sql(
                "DELETE FROM ledger WHERE resource NOT IN ('labels', 'issues', 'commits')"
            )
        )
    return tmp_path


WHY = "GitLab answered 403: 403 Forbidden (GET /api/v4/groups/3/projects)"
OPEN_DISCOVERIES = """SELECT a.full_path, j.state, j.mode FROM job AS j JOIN area AS a
  ON a.id = j.area_id WHERE j.resource = 'discovery' ORDER BY a.full_path"""


@pytest.fixture
async def half_seen(data_dir: Path) -> Path:
    """The same, where another account may not list its group's projects any more."""
    async with store(database_path(data_dir)) as db:
        site = Site(db)
        await site.begin(2)
        found = await site.claim("discovery")
        await site.report(found, status="failed", reason="forbidden", error=WHY, retryable=False)
    return data_dir


def run(data_dir: Path, *words: str) -> Result:
    arguments = [*words, "--data-dir", str(data_dir)]
    return CliRunner().invoke(labtrawl, arguments, standalone_mode=False)


def test_ledger_is_a_table_and_its_exit_code_says_whether_something_is_unexplained(
    data_dir: Path,
) -> None:
    told = run(data_dir, "ledger")
    assert told.stdout.splitlines() == [
        "area       resource  expected  collected  reason",
        "lab/ocean  commits                     0  empty_repository: no commit yet",
        "lab/ocean  issues           3          0  unexplained",
        "lab/ocean  labels           0          0",
    ]
    reasons = "1 empty repository, 1 unexplained"
    assert (told.stderr, told.return_value) == (f"3 lists, 2 with less: {reasons}\n", 1)
    whole = run(data_dir, "ledger", "--resource", "labels", "--area", "/lab/")
    assert (whole.stdout.count("\n"), whole.return_value) == (2, 0)
    gaps = run(data_dir, "ledger", "--gaps", "--json", "--area", "lab/ocean")
    lines = [json.loads(line) for line in gaps.stdout.splitlines()]
    assert [(line["resource"], line["is_unexplained"]) for line in lines] == [
        ("commits", False),
        ("issues", True),
    ]
    window = {"since": "2026-01-01", "until": "2026-02-01", "expected": 3, "collected": 0}
    assert lines[1]["windows"] == [window]
    none = run(data_dir, "ledger", "--area", "lab/ocean", "--gaps", "--resource", "labels")
    assert (none.stdout, none.stderr) == ("", "1 list, none with less\n")


@pytest.mark.parametrize("flags", [("--area", "lab/ocaen"), ("--resource", "isues")])
@pytest.mark.parametrize("more", [(), ("--gaps",), ("--refill",)])
def test_name_that_the_ledger_does_not_have_is_no_ledger_without_gaps(
    data_dir: Path, flags: tuple[str, str], more: tuple[str, ...]
) -> None:
    refused = run(data_dir, "ledger", *flags, *more)
    what = flags[0].removeprefix("--")
    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception) == (
        f"the ledger has no {what} {flags[1]!r}; labtrawl ledger lists all"
    )


def test_refill_opens_the_gap_and_is_written_down(data_dir: Path) -> None:
    told = run(data_dir, "ledger", "--refill")
    assert (told.stdout, told.return_value) == ("1 list is read again.\n", 0)
    with open_snapshots(database_path(data_dir)) as database:
        state = "SELECT state, mode FROM job WHERE resource = 'issues'"
        assert database.read_now(lambda c: rows(c, state)) == [("queued", "sweep")]
        noted = "SELECT action, target, outcome FROM audit"
        assert database.read_now(lambda c: rows(c, noted)) == [
            ("ledger refill", "everything", "1 opened")
        ]
    assert run(data_dir, "ledger", "--refill").stdout == (
        "Nothing is read again: no list has a gap that can be filled.\n"
    )


def test_discovery_that_failed_beside_areas_that_were_found_is_a_gap(half_seen: Path) -> None:
    told = run(half_seen, "ledger", "--gaps")
    assert told.stdout.splitlines() == [
        "area       resource   expected  collected  reason",
        f"@u2        discovery                    0  forbidden: {WHY}",
        "lab/ocean  commits                      0  empty_repository: no commit yet",
        "lab/ocean  issues            3          0  unexplained",
    ]
    reasons = "1 forbidden, 1 empty repository, 1 unexplained"
    assert (told.stderr, told.return_value) == (
        f"4 lists, 3 with less: {reasons}\n"
        "What @u2 may see was not listed to the end: groups and projects may be missing here. Mend"
        " what the reason says; labtrawl ledger --refill then looks again.\n",
        1,
    )
    explained = run(half_seen, "ledger", "--resource", "discovery", "--json")
    assert json.loads(explained.stdout) | {"area_id": 0} == {
        "area_id": 0,
        "kind": "user",
        "full_path": "@u2",
        "resource": "discovery",
        "expected": None,
        "collected": 0,
        "reason": "forbidden",
        "detail": WHY,
        "completed_at": None,
        "is_unexplained": False,
        "windows": [],
    }
    assert explained.return_value == 0


def test_refill_looks_again_for_what_an_account_may_see(half_seen: Path) -> None:
    told = run(half_seen, "ledger", "--refill", "--resource", "discovery")
    assert (told.stdout, told.return_value) == ("1 list is read again.\n", 0)
    with open_snapshots(database_path(half_seen)) as database:
        assert database.read_now(lambda c: rows(c, OPEN_DISCOVERIES)) == [
            ("@u1", "completed", "full"),
            ("@u2", "queued", "sweep"),
        ]
    none = run(half_seen, "ledger", "--resource", "discovery")
    assert (none.stdout, none.stderr) == ("", "No discovery has failed.\n")


def test_doctor_warns_of_a_discovery_that_failed_and_says_what_to_do(half_seen: Path) -> None:
    def told() -> dict[str, str]:
        done = run(half_seen, "doctor", "--offline", "--json")
        return next(c for c in json.loads(done.stdout)["checks"] if c["name"] == "discovery")

    check = {"name": "discovery", "title": "Discovery"}
    check["means"] = "What an account may see and was not listed is not collected."
    advice = (
        "mend what it says (give the account its right back, or take what is gone out of the"
        " scope); labtrawl ledger --refill then looks again"
    )
    warned = {"state": "warn", "says": f"@u2 on main: {WHY}", "advice": advice}
    assert told() == check | warned
    run(half_seen, "ledger", "--refill")
    assert told() == check | {"state": "ok", "says": "none has failed", "advice": ""}


async def test_status_of_a_stopped_folder_says_what_it_holds_and_changes_nothing(
    half_seen: Path,
) -> None:
    async with store(database_path(half_seen)) as db:
        told = "UPDATE visit SET last_at = 1700000000000"
        await db.write(lambda c: c.exec_driver_sql(told))
    before = database_path(half_seen).read_bytes()
    done = run(half_seen, "status")
    assert (done.return_value, done.stdout.splitlines()) == (
        3,
        [
            f"nothing runs on {half_seen}",
            "collected: 0 records, 5 of 5 lists, 0 requests",
            "jobs: 4 completed, 1 failed",
            "last crawled: 2023-11-14 22:13:20 UTC",
        ],
    )
    held = {"jobs": {"completed": 4, "failed": 1}, "areas": {"project": 1}, "records": 0}
    held |= {"requests": 0, "last_crawled_at": "2023-11-14T22:13:20Z"}
    told_json = json.loads(run(half_seen, "status", "--json").stdout)
    assert told_json == {"programs": [], "collected": held}
    assert database_path(half_seen).read_bytes() == before


async def test_coverage_and_page_of_an_account_show_its_discovery_that_failed(
    half_seen: Path,
) -> None:
    async with store(database_path(half_seen)) as db:
        page = await db.read(lambda c: coverage(c, AreaFilter("@u"), Place()))
        shown = {line.row.full_path: line.cells for line in page.rows}
        job_id = (await db.read(lambda c: rows(c, "SELECT MAX(id) FROM job")))[0][0]
        area_id = next(line.row.id for line in page.rows if line.cells)
        detail = await db.read(lambda c: area_detail(c, area_id))
    (line,) = detail.ledger
    why = ("discovery", None, "", 0, "forbidden", WHY, None)
    assert line == LedgerLine(*why, line.updated_at, job_id, "failed")
    assert shown == {"@u1": {}, "@u2": {"discovery": line}}


async def test_sums_count_what_failed_and_what_is_unexplained_until_it_is_read_again(
    half_seen: Path,
) -> None:
    def told(connection: Connection) -> tuple[object, ...]:
        listed = list_areas(connection, AreaFilter(), Place()).rows
        areas = {each.row.full_path: (each.gaps, each.unexplained) for each in listed}
        whole = overview.totals(connection)
        return areas, (whole.gaps, whole.unexplained), care.week(connection, 0).gaps

    async with store(database_path(half_seen)) as db:
        reasons = {"empty_repository": 1, "forbidden": 1, "unexplained": 1}
        areas = {"@u1": (0, 0), "@u2": (1, 0), "lab/ocean": (2, 1)}
        assert await db.read(told) == (areas, (3, 1), reasons)
        again = gaps.Wanted(resource="discovery")
        assert await db.write(lambda c: gaps.refill(c, again)) == 1
        reasons = {"empty_repository": 1, "unexplained": 1}
        assert await db.read(told) == (areas | {"@u2": (0, 0)}, (2, 1), reasons)


async def test_list_that_is_read_as_a_whole_now_is_not_unexplained_before_its_end(
    data_dir: Path,
) -> None:
    """What a reading commits counts at once, GitLab's number at its end."""
    again = gaps.Wanted(resource="labels")

    def told(connection: Connection) -> list[tuple[str, bool]]:
        found = gaps.rows(connection, gaps.Wanted(resource="labels"), gaps_only=True)
        return [(row.resource, row.is_unexplained) for row in found]

    async with store(database_path(data_dir)) as db:
        site = Site(db)
        await db.write(lambda c: c.exec_driver_sql("UPDATE ledger SET expected = 1, collected = 0"))
        assert await db.read(told) == [("labels", True)]
        assert await db.write(lambda c: gaps.refill(c, again)) == 1
        assert await db.read(told) == [("labels", True)]
        reading = await site.claim("labels")
        await site.commit(reading, 2)
        assert await db.read(told) == []
        await site.complete(reading, ledger=LedgerReport(expected=3))
        assert await db.read(told) == [("labels", True)]


def test_refill_of_a_folder_of_crawl_is_done_by_its_next_run(tmp_path: Path) -> None:
    """It has no key and no audit log."""
    flags, out = ("--resources", "labels"), tmp_path / "out"
    with served(WORLD) as there:
        assert code_of(crawl(tmp_path, there.url, there.token, *flags)) == 0
        moved = "UPDATE ledger SET reason = 'changed' WHERE area_id ="
        with contextlib.closing(sqlite3.connect(database_path(out))) as database, database:
            database.execute(f"{moved} (SELECT id FROM area WHERE full_path = ?)", (ONE.full_path,))
        asked = run(out, "ledger", "--refill", "--area", ONE.full_path)
        words = "1 list is read again by the next `labtrawl crawl` of this folder.\n"
        assert (asked.stdout, asked.return_value) == (words, 0)
        assert code_of(crawl(tmp_path, there.url, there.token, *flags)) == 0
    assert run(out, "ledger", "--gaps").stdout == ""


def test_compact_takes_the_folder_for_itself(data_dir: Path) -> None:
    assert run(data_dir, "dataset", "compact").stdout == (
        "There is nothing to do: no list has small segments that follow each other.\n"
    )
