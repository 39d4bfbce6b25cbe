"""`labtrawl keys`: a new key while everything lies there, and kills in between."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from labtrawl.cli.key_care import care_for_keys
from labtrawl.cli.keys import rotate
from labtrawl.config import Settings, load
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Conflict
from labtrawl.store import accounts, audit, keyring, renewals
from labtrawl.store.accounts import SignedIn
from labtrawl.store.engine import database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import (
    Cipher,
    KeyRing,
    account_place,
    client_secret_place,
    create_key_file,
    key_path,
    open_cipher,
)
from tests.integration.init.program import labtrawl, one_sentence

URL = "https://gitlab.example.org"
TOKEN, REFRESH, SECRET = (Secret(f"CANARY-{each}") for each in ("token", "refresh", "secret"))
STEPS = ("old_key_kept", "new_key_drafted", "new_key_placed", "database", "settings")
SETTINGS = """\
data_dir = "data"  # beside this file

[[instances]]
name = "main" # ours
url = "{url}"
client_id = "c"
redirect_uri = "http://127.0.0.1:7171/callback"
client_secret = '{secret}'

# Ada
[[accounts]]
instance = "main"
user_id = 7
token = "{token}"
refresh_token = "{refresh}"
expires_at = 1
"""


async def write_folder(folder: Path) -> Settings:
    """Settings and a database that hold the same account under the same key."""
    path = key_path(folder / "data")
    create_key_file(path)
    cipher = open_cipher(path)
    config = folder / "labtrawl.toml"
    config.touch(mode=0o600)
    config.write_text(
        SETTINGS.format(
            url=URL,
            secret=cipher.encrypt(SECRET, client_secret_place(URL)),
            token=cipher.encrypt(TOKEN, account_place(URL, 7)),
            refresh=cipher.encrypt(REFRESH, account_place(URL, 7, "refresh_token")),
        )
    )
    settings = load(config, {}, {})
    migrate(database_path(settings.data_dir))
    async with open_store(database_path(settings.data_dir)) as store:
        new = SignedIn(
            "main",
            URL,
            7,
            cipher.encrypt(TOKEN, account_place(URL, 7)),
            cipher.encrypt(REFRESH, account_place(URL, 7, "refresh_token")),
            1,
            "source",
        )
        await store.write(lambda c: accounts.sign_in(c, new))
    return settings


async def opened(settings: Settings, cipher: Cipher) -> list[Secret]:
    """Every secret of settings and database, decrypted."""
    async with open_store(database_path(settings.data_dir)) as store:
        pair = await store.read(lambda c: renewals.pair_of(c, 1))
    (instance,), (account,) = settings.instances, settings.accounts
    places = (account_place(URL, 7), account_place(URL, 7, "refresh_token"))
    return [
        cipher.decrypt(instance.client_secret, client_secret_place(URL)),
        cipher.decrypt(account.token, places[0]),
        cipher.decrypt(account.refresh_token, places[1]),
        cipher.decrypt(pair.token, places[0]),
        cipher.decrypt(pair.refresh_token, places[1]),
    ]


ALL = [SECRET, TOKEN, REFRESH, TOKEN, REFRESH]


def states(settings: Settings) -> list[str]:
    return [each.state for each in keyring.key_states(key_path(settings.data_dir))]


async def test_rotation_leaves_every_text_under_the_new_key_and_the_file_as_it_was(
    tmp_path: Path,
) -> None:
    before = await write_folder(tmp_path)
    config = tmp_path / "labtrawl.toml"
    text = config.read_text()
    ring = KeyRing(key_path(before.data_dir))
    old = ring()
    done = await rotate(before, config)
    assert (done.key_id != old.key_id, done.accounts, done.texts, done.unreadable) == (
        True,
        1,
        3,
        0,
    )
    after = load(config, {}, {})
    # A process that was there before reads the ring anew; its own old texts open as well.
    assert await opened(after, ring()) == await opened(before, ring()) == ALL
    used = {each.split(":")[2] for each in config.read_text().split('"') if "enc:" in each}
    assert used == {done.key_id}
    places = (before.accounts[0], after.accounts[0])
    restored = config.read_text()
    restored = restored.replace(places[1].token, places[0].token)
    restored = restored.replace(places[1].refresh_token, places[0].refresh_token)
    restored = restored.replace(after.instances[0].client_secret, before.instances[0].client_secret)
    assert (restored, config.stat().st_mode & 0o777) == (text, 0o600)
    assert states(before) == ["current", "old"]
    names = sorted(each.name for each in key_path(before.data_dir).parent.glob("labtrawl.key*"))
    assert names == ["labtrawl.key", f"labtrawl.key.{old.key_id}"]
    modes = {
        each.stat().st_mode & 0o777 for each in key_path(before.data_dir).parent.glob("*.key*")
    }
    assert modes == {0o400}


async def test_unused_key_is_retired_at_the_next_start_and_derives_for_ever(tmp_path: Path) -> None:
    before = await write_folder(tmp_path)
    path = key_path(before.data_dir)
    old = open_cipher(path)
    await rotate(before, tmp_path / "labtrawl.toml")
    async with open_store(database_path(before.data_dir)) as store:
        # A process with the settings from before the rotation still needs it.
        await care_for_keys(before, store, KeyRing(path))
        assert states(before) == ["current", "old"]
        await care_for_keys(load(tmp_path / "labtrawl.toml", {}, {}), store, KeyRing(path))
    assert states(before) == ["current", "retired"]
    ring = open_cipher(path)
    assert ring.derive("audit", old.key_id) == old.derive("audit")
    assert ring.key_ids == {ring.key_id}
    with pytest.raises(ConfigError, match="another key file"):
        await opened(before, ring)


class Cut(Exception):
    """The power went."""


@pytest.mark.parametrize("fatal", STEPS)
async def test_rotation_that_is_cut_off_loses_nothing_and_the_next_one_finishes_it(
    tmp_path: Path, fatal: str
) -> None:
    before = await write_folder(tmp_path)
    config = tmp_path / "labtrawl.toml"

    def step(name: str) -> None:
        if name == fatal:
            raise Cut

    with pytest.raises(Cut):
        await rotate(before, config, step)
    now = load(config, {}, {})
    path = key_path(before.data_dir)
    assert await opened(now, open_cipher(path)) == ALL
    keys = len({each.key_id for each in keyring.key_states(path)})
    done = await rotate(now, config)
    after = load(config, {}, {})
    assert await opened(after, open_cipher(path)) == ALL
    # Where the new key was there, it is the one that is used.
    is_finished = fatal == "settings"
    assert len(keyring.key_states(path)) == (3 if is_finished else 2)
    assert keys == (1 if fatal in STEPS[:2] else 2)
    assert done.key_id == open_cipher(path).key_id


async def test_kill_9_in_a_rotation_loses_nothing(tmp_path: Path) -> None:
    await write_folder(tmp_path)
    config = tmp_path / "labtrawl.toml"
    for step in STEPS:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.init.test_keys", str(config), step
        )
        assert await process.wait() == -signal.SIGKILL
        settings = load(config, {}, {})
        path = key_path(settings.data_dir)
        assert await opened(settings, open_cipher(path)) == ALL


async def test_rotation_is_in_the_audit_log_under_the_new_key(tmp_path: Path) -> None:
    settings = await write_folder(tmp_path)
    done = await rotate(settings, tmp_path / "labtrawl.toml")
    cipher = open_cipher(key_path(settings.data_dir))
    head = audit.remembered_in(audit.head_path(settings.data_dir))
    async with open_store(database_path(settings.data_dir)) as store:
        (row,) = await store.read(lambda c: audit.newest(c, 9))
        assert await store.read(lambda c: audit.verify(c, cipher, head)) == audit.Verdict(1)
    assert (row.entry.tier, row.entry.action) == ("command_line", "keys rotate")
    assert (row.entry.target, row.entry.outcome) == (done.key_id, "1 account encrypted again")
    assert row.mac.startswith(f"hmac:{done.key_id}:")


async def test_two_rotations_at_once_are_one_and_a_sentence(tmp_path: Path) -> None:
    settings = await write_folder(tmp_path)
    with (
        keyring.rotating(key_path(settings.data_dir)),
        pytest.raises(Conflict, match="another rotation of the keys is under way"),
    ):
        await rotate(settings, tmp_path / "labtrawl.toml")


async def test_text_that_does_not_open_is_told_and_keeps_its_key(tmp_path: Path) -> None:
    settings = await write_folder(tmp_path)
    foreign = Cipher(bytes(32)).encrypt(TOKEN, account_place(URL, 7))
    config = tmp_path / "labtrawl.toml"
    config.write_text(config.read_text().replace(settings.accounts[0].token, foreign))
    ended = await labtrawl(tmp_path, "keys", "rotate")
    assert (ended.code, "1 did not open and stay as they are" in ended.out) == (0, True)
    assert load(config, {}, {}).accounts[0].token == foreign


async def test_keys_are_listed_and_no_secret_is_shown(tmp_path: Path) -> None:
    settings = await write_folder(tmp_path)
    rotated = await labtrawl(tmp_path, "keys", "rotate")
    listed = await labtrawl(tmp_path, "keys", "list")
    key_id = open_cipher(key_path(settings.data_dir)).key_id
    assert (rotated.code, rotated.err, listed.code) == (0, "", 0)
    assert f"The key is now {key_id}." in rotated.out
    assert [each.split()[1] for each in listed.out.splitlines()] == ["current", "old"]
    key = key_path(settings.data_dir).read_text().strip()
    assert not any(each in rotated.out + listed.out for each in (key, "CANARY"))


async def test_rotation_without_a_key_says_where_one_comes_from(tmp_path: Path) -> None:
    ended = await labtrawl(tmp_path, "keys", "rotate", "--data-dir", str(tmp_path / "none"))
    assert "labtrawl init makes one with the first account" in one_sentence(ended)


async def _rotate_and_die(config: Path, fatal: str) -> None:
    def step(name: str) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    await rotate(load(config, {}, {}), config, step)
    # A rotation that only finishes another has no new key to be killed at.
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(_rotate_and_die(Path(sys.argv[1]), sys.argv[2]))
