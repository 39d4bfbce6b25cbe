"""Backups while a crawl runs, restores after everything is gone, and kills in the middle of both."""

import asyncio
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labtrawl import config
from labtrawl.cli.backing import Made, make_backup
from labtrawl.cli.chests import DRAFT, backups_in, open_chest
from labtrawl.cli.key_file import keep_keys, read_kept
from labtrawl.cli.restoring import check_backup, restore
from labtrawl.cli.study import study_key_path
from labtrawl.config import Settings
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.verify import Verification, verify
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Conflict
from labtrawl.sandbox import running
from labtrawl.store import audit, backup, keyring, manifest
from labtrawl.store.engine import Store, database_path, open_snapshots, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import account_place, create_key_file, key_path, open_cipher
from tests.integration.dataset.samples import gated, written
from tests.integration.faults.crawling import WORLD
from tests.integration.store.table import account, area, job
from tests.rig.compare import collected_items, expected_items
from tests.rig.crawl import Rig, rig

PLACE = account_place("http://gitlab", 1)
AT = datetime(2026, 11, 22, 2, tzinfo=UTC)


def whole(data_dir: Path) -> Verification:
    """What `labtrawl dataset verify` finds."""
    with open_snapshots(database_path(data_dir)) as database:
        rows = database.read_now(manifest.segments)
    return verify(dataset_root(data_dir), rows)


def there(folder: Path) -> list[str]:
    """What lies in a folder, hidden or not."""
    return sorted(each.name for each in folder.iterdir())


def settings_of(data_dir: Path) -> Settings:
    return config.defaults(data_dir)


async def some_segments(website: Rig, number: int) -> None:
    """Wait until so many segments are committed."""
    async with asyncio.timeout(60):
        while True:
            ticket = website.store.changes.ticket()
            if len(await website.store.read(manifest.segments)) >= number:
                return
            await ticket.wait()


async def test_crawl_goes_on_from_a_backup_made_while_it_ran(tmp_path: Path) -> None:
    data_dir, place = tmp_path / "data", tmp_path / "backups"
    async with running(WORLD) as server:
        async with rig(data_dir, server.url) as website:
            await website.plan(WORLD)
            async with website.crawler(jobs=1):
                await some_segments(website, 3)
                early = await make_backup(settings_of(data_dir), website.store, place)
                await website.finished()
        before = await asyncio.to_thread(whole, data_dir)
        shutil.rmtree(data_dir)
        done = await asyncio.to_thread(restore, place, data_dir, None)
        assert done.segments == early.segments
        restored = await asyncio.to_thread(whole, data_dir)
        assert (restored.whole, restored.strays) == (True, ())
        assert 3 <= restored.segments < before.segments
        async with rig(data_dir, server.url, lease_seconds=1.0) as website:
            async with website.crawler():
                await website.finished()
            rows = list(await website.store.read(manifest.segments))
            items, twice = collected_items(dataset_root(data_dir), rows)
            assert items == expected_items(server.truth())
            assert twice == []
    assert (await asyncio.to_thread(whole, data_dir)).records == before.records


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A data folder with two segments, keys and an audit log."""
    data_dir = tmp_path / "data"
    create_key_file(key_path(data_dir))
    migrate(database_path(data_dir))
    async with open_store(database_path(data_dir)) as opened:
        await opened.write(lambda c: job(c, area(c, 7, {account(c, 1): 30})))
        await add_segment(opened, data_dir, 1)
        await add_segment(opened, data_dir, 2)
        yield opened


async def add_segment(store: Store, data_dir: Path, number: int) -> None:
    row = written(dataset_root(data_dir), [gated(number)], number=number)
    closed = manifest.ClosedSegment(row.name, row.length, row.sha256, row.records)
    await store.write(lambda c: manifest.commit(c, 1, 1, [closed]))


async def backed_up(
    store: Store, tmp_path: Path, hour: int, to: str = "b", keep: int | None = None
) -> Made:
    settings = settings_of(tmp_path / "data")
    return await make_backup(settings, store, tmp_path / to, keep, AT.replace(hour=hour))


async def test_second_backup_copies_what_is_new_and_old_ones_go(
    store: Store, tmp_path: Path
) -> None:
    first = await backed_up(store, tmp_path, 1)
    await add_segment(store, tmp_path / "data", 3)
    second = await backed_up(store, tmp_path, 2)
    names = [each.name for each in await store.read(manifest.segments)]
    assert (first.segments, second.segments) == (2, 3)
    old, kept = first.place / "dataset" / names[0], second.place / "dataset" / names[0]
    assert old.stat().st_ino == kept.stat().st_ino
    database = (second.place / "config" / "labtrawl.sqlite").stat().st_size
    new = (second.place / "dataset" / names[2]).stat().st_size
    assert second.copied == database + new
    third = await backed_up(store, tmp_path, 3, keep=2)
    assert (third.removed, backups_in(tmp_path / "b")) == (1, [second.place, third.place])
    assert check_backup(tmp_path / "b").made_at == "2026-11-22T03:00:00+00:00"
    assert [each.state for each in await store.read(lambda c: backup.newest(c, 9))] == ["done"] * 3


@pytest.mark.parametrize("to", ["b", "one.tar"])
async def test_restored_folder_is_the_same_and_its_tokens_open_with_the_keys(
    store: Store, tmp_path: Path, to: str
) -> None:
    data_dir, keys = tmp_path / "data", tmp_path / "stick" / "keys.json"
    keys.parent.mkdir()
    cipher = open_cipher(key_path(data_dir))
    text = cipher.encrypt(Secret("glpat-1"), PLACE)
    entry = audit.Entry("none", "me", "none", "act", "target", "done")
    await store.write(lambda c: audit.append(c, cipher, entry))
    assert keep_keys(data_dir, keys, tmp_path / to) == 1
    keyring.replace_key(key_path(data_dir))
    assert keep_keys(data_dir, keys, tmp_path / to) == 2
    await backed_up(store, tmp_path, 1, to)
    target = tmp_path / "restored"
    target.mkdir()
    done = await asyncio.to_thread(restore, tmp_path / to, target, keys)
    assert (done.has_keys, done.segments, done.dropped) == (True, 2, ())
    assert whole(target) == whole(data_dir)
    ring = open_cipher(key_path(target))
    assert ring.key_id == read_kept(keys).current
    assert ring.decrypt(text, PLACE).reveal() == "glpat-1"
    async with open_store(database_path(target)) as opened:
        remembered = audit.remembered_in(audit.head_path(target))
        verdict = await opened.read(lambda c: audit.verify(c, ring, remembered))
        assert (verdict.rows, verdict.problem) == (1, "")
        (row,) = await opened.read(lambda c: backup.newest(c, 9))
        assert (row.state, row.message) == ("done", "this data folder was restored from it")
    others = [each for each in target.rglob("*") if each.stat().st_mode & 0o077]
    assert [each for each in others if each.is_file()] == []


async def test_key_of_a_study_is_with_the_keys_and_never_in_the_backup(
    store: Store, tmp_path: Path
) -> None:
    data_dir, keys = tmp_path / "data", tmp_path / "keys.json"
    create_key_file(study_key_path(data_dir))
    keep_keys(data_dir, keys, tmp_path / "b")
    made = await backed_up(store, tmp_path, 1)
    assert [each for each in made.place.rglob("*") if "key" in each.name] == []
    await asyncio.to_thread(restore, tmp_path / "b", tmp_path / "restored", keys)
    key = study_key_path(data_dir).read_bytes()
    assert study_key_path(tmp_path / "restored").read_bytes() == key
    study_key_path(data_dir).unlink()
    create_key_file(study_key_path(data_dir))
    with pytest.raises(ConfigError, match="of another study"):
        keep_keys(data_dir, keys, tmp_path / "b")


async def test_settings_come_along_but_for_the_places_of_the_old_folder(
    store: Store, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    file = data_dir / "labtrawl.toml"
    file.write_text(f'# mine\ndata_dir = "{data_dir}"\ncontact = "me@a.org"\n')
    settings = config.load(file, {}, {})
    await make_backup(settings, store, tmp_path / "b", now=AT)
    done = await asyncio.to_thread(restore, tmp_path / "b", tmp_path / "other", None)
    assert done.dropped == ("data_dir",)
    text = (tmp_path / "other" / "labtrawl.toml").read_text()
    assert tomllib.loads(text) == {"contact": "me@a.org"}
    assert text.startswith("# mine")
    shutil.rmtree(data_dir)
    assert (await asyncio.to_thread(restore, tmp_path / "b", data_dir, None)).dropped == ()


async def damaged(store: Store, tmp_path: Path) -> Path:
    """A whole backup, for a test to damage."""
    return (await backed_up(store, tmp_path, 1)).place


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda place: next(place.rglob("*.zst")).write_bytes(b"x"), "other bytes than its list"),
        (lambda place: next(place.rglob("*.zst")).unlink(), "cannot be read"),
        (lambda place: _shorten(place / "config" / "labtrawl.sqlite"), "other bytes"),
        (lambda place: _edit(place, ".jsonl.zst", ".jsonl.zst.."), "no file of a data folder"),
        (lambda place: _edit(place, "dataset/i", "../../i"), "no file of a data folder"),
        (lambda place: _edit(place, '"format": 1', '"format": 9'), "another labtrawl"),
        (lambda place: _edit(place, "{", "["), "its list is damaged"),
    ],
)
async def test_damaged_backup_is_refused_and_nothing_is_left(
    store: Store, tmp_path: Path, damage: object, told: str
) -> None:
    place = await damaged(store, tmp_path)
    assert callable(damage)
    damage(place)
    for work in (lambda: check_backup(place), lambda: restore(place, tmp_path / "t", None)):
        with pytest.raises(ConfigError, match=told):
            await asyncio.to_thread(work)
    assert there(tmp_path) == ["b", "data"]


async def test_hostile_backup_leads_nowhere(store: Store, tmp_path: Path) -> None:
    place = (await backed_up(store, tmp_path, 1)).place
    outside = tmp_path / "outside"
    segment = next(place.rglob("*.zst"))
    segment.rename(outside)
    segment.symlink_to(outside)
    with pytest.raises(ConfigError, match="leads out of"):
        await asyncio.to_thread(restore, place, tmp_path / "t", None)
    tar = tmp_path / "evil.tar"
    with tarfile.open(tar, "w") as file:
        file.add(place / "backup.json", "backup.json")
        linked = tarfile.TarInfo("config/labtrawl.sqlite")
        linked.type, linked.linkname = tarfile.SYMTYPE, str(outside)
        file.addfile(linked)
        climbing = tarfile.TarInfo("../../climbed")
        file.addfile(climbing)
    with pytest.raises(ConfigError, match="is not in"):
        await asyncio.to_thread(restore, tar, tmp_path / "t", None)
    assert there(tmp_path) == ["b", "data", "evil.tar", "outside"]


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def _edit(place: Path, old: str, new: str) -> None:
    path = place / "backup.json"
    path.write_text(path.read_text().replace(old, new, 1))


async def test_places_that_would_lose_something_are_refused(store: Store, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with pytest.raises(ConfigError, match="inside the data folder"):
        await backed_up(store, tmp_path, 1, "data/b")
    await backed_up(store, tmp_path, 1)
    with pytest.raises(ConfigError, match="never written over"):
        await backed_up(store, tmp_path, 1)
    with pytest.raises(ConfigError, match="is not empty"):
        await asyncio.to_thread(restore, tmp_path / "b", data_dir, None)
    with pytest.raises(ConfigError, match="lies where the backup is"):
        keep_keys(data_dir, tmp_path / "b" / "keys.json", tmp_path / "b")
    with pytest.raises(ConfigError, match=r"there is no folder \S+/stick; make it first"):
        keep_keys(data_dir, tmp_path / "stick" / "keys.json", tmp_path / "b")
    with pytest.raises(ConfigError, match="no backup in"), open_chest(data_dir):
        pass
    (tmp_path / "keys.json").write_text('{"format": 1, "current": "a", "keys": {}, "derived": {}}')
    with pytest.raises(ConfigError, match="holds no keys"):
        keep_keys(data_dir, tmp_path / "keys.json", tmp_path / "b")
    row = (await store.read(manifest.segments))[0]
    (dataset_root(data_dir) / row.name).unlink()
    (await asyncio.to_thread(shutil.rmtree, tmp_path / "b"))
    with pytest.raises(ConfigError, match="labtrawl dataset verify"):
        await backed_up(store, tmp_path, 4)
    newest = (await store.read(lambda c: backup.newest(c, 1)))[0]
    assert (newest.state, "is missing" in newest.message) == ("failed", True)


async def test_stop_in_the_middle_ends_a_backup_at_once_and_leaves_none(
    store: Store, tmp_path: Path
) -> None:
    asked: list[bool] = []

    def is_stopped() -> bool:
        asked.append(len(asked) > 0)
        return asked[-1]

    settings = settings_of(tmp_path / "data")
    with pytest.raises(Conflict, match="begins anew"):
        await make_backup(settings, store, tmp_path / "b", is_stopped=is_stopped)
    assert (asked, there(tmp_path / "b")) == ([False, True], [])
    path = database_path(tmp_path / "data")
    assert backup.fault_of(path, lambda: True) == ""
    path.with_name("x").write_bytes(b"SQLite format 3\0" + bytes(8192))
    assert backup.fault_of(path.with_name("x")) != ""


async def test_two_at_a_time_are_one_too_many(store: Store, tmp_path: Path) -> None:
    from labtrawl.cli.chests import alone_in

    (tmp_path / "b").mkdir()
    first = await store.write(lambda c: backup.begin(c, str(tmp_path / "b")))
    with alone_in(tmp_path / "b"), pytest.raises(Conflict, match="another backup"):
        await backed_up(store, tmp_path, 1)
    second, running = await store.read(lambda c: backup.newest(c, 9))
    assert (second.state, "another backup" in second.message) == ("failed", True)
    assert (running.id, running.state, running.message) == (first, "running", "")


async def test_backup_that_ends_after_another_began_elsewhere_is_whole(
    store: Store, tmp_path: Path
) -> None:
    first = await store.write(lambda c: backup.begin(c, "/elsewhere"))
    await backed_up(store, tmp_path, 1)
    await store.write(lambda c: backup.end(c, first, "/elsewhere/1", 2, 9, 9))
    _, row = await store.read(lambda c: backup.newest(c, 9))
    assert (row.state, row.message) == ("done", "")


# A program that dies as by kill -9 at the n-th durable write, or before all gets its name.
PROGRAM = """
import os, sys
from labtrawl.cli import chests, main, restoring
left, which, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
def dying(real):
    def run(*args, **named):
        global left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), 9)
        return real(*args, **named)
    return run
for module in (chests, restoring):
    if hasattr(module, which):
        setattr(module, which, dying(getattr(module, which)))
sys.exit(main.execute(words))
"""


def killed(nth: int, which: str, *words: str) -> int:
    command = [sys.executable, "-c", PROGRAM, str(nth), which, *words]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


@pytest.mark.parametrize(("nth", "which"), [(2, "write_copied"), (1, "sync_folders")])
async def test_killed_backup_leaves_none_and_the_next_one_is_whole(
    store: Store, tmp_path: Path, nth: int, which: str
) -> None:
    place, data_dir = tmp_path / "b", tmp_path / "data"
    words = ("backup", str(place), "--data-dir", str(data_dir))
    code = await asyncio.to_thread(killed, nth, which, *words)
    assert code == -signal.SIGKILL
    assert backups_in(place) == []
    assert all(name.startswith(DRAFT) for name in there(place))
    made = await backed_up(store, tmp_path, 1)
    assert there(place) == [made.place.name]
    assert check_backup(place).files
    states = [each.state for each in await store.read(lambda c: backup.newest(c, 9))]
    assert states == ["done", "failed"]


@pytest.mark.parametrize(("nth", "which"), [(2, "copy_checked"), (1, "sync_folders")])
async def test_killed_restore_leaves_nothing_and_the_next_one_is_whole(
    store: Store, tmp_path: Path, nth: int, which: str
) -> None:
    await backed_up(store, tmp_path, 1)
    target = tmp_path / "there" / "restored"
    code = await asyncio.to_thread(killed, nth, which, "restore", str(tmp_path / "b"), str(target))
    assert code == -signal.SIGKILL
    assert not target.exists()
    await asyncio.to_thread(restore, tmp_path / "b", target, None)
    assert there(target.parent) == ["restored"]
    assert whole(target) == whole(tmp_path / "data")
