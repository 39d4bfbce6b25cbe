"""An account that signed in with the look-alike, and a website's side that keeps it signed in.

Run as a program it renews that account's pair and kills itself at a named step.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from labtrawl.clock import Clock
from labtrawl.dispatch import planner
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.patience import Patience
from labtrawl.dispatch.renewal import Renewals
from labtrawl.dispatch.spool import Spool
from labtrawl.domain.credential import Secret
from labtrawl.gitlab import oauth
from labtrawl.gitlab.oauth import Application, Pair
from labtrawl.http import Http, Limits, Origin, open_http
from labtrawl.store import accounts
from labtrawl.store.accounts import SignedIn, StoredToken, VerifiedAccount
from labtrawl.store.engine import Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.renewals import StoredPair
from labtrawl.store.secrets import KeyRing, account_place, create_key_file, key_path
from tests.integration.sandbox.caller import Caller

REDIRECT = "http://127.0.0.1:7171/callback"
PUBLIC = Application("labtrawl-public", REDIRECT)
BEGAN = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(slots=True)
class HandClock:
    """Time that passes when the test says so."""

    seconds: float = 0.0
    _sleepers: list[tuple[float, asyncio.Event]] = field(default_factory=list)

    @property
    def clock(self) -> Clock:
        return Clock(
            lambda: BEGAN + timedelta(seconds=self.seconds), lambda: self.seconds, self._sleep
        )

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        for until, woken in self._sleepers:
            if until <= self.seconds:
                woken.set()

    async def _sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self.seconds + seconds, woken))
        await woken.wait()


@dataclass(slots=True)
class House:
    """One website's process on a data folder."""

    data_dir: Path
    url: str
    store: Store
    http: Http
    clock: Clock
    renewals: Renewals
    credentials: Credentials
    heard: asyncio.Queue[int]

    async def sign_in(self, username: str, pair: Pair, user_id: int, source: str = "a") -> int:
        """Take a pair as the settings bring it, and record the account as its GitLab accepts it."""
        cipher = KeyRing(key_path(self.data_dir))()
        new = SignedIn(
            "main",
            self.url,
            user_id,
            cipher.encrypt(pair.access_token, account_place(self.url, user_id)),
            cipher.encrypt(pair.refresh_token, account_place(self.url, user_id, "refresh_token")),
            self.clock.now_ms() + pair.expires_in_seconds * 1000,
            source,
        )
        verified = VerifiedAccount(
            "main", self.url, "19.3.0", user_id, username, ("read_api",), "", source
        )
        await self.store.write(lambda c: accounts.sign_in(c, new))
        return await self.store.write(lambda c: planner.plan_account(c, verified))


def build(
    data_dir: Path,
    url: str,
    store: Store,
    http: Http,
    clock: Clock,
    step: Callable[[str], None] = lambda _name: None,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> House:
    """Put the parts of a website's side together."""
    ring = KeyRing(key_path(data_dir))
    heard: asyncio.Queue[int] = asyncio.Queue()

    def decrypt(stored: StoredToken) -> Secret:
        place = account_place(stored.instance_url, stored.user_id, stored.column)
        return ring().decrypt(stored.encrypted, place)

    async def ask(_pair: StoredPair, token: Secret) -> Pair:
        return await oauth.renew(http, PUBLIC, token)

    async def end(_pair: StoredPair, token: Secret) -> None:
        await oauth.revoke(http, PUBLIC, token)

    spool = Spool(data_dir / "config", ring)
    renewals = Renewals(store, spool, ask, end, clock, heard.put, step, patience)
    credentials = Credentials(store, decrypt, renewals)
    return House(data_dir, url, store, http, clock, renewals, credentials, heard)


def prepare(data_dir: Path) -> None:
    """Make the database and the key where they are not."""
    migrate(database_path(data_dir))
    if not key_path(data_dir).exists():
        create_key_file(key_path(data_dir))


@contextlib.asynccontextmanager
async def open_gitlab(url: str) -> AsyncIterator[Http]:
    """Open the door to the look-alike."""
    origin = Origin(url, address_allow=("127.0.0.0/8",))
    async with open_http(origin, Limits(), "labtrawl-test") as http:
        yield http


@contextlib.asynccontextmanager
async def house(
    data_dir: Path,
    url: str,
    clock: Clock,
    step: Callable[[str], None] = lambda _name: None,
) -> AsyncIterator[House]:
    """Open a website's side; several may be open on one folder."""
    prepare(data_dir)
    async with open_store(database_path(data_dir)) as store, open_gitlab(url) as http:
        yield build(data_dir, url, store, http, clock, step)


async def signed_in_pair(url: str, http: Http, username: str) -> Pair:
    """Sign in as a user does who says yes."""
    attempt = oauth.new_attempt()
    target = urlsplit(oauth.authorize_url(url, PUBLIC, attempt))
    async with Caller(url) as caller:
        answer = await caller.call("GET", f"{target.path}?{target.query}&sandbox_user={username}")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"] == [attempt.state]
    return await oauth.redeem(http, PUBLIC, Secret(query["code"][0]), attempt)


async def control(url: str, method: str, name: str, body: object = None) -> dict[str, object]:
    """Speak to the look-alike's own side."""
    async with Caller(url) as caller:
        raw = json.dumps(body).encode() if body is not None else b""
        found: dict[str, object] = (await caller.call(method, f"/-/sandbox/{name}", raw)).json
        return found


async def works(url: str, token: Secret) -> bool:
    """Say whether GitLab accepts a token."""
    async with Caller(url, token.reveal()) as caller:
        return (await caller.call("GET", "/api/v4/user")).status == 200


async def _renew_and_die(data_dir: Path, url: str, seconds: float, fatal: str) -> None:
    def step(name: str) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    async with house(data_dir, url, HandClock(seconds).clock, step) as one:
        await one.credentials.access_token(1)


if __name__ == "__main__":
    asyncio.run(_renew_and_die(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]))
