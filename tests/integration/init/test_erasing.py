"""After a credential was removed: no file of labtrawl holds what it was encrypted to."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labtrawl.cli.account_desk import AccountDesk
from labtrawl.cli.settings_desk import FileDesk
from labtrawl.cli.sign_ins import SignIns
from labtrawl.clock import system_clock
from labtrawl.config import Settings, load
from labtrawl.domain.credential import Secret
from labtrawl.store import accounts, connections, erasing
from labtrawl.store.accounts import SignedIn, VerifiedAccount
from labtrawl.store.engine import Connection, Store, database_path, open_snapshots, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import Cipher, account_place, create_key_file, key_path, open_cipher

URL = "https://gitlab.example.org"
HEAD = """\
data_dir = "data"

[[instances]]
name = "main" # ours
url = "{url}"
client_id = "c"
redirect_uri = "http://127.0.0.1:7171/callback"
"""
ADA = """
# Ada, who left: what is encrypted is so with the key file.
[[accounts]]
instance = "main"
user_id = 7
token = "{ada}"
refresh_token = "{again}"
expires_at = 1
"""
BOB = """
# Bob stays.
[[accounts]]
instance = "main"
user_id = 8
token = "{bob}"
"""
NOBODY = """
[[accounts]]
instance = "main"
token = "{nobody}"
"""
TAIL = "\n# The end.\n[logs]\nlevel = 'error'\n"


@dataclass(frozen=True)
class Place:
    """A folder with settings and a database, as the website has them."""

    folder: Path
    store: Store
    settings: Settings
    desk: AccountDesk
    sign_ins: SignIns
    texts: dict[str, str]

    @property
    def file(self) -> str:
        return (self.folder / "labtrawl.toml").read_text()

    def holding(self, *texts: str) -> dict[str, set[str]]:
        """The files that hold each of these encrypted texts."""
        found: dict[str, set[str]] = {text: set() for text in texts}
        for path in (each for each in self.folder.rglob("*") if each.is_file()):
            content = path.read_bytes()
            for text in texts:
                if text.rpartition(":")[2].encode() in content:
                    found[text].add(path.name)
        return found


def encrypted(cipher: Cipher) -> dict[str, str]:
    return {
        "url": URL,
        "ada": cipher.encrypt(Secret("ada-1"), account_place(URL, 7)),
        "again": cipher.encrypt(Secret("ada-2"), account_place(URL, 7, "refresh_token")),
        "bob": cipher.encrypt(Secret("bob-1"), account_place(URL, 8)),
        "nobody": cipher.encrypt(Secret("bob-1"), account_place(URL, 0)),
    }


@asynccontextmanager
async def placed(folder: Path, form: str) -> AsyncIterator[Place]:
    create_key_file(key_path(folder / "data"))
    texts = encrypted(open_cipher(key_path(folder / "data")))
    path = folder / "labtrawl.toml"
    path.write_text(form.format(**texts))
    path.chmod(0o600)
    settings = load(path, {}, {})
    migrate(database_path(settings.data_dir))
    async with open_store(database_path(settings.data_dir)) as store:

        async def told(*_: object) -> Any:
            return ()

        sign_ins = SignIns(settings, store, system_clock(), told)
        file = FileDesk(settings, told)
        unused: Any = None
        desk = AccountDesk(
            settings, store, system_clock(), unused, unused, told, sign_ins.source_of, file
        )
        yield Place(folder, store, settings, desk, sign_ins, texts)


async def take_ada(place: Place) -> tuple[int, list[str]]:
    """Record the account of the file, renewed some times; return every text it was encrypted to."""
    cipher, written = open_cipher(key_path(place.settings.data_dir)), []

    def text(column: str) -> str:
        written.append(cipher.encrypt(Secret("x" * 40), account_place(URL, 7, column)))
        return written[-1]

    def take(connection: Connection) -> int:
        source = place.sign_ins.source_of(place.settings.accounts[0])
        pair = (text("token"), text("refresh_token"))
        return accounts.sign_in(connection, SignedIn("main", URL, 7, *pair, 1, source))

    def renew(connection: Connection) -> None:
        connection.exec_driver_sql(
            "UPDATE account SET token = ?, refresh_token = ?, username = username || 'longer'",
            (text("token"), text("refresh_token")),
        )

    account_id = await place.store.write(take)
    for _ in range(3):
        await place.store.write(renew)
    return account_id, written


async def test_removed_credential_is_in_no_file_any_more(tmp_path: Path) -> None:
    async with placed(tmp_path, HEAD + ADA + BOB + TAIL) as place:
        account_id, written = await take_ada(place)
        texts = [place.texts["ada"], place.texts["again"], *written]
        assert all(place.holding(*texts).values())
        await place.store.write(lambda c: connections.disconnect(c, account_id))
        assert await place.desk.erase(account_id) == ""
        assert place.holding(*texts) == {text: set() for text in texts}
        assert place.file == (HEAD + "\n" + BOB + TAIL).format(**place.texts)
        # What there is no entry of any more is erased again, without a word.
        assert await place.desk.erase(account_id) == ""
    assert place.holding(*texts) == {text: set() for text in texts}


async def test_entry_without_a_number_goes_only_with_its_own_credential(tmp_path: Path) -> None:
    async with placed(tmp_path, HEAD + NOBODY + ADA) as place:
        bob = VerifiedAccount("main", URL, "19", 8, "bob", (), place.texts["bob"], "another")
        ours = place.sign_ins.source_of(place.settings.accounts[0])
        account_id = (await place.store.write(lambda c: accounts.record(c, bob)))[1]
        await place.store.write(lambda c: connections.disconnect(c, account_id))
        assert await place.desk.erase(account_id) == ""
        assert place.file == (HEAD + NOBODY + ADA).format(**place.texts)
        await place.store.write(
            lambda c: c.exec_driver_sql("UPDATE account SET source_sha256 = ?", (ours,))
        )
        assert await place.desk.erase(account_id) == ""
        assert place.file == (HEAD + "\n" + ADA).format(**place.texts)


async def test_log_of_the_database_that_a_reader_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "BUSY_MS", 50)
    async with placed(tmp_path, HEAD + ADA) as place:
        account_id, written = await take_ada(place)
        with open_snapshots(database_path(place.settings.data_dir)) as snapshots:
            await place.store.write(lambda c: connections.disconnect(c, account_id))

            def erase(connection: Connection) -> str:
                connection.exec_driver_sql("SELECT * FROM account").all()
                return asyncio.run_coroutine_threadsafe(place.desk.erase(account_id), loop).result()

            loop = asyncio.get_running_loop()
            left = await snapshots.read(erase)
        assert left == "the database's log still has the encrypted text until it is written anew"
        assert await place.desk.erase(account_id) == ""
        assert place.holding(*written) == {text: set() for text in written}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (
            'data_dir = "data"\naccounts = [{{ instance = "main", user_id = 7, token = "{ada}" }}]\n'
            '[[instances]]\nname = "main"\nurl = "{url}"\n',
            "write the accounts of the file as [[accounts]]",
        ),
        (HEAD + ADA + "# once more: {ada}\n", "has the token in another place as well"),
    ],
)
async def test_file_that_cannot_be_changed_is_told_and_the_database_is_erased_all_the_same(
    tmp_path: Path, form: str, words: str
) -> None:
    async with placed(tmp_path, form) as place:
        before = place.file
        account_id, written = await take_ada(place)
        await place.store.write(lambda c: connections.disconnect(c, account_id))
        left = await place.desk.erase(account_id)
        assert re.fullmatch(
            f"its entry in the file of settings is still there: .*{re.escape(words)}.*", left
        )
        assert place.file == before
        assert place.holding(*written) == {text: set() for text in written}
