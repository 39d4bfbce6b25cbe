"""Folders that are damaged, of another version, or may not be written: each command says what to do."""

import contextlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labtrawl.cli.crawl_place import Bounds, Kept, Target, keep
from labtrawl.cli.main import execute, labtrawl
from labtrawl.errors import ConfigError, DiskFull, LabtrawlError, StoreError
from labtrawl.store.engine import database_path, open_engine
from labtrawl.store.migrate import migrate
from labtrawl.store.sqlite import sqlite_module
from tests.integration.faults.crawling import WORLD
from tests.integration.test_crawl_command import FEW, code_of, crawl
from tests.integration.test_crawl_command import refusal as refused
from tests.rig.served import served

FILE_CHECKS = ["database", "migrations", "disk", "keys"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of `labtrawl crawl` in which nothing was collected yet."""
    place = tmp_path / "lab"
    migrate(database_path(place))
    (place / "config" / "crawl.json").write_text("{}")
    return place


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(labtrawl, [*words, "--data-dir", str(folder)], standalone_mode=False)


def refusal(done: Result, kind: type[LabtrawlError]) -> str:
    assert isinstance(done.exception, kind), (done.output, done.exception)
    return str(done.exception)


def of_version(folder: Path, revision: str) -> None:
    engine = open_engine(database_path(folder), read_only=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))
    engine.dispose()


def told_by_doctor(folder: Path) -> dict[str, tuple[str, str]]:
    """What each check says, and its advice."""
    found = json.loads(run(folder, "doctor", "--json").stdout)["checks"]
    return {each["name"]: (each["says"], each["advice"]) for each in found}


def test_doctor_of_a_newer_database_says_to_update_labtrawl(folder: Path) -> None:
    of_version(folder, "9999")
    told = told_by_doctor(folder)
    assert [*told] == FILE_CHECKS
    assert told["migrations"] == (
        "it was written by a newer labtrawl",
        "update labtrawl to that version, or a newer one",
    )


def test_doctor_of_an_older_folder_of_a_crawl_says_to_crawl_again(folder: Path) -> None:
    of_version(folder, "0009")
    told = told_by_doctor(folder)
    assert [*told] == FILE_CHECKS
    assert told["migrations"] == (
        "the database is of another version",
        "run the same labtrawl crawl again, which brings it up to date",
    )


def test_doctor_of_a_damaged_database_says_so_and_nothing_that_it_cannot_know(
    folder: Path,
) -> None:
    database_path(folder).write_bytes(b"nonsense" * 1000)
    told = told_by_doctor(folder)
    assert [*told] == ["database", "disk", "keys"]
    assert told["database"] == (
        "it is damaged: file is not a database",
        "restore a backup (labtrawl restore --help tells how), or move the file away and collect"
        " anew",
    )


def test_doctor_of_a_folder_that_may_only_be_read_calls_no_database_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labtrawl.cli.database_file.os.access", lambda _place, _mode: False)
    # Root may write everywhere; a lock keeps it, too, from opening the file where it lies.
    with contextlib.closing(sqlite_module().connect(database_path(folder))) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        told = told_by_doctor(folder)
    assert (told["database"], told["migrations"]) == (
        ("whole, 0 MiB", ""),
        ("of this version of labtrawl", ""),
    )


def test_status_tells_why_nobody_can_say_what_is_collected(folder: Path) -> None:
    done = run(folder, "status")
    assert (done.return_value, done.stdout) == (
        3,
        f"nothing runs on {folder}\ncollected: nothing yet\n",
    )
    path = database_path(folder)
    path.write_bytes(b"nonsense" * 1000)
    assert run(folder, "status").stdout.splitlines()[1:] == [
        f"collected: nobody can say: {path} is damaged, it is no database any more: restore a"
        " backup of the folder, or move it away and collect anew; labtrawl doctor tells more"
    ]


def test_database_that_is_damaged_inside_is_told_with_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = database_path(folder)
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 40_000)
    assert execute(["ledger", "--data-dir", str(folder)]) == 2
    assert capsys.readouterr().err == (
        "labtrawl: the database refused: database disk image is malformed; labtrawl doctor says"
        " whether it is whole, and what to do\n"
    )


def test_damaged_word_of_what_a_folder_holds_is_told_with_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["crawl", "http://127.0.0.1:9", "--out", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"labtrawl: {folder}/config/crawl.json is damaged (Object missing required field `target`),"
        " and no good copy (crawl.copy.json) lies beside it: put it back from a backup of the"
        " folder, or collect anew into another folder with --out; what is here can be read and"
        " exported\n"
    )


@pytest.mark.parametrize("damage", ["", '{"target": {"url"', None])
def test_damaged_word_of_what_a_folder_holds_is_mended_by_the_same_command(
    tmp_path: Path, damage: str | None
) -> None:
    with served(WORLD) as gitlab:
        url, flags = f"{gitlab.url}/fjordlab/handbook", (*FEW, "--exclude", "fjordlab/old-*")
        assert code_of(crawl(tmp_path, url, gitlab.token, *flags)) == 0
        kept = tmp_path / "out" / "config" / "crawl.json"
        before = json.loads(kept.read_text())
        if damage is None:
            kept.unlink()
        else:
            kept.write_text(damage)
        other = f"{gitlab.url}/fjordlab"
        assert str(refused(crawl(tmp_path, other, gitlab.token, *flags))) == (
            f"{tmp_path}/out holds what was crawled from {url}: choose another folder with --out"
        )
        bounds = refused(
            crawl(tmp_path, url, gitlab.token, *FEW, "--exclude", "x", "--exclude", "y")
        )
        assert "was crawled with --exclude fjordlab/old-*: give the same again" in str(bounds)
        again = crawl(tmp_path, url, gitlab.token, *flags)
        assert code_of(again) == 0
        assert again.stderr == (
            f"{kept} was damaged or gone: it is put back from its copy; nothing is lost\n"
        )
        assert "\ncomplete" in again.stdout
        assert json.loads(kept.read_text()) == before
        assert crawl(tmp_path, url, gitlab.token, *flags).stderr == ""


@pytest.mark.parametrize("words", [("ledger", "--refill"), ("backup",)])
def test_folder_that_may_only_be_read_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    place = [str(tmp_path / "backups")] if words == ("backup",) else []
    monkeypatch.setattr("labtrawl.cli.database_file.os.access", lambda _place, _mode: False)
    assert refusal(run(folder, *words, *place), ConfigError) == (
        f"{database_path(folder)} may only be read by you, and this writes to it: run it as the"
        " user whose folder it is, where the disk can be written"
    )
    assert not (tmp_path / "backups").exists()


def test_backup_with_keys_of_a_folder_that_has_none_says_why(folder: Path, tmp_path: Path) -> None:
    flags = ("backup", str(tmp_path / "backups"), "--keys", str(tmp_path / "keys.json"))
    assert refusal(run(folder, *flags), ConfigError) == (
        f"{folder} is a folder of `labtrawl crawl`, which has no keys: leave --keys out"
    )
    absent = tmp_path / "absent"
    assert refusal(run(absent, *flags), ConfigError).startswith(
        f"there is no labtrawl in {absent};"
    )
    assert {each.name for each in tmp_path.iterdir()} == {"lab"}


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "unable to open database file",
            StoreError,
            "the database cannot be copied: unable to open database file; labtrawl doctor says"
            " whether it is whole and what to do; backups that are there stay as they are",
        ),
        (
            "database or disk is full",
            DiskFull,
            "the backup is not made: {place} is full; free some space there, or name another place",
        ),
    ],
)
def test_database_that_cannot_be_copied_is_told_with_what_to_do(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    kind: type[LabtrawlError],
    told: str,
) -> None:
    def refused(_database: Path, _target: Path) -> None:
        raise StoreError(f"the database cannot be copied: {said}")

    monkeypatch.setattr("labtrawl.cli.backing.rows.copy_database", refused)
    place = tmp_path / "backups"
    assert refusal(run(folder, "backup", str(place)), kind) == told.format(place=place)


@pytest.mark.parametrize(
    "words",
    [
        ("crawl", "http://127.0.0.1:9", "--out", ""),
        ("init", "--url", "http://127.0.0.1:9", "--data-dir", " "),
        ("backup", ""),
        ("dataset", "export", "parquet", "--force", "--out", ""),
    ],
)
def test_place_that_is_empty_is_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    """The variable of a script that is not set; it would be the working folder."""
    monkeypatch.chdir(tmp_path)
    assert execute(words) == 2
    told = capsys.readouterr().err
    assert ": it is empty; name a file or a folder (. is the folder here). `labtrawl " in told
    assert [*tmp_path.iterdir()] == []


def test_restored_folder_of_a_crawl_tells_the_command_that_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    target = Target("https://g.example/lab", "https://g.example", "lab", "18.5.0", 7, "ada")
    keep(folder, Kept(target, Bounds(include=("open",)), "mark", 0))
    assert run(folder, "backup", str(tmp_path / "backups")).exception is None
    done = CliRunner().invoke(
        labtrawl, ["restore", str(tmp_path / "backups"), str(tmp_path / "again")]
    )
    assert done.stdout.splitlines()[1:] == [
        "Go on with: labtrawl crawl https://g.example/lab --include open --out"
        f" '{tmp_path / 'again'}'"
    ]


def test_what_is_no_backup_is_told_with_what_would_be_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("nothing")
    wanted = (
        "name the folder that `labtrawl backup` wrote to, one of the folders in it, or its .tar"
    )
    for place, told in (
        (folder, f"there is no backup in {folder}: {wanted}"),
        (tmp_path / "file", f"{tmp_path / 'file'} is no backup (truncated header): {wanted}"),
    ):
        words = ["restore", str(place), str(tmp_path / "again")]
        done = CliRunner().invoke(labtrawl, words, standalone_mode=False)
        assert refusal(done, ConfigError) == told


def test_status_of_a_folder_that_is_not_there_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    slip = folder.parent / "lap"
    assert run(slip, "status").stdout == (
        f"nothing runs on {slip}, and there is no such folder; --data-dir names another one"
        " (here is lab)\n"
    )
    slip.write_text("")
    assert run(slip, "status").stdout == (
        f"nothing runs on {slip}, which is no folder; --data-dir names another one (here is lab)\n"
    )
