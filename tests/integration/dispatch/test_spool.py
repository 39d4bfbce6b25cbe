"""The file between GitLab's answer and the database: sealed, for one account, and never given up."""

import shutil
import stat
from pathlib import Path

import pytest

from labtrawl.dispatch.spool import Spool, Spooled, keys_in
from labtrawl.errors import ConfigError
from labtrawl.sandbox import build_world, running
from labtrawl.store.secrets import KeyRing, create_key_file, key_path
from tests.integration.dispatch.signed_in import HandClock, house

PAIR = Spooled(1, 3, "CANARY-access", "CANARY-refresh", 20, 10)


def spool_in(data_dir: Path) -> Spool:
    path = key_path(data_dir)
    create_key_file(path)
    return Spool(path.parent, KeyRing(path))


def test_pair_lies_sealed_until_it_is_removed(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.put(PAIR)
    path = spool.folder / "renewal-1.spool"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"CANARY" not in path.read_bytes()
    assert (spool.accounts(), spool.take(1)) == ([1], PAIR)
    assert keys_in(spool.folder) == {spool.cipher().key_id}
    spool.remove(1)
    assert (spool.accounts(), spool.take(1)) == ([], None)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"enc:v2:", b"\x00" * 100])
def test_file_that_does_not_open_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    spool = spool_in(tmp_path)
    path = spool.folder / "renewal-1.spool"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not open"):
        spool.take(1)
    assert path.read_bytes() == content
    assert keys_in(spool.folder) == set()


def test_pair_of_another_account_does_not_open(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.put(PAIR)
    shutil.copy(spool.folder / "renewal-1.spool", spool.folder / "renewal-2.spool")
    with pytest.raises(ConfigError, match="does not open"):
        spool.take(2)


def test_file_that_cannot_be_read_keeps_every_key(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    (spool.folder / "renewal-1.spool").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        keys_in(spool.folder)
    with pytest.raises(ConfigError, match="does not open"):
        spool.take(1)


def test_file_that_goes_meanwhile_is_no_use_of_a_key(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    (spool.folder / "renewal-1.spool").symlink_to("gone")
    assert keys_in(spool.folder) == set()


async def test_broken_file_stops_no_website(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "renewal-1.spool").write_bytes(b"\xff")
    async with (
        running(build_world("small", 1, {}, [])) as server,
        house(tmp_path, server.url, HandClock().clock) as opened,
        opened.renewals.running(),
    ):
        (problem,) = opened.renewals.problems()
    assert "renewal-1.spool does not open" in problem
