"""The file of a database before anything opens it."""

import shutil
from pathlib import Path

import pytest

from labtrawl.cli.database_file import SQLITE, check_is_database, readable
from labtrawl.errors import ConfigError, StoreError


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "labtrawl.sqlite"
    check_is_database(path)
    for good in (b"", SQLITE + bytes(84)):
        path.write_bytes(good)
        check_is_database(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match=r"labtrawl\.sqlite is damaged, .*: restore a backup"):
        check_is_database(path)
    with pytest.raises(ConfigError, match="is damaged"):
        check_is_database(tmp_path)


def test_database_is_read_in_place_where_something_may_be_written_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labtrawl.sqlite"
    path.write_bytes(SQLITE)
    path.with_name("labtrawl.sqlite-wal").write_bytes(b"the newest")
    with readable(path) as place:
        assert place == path
    monkeypatch.setattr("labtrawl.cli.database_file.os.access", lambda _place, _mode: False)
    with readable(path) as place:
        assert place.parent != path.parent
        assert place.read_bytes() == SQLITE
        assert place.with_name("labtrawl.sqlite-wal").read_bytes() == b"the newest"
    assert not place.parent.exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "labtrawl.sqlite",
        "labtrawl.sqlite-wal",
    ]


def test_copy_of_what_is_written_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labtrawl.sqlite"
    path.write_bytes(SQLITE)
    copied = shutil.copyfile

    def copy(source: Path, place: Path) -> None:
        copied(source, place)
        path.with_name("labtrawl.sqlite-wal").write_bytes(b"the newest")

    monkeypatch.setattr("labtrawl.cli.database_file.os.access", lambda _place, _mode: False)
    monkeypatch.setattr("labtrawl.cli.database_file.shutil.copyfile", copy)
    with pytest.raises(StoreError, match="is being written by somebody else"), readable(path):
        pass
