"""What the website does beside its pages, and the commands that do it by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from labtrawl import config
from labtrawl.cli.backing import make_backup
from labtrawl.cli.care_facts import look_at
from labtrawl.cli.caretaker import Caretaker, channels_of
from labtrawl.cli.chests import backups_in
from labtrawl.cli.keys import rotate
from labtrawl.cli.main import labtrawl
from labtrawl.cli.origins import user_agent
from labtrawl.cli.restoring import check_backup
from labtrawl.clock import system_clock
from labtrawl.config import Instance, Settings
from labtrawl.dataset.layout import dataset_root
from labtrawl.errors import ConfigError
from labtrawl.store import backup, manifest, notices, seen
from labtrawl.store.engine import Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.notices import Delivery
from labtrawl.store.secrets import KeyRing, create_key_file, key_path
from labtrawl.website.pages.notices import TEST
from tests.integration.care.receivers import hooked, posting
from tests.integration.dataset.samples import gated, written
from tests.integration.http.wire import listening, make_certificate, ok
from tests.integration.store.table import account, area, job


@dataclass
class Home:
    """A data folder with a file of settings."""

    folder: Path
    store: Store

    @property
    def file(self) -> Path:
        return self.folder / "labtrawl.toml"

    def write(self, text: str) -> Settings:
        self.file.write_text(f'data_dir = "{self.folder}"\n{text}')
        self.file.chmod(0o600)
        return self.settings()

    def settings(self) -> Settings:
        return config.load(self.file, {}, {})

    def run(self, *words: str, given: str = "") -> Result:
        """Run a command on the data folder in a thread."""
        return CliRunner().invoke(
            labtrawl, [*words, "--config", str(self.file)], input=given, standalone_mode=False
        )


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    folder = tmp_path / "data"
    create_key_file(key_path(folder))
    migrate(database_path(folder))
    async with open_store(database_path(folder)) as store:
        made = Home(folder, store)
        made.write("")
        yield made


def damage(place: Path) -> None:
    """Harm a segment of a backup, in every backup that shares it."""
    next(place.rglob("*.zst")).write_bytes(b"bad")


def hidden_in(folder: Path) -> list[str]:
    """What lies in a folder and is no backup to be used."""
    return [each.name for each in folder.iterdir() if each.name.startswith(".")]


def gitlab(url: str, *quiet: str) -> Instance:
    return Instance(name="main", url=url, address_allow=("127.0.0.1",), quiet_hours=quiet)


async def test_gitlab_is_asked_without_a_token_and_its_clock_is_compared(home: Home) -> None:
    settings = replace(
        home.settings(), contact="me@a.org", website=config.Website(public_url="https://l.org/")
    )
    behind = datetime.now(UTC) - timedelta(seconds=300)
    date = f"Date: {behind:%a, %d %b %Y %H:%M:%S} GMT"
    async with listening({"/robots.txt": ok(b"", date)}) as wire:
        found = await look_at(settings, gitlab(wire.base()), system_clock())
        assert found.problem == ""
        assert found.offset_ms is not None
        assert -303_000 < found.offset_ms < -298_000
        (head,) = [each.lower() for each in wire.heads]
        assert "user-agent: labtrawl/0.1.0 (+https://l.org/about; me@a.org)" in head
        assert "authorization" not in head
        assert "private-token" not in head
        always = gitlab(wire.base(), "00:00-24:00 UTC")
        quiet = await look_at(settings, always, system_clock())
        assert (quiet.looked_at, quiet.is_quiet, len(wire.heads)) == (None, True, 1)
    assert "Connection" in (await look_at(settings, gitlab(wire.base()), system_clock())).problem
    async with listening({"/robots.txt": ok(b"", status="502 Bad Gateway")}) as wire:
        found = await look_at(settings, gitlab(wire.base()), system_clock())
        assert found.problem == "it answers with 502"
    assert user_agent(home.settings()) == "labtrawl/0.1.0"


async def test_scheduled_backup_is_made_when_it_is_due_and_the_oldest_goes(
    home: Home, tmp_path: Path
) -> None:
    place = tmp_path / "b"
    settings = home.write(f'[backup]\npath = "{place}"\nevery_hours = 24\nkeep = 1\n')
    taker = Caretaker(settings, home.store, system_clock())
    running = asyncio.create_task(taker._back_up())
    async with asyncio.timeout(30):
        while (row := await home.store.read(backup.last_done)) is None:
            await home.store.changes.ticket().wait()
    assert len(backups_in(place)) == 1
    assert not await home.store.read(taker._is_due)
    await home.store.write(lambda c: c.exec_driver_sql("UPDATE backup SET began_at = 1"))
    assert await home.store.read(taker._is_due)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    number = await home.store.write(lambda c: backup.begin(c, "b"))
    await home.store.write(lambda c: backup.fail(c, number, "the disk is full"))
    assert not await home.store.read(taker._is_due)
    assert row.place == str(backups_in(place)[0])


async def test_first_backup_is_read_back_and_a_damaged_one_counts_as_failed(
    home: Home, tmp_path: Path
) -> None:
    settings = home.write(f'[backup]\npath = "{tmp_path / "b"}"\nevery_hours = 24\n')
    taker = Caretaker(settings, home.store, system_clock())
    await taker.back_up()
    (row,) = await home.store.read(lambda c: backup.newest(c, 9))
    assert (row.state, row.message) == ("done", "read back, and whole")
    place = Path(row.place)
    (place / "labtrawl.toml").write_text("other")
    await taker.read_back(place)
    (row,) = await home.store.read(lambda c: backup.newest(c, 9))
    assert (row.state, row.message.partition(":")[0]) == ("failed", "read back, and damaged")


async def test_backup_after_a_damaged_one_takes_nothing_of_it_and_is_read_back_at_once(
    home: Home, tmp_path: Path
) -> None:
    place = tmp_path / "b"
    settings = home.write(f'[backup]\npath = "{place}"\nevery_hours = 24\n')
    await home.store.write(lambda c: job(c, area(c, 7, {account(c, 1): 30})))
    row = written(dataset_root(home.folder), [gated(1), gated(2)], number=1)
    closed = manifest.ClosedSegment(row.name, row.length, row.sha256, row.records)
    await home.store.write(lambda c: manifest.commit(c, 1, 1, [closed]))
    # The first and the second share the file on the disk that goes bad.
    for hour in (1, 2):
        at = datetime(2026, 11, 22, hour, tzinfo=UTC)
        made = await make_backup(settings, home.store, place, now=at)
    taker = Caretaker(settings, home.store, system_clock())
    taker._read_back_at = taker._clock.monotonic()
    damage(made.place)
    await taker.read_back(made.place)
    assert [each.name for each in backups_in(place)] == ["2026-11-22T010000Z"]
    await taker.back_up()
    newest, damaged, _ = await home.store.read(lambda c: backup.newest(c, 9))
    assert (newest.state, newest.message) == ("done", "read back, and whole")
    assert (
        damaged.state,
        str(place / ".labtrawl-damaged-2026-11-22T020000Z") in damaged.message,
    ) == (
        "failed",
        True,
    )
    assert newest.copied_bytes > row.length
    assert check_backup(place).files
    again = Path(newest.place)
    damage(again)
    await taker.read_back(again)
    assert hidden_in(place) == [f".labtrawl-damaged-{again.name}"]


async def test_versions_fields_and_shares_are_noted(home: Home) -> None:
    await home.store.write(lambda c: job(c, area(c, 7, {account(c, 1): 30})))
    row = written(dataset_root(home.folder), [gated(1), gated(2)], number=1)
    closed = manifest.ClosedSegment(row.name, row.length, row.sha256, row.records)
    await home.store.write(lambda c: manifest.commit(c, 1, 1, [closed]))
    taker = Caretaker(home.settings(), home.store, system_clock())
    await taker.note()
    await taker.note()
    (fields,) = await home.store.read(seen.fields)
    assert fields.records == 2
    names = {each.component for each in await home.store.read(seen.versions)}
    assert names == {"labtrawl", "Python", "SQLite", "GitLab main"}
    await taker.look_through()
    assert taker.care.fault()[0] == ""


async def test_secrets_of_channels_are_encrypted_and_survive_a_rotation(
    home: Home, tmp_path: Path
) -> None:
    both, alone = make_certificate(tmp_path)
    async with hooked() as hook, posting(both, "ops", "pässword") as post:
        home.write(
            f'[notices]\nwebhook_url = "{hook.url}"\nwebhook_allow = ["127.0.0.1"]\n'
            f'mail_server = "127.0.0.1"\nmail_port = {post.port}\nmail_user = "ops"\n'
            f'mail_ca_file = "{alone}"\nmail_from = "l@a.org"\nmail_to = ["ops@a.org"]\n'
        )
        made = home.run("notices", "secret", "webhook", "--make")
        assert made.exception is None, made.output
        assert home.run("notices", "secret", "mail", given="password\n").exception is None
        text = home.file.read_text()
        assert "password" not in text.replace("mail_password", "")
        assert text.count("enc:v2:") == 2
        secret = made.output.split()[4]
        assert secret.startswith("whsec_")
        assert secret not in text
        done = await rotate(home.settings(), home.file)
        assert (done.texts, done.unreadable) == (2, 0)
        assert home.file.read_text() != text
        ring = KeyRing(key_path(home.folder))
        found = channels_of(home.settings(), "http://l", system_clock(), ring)
        assert [each.name for each in found] == ["webhook", "mail"]
        await found[0].send(Delivery(1, "webhook", 0, 0, TEST))
    assert "webhook-signature" in hook.posts[0][0]
    other = home.file.read_text().replace("//127.0.0.1", "//localhost")
    other = other.replace('["127.0.0.1"]', '["localhost"]')
    home.file.write_text(other)
    left = channels_of(home.settings(), "http://l", system_clock(), ring)
    assert [each.name for each in left] == ["webhook", "mail"]
    with pytest.raises(ConfigError, match="its secret does not open"):
        await left[0].send(Delivery(1, "webhook", 0, 0, TEST))


async def test_test_command_says_what_came_of_each_channel(home: Home) -> None:
    async with hooked() as hook:
        home.write(f'[notices]\nwebhook_url = "{hook.url}"\nwebhook_allow = ["127.0.0.1"]\n')
        done = await asyncio.to_thread(home.run, "notices", "test")
        assert (done.return_value, done.output) == (0, "webhook: answered 204\n")
        hook.statuses = [500]
        done = await asyncio.to_thread(home.run, "notices", "test")
        assert (done.return_value, "answered 500" in done.output) == (1, True)
        home.write(
            f'[notices]\nwebhook_url = "{hook.url}"\nwebhook_allow = ["127.0.0.1"]\n'
            'mail_server = "127.0.0.1"\nmail_user = "ops"\nmail_password = "enc:v2:0:AAAA"\n'
            'mail_from = "l@a.org"\nmail_to = ["ops@a.org"]\n'
        )
        done = await asyncio.to_thread(home.run, "notices", "test")
        assert (done.return_value, "webhook: answered 204" in done.output) == (1, True)
        assert "mail: its secret does not open" in done.output
    assert [each["kind"] for each in hook.bodies] == ["test"] * 3
    await home.store.write(lambda c: notices.raise_notice(c, TEST, ["mail"]))
    listed = await asyncio.to_thread(home.run, "notices", "list")
    assert "a test  mail queued ()" in listed.output


async def test_doctor_looks_without_anything_running_and_fails_for_what_is_bad(home: Home) -> None:
    await home.store.write(lambda c: account(c, 1))
    done = await asyncio.to_thread(home.run, "doctor", "--json")
    told = json.loads(done.output)
    assert (done.return_value, told["state"]) == (0, "warn")
    states = {each["name"]: each["state"] for each in told["checks"]}
    assert {name for name, state in states.items() if state != "ok"} == {"programs", "backup"}
    home.file.chmod(0o644)
    home.folder.chmod(0o755)
    done = await asyncio.to_thread(home.run, "doctor")
    assert done.return_value == 1
    assert f"others may read {home.file}" in done.output
    assert f"chmod go-rwx '{home.file}'" in done.output
    home.file.chmod(0o600)
    key_path(home.folder).unlink()
    done = await asyncio.to_thread(home.run, "doctor")
    assert (done.return_value, "BAD   Keys: the key file" in done.output) == (1, True)


async def test_backup_and_restore_as_commands(home: Home, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    made = await asyncio.to_thread(home.run, "backup", str(tmp_path / "b"), "--keys", str(keys))
    assert made.exception is None, made.exception
    assert "0 segments" in made.output
    assert keys.stat().st_mode & 0o077 == 0
    runner = CliRunner()
    words = ["restore", str(tmp_path / "b")]
    checked = runner.invoke(labtrawl, [*words, "--check"], standalone_mode=False)
    assert checked.output.startswith("whole: made ")
    bare = await asyncio.to_thread(
        runner.invoke, labtrawl, [*words, str(tmp_path / "r1")], standalone_mode=False
    )
    assert "No keys" in bare.output
    full = await asyncio.to_thread(
        runner.invoke,
        labtrawl,
        [*words, str(tmp_path / "r2"), "--keys", str(keys)],
        standalone_mode=False,
    )
    assert "No keys" not in full.output
    assert "The setting data_dir named another place and is left out." in full.output
