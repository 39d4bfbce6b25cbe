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
from labtrawl.store.engine import database_path, open_snapshots
from labtrawl.store.migrate import migrate
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
