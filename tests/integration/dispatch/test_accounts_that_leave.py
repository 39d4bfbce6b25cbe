"""An account that may not be used any more: what only it sees waits, and nobody gets its token."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from labtrawl.clock import system_clock
from labtrawl.dispatch import planner
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.renewal import Renewals
from labtrawl.dispatch.spool import Spool
from labtrawl.domain.credential import Secret
from labtrawl.gitlab.oauth import Pair
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Tier
from labtrawl.store import accounts, areas, choices, connections, consents, jobs, renewals
from labtrawl.store.engine import Connection, Database, Store
from labtrawl.store.people import Identified
from labtrawl.store.secrets import KeyRing, account_place, create_key_file, key_path
from tests.integration.dispatch.visits import Site, project, wish
from tests.integration.store.table import RETRY, area, job, rows, store
from tests.rig import consenting

WAITING = "SELECT resource, state, hold_reason FROM job WHERE state <> 'completed' ORDER BY id"


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Store]:
    async with store(database) as opened:
        yield opened


async def test_list_in_an_area_that_only_a_refused_account_still_sees_waits(db: Store) -> None:
    """Nobody could claim it: it would be queued for ever, and not say why."""
    site = Site(db)
    await site.begin()
    other = await site.begin(user=2)
    found = await site.claim("discovery")
    await site.complete(await site.claim("discovery"))
    await site.discover(found, project(), project(8, "lab/lake"))
    await site.propose(found, wish("issues"), wish("issues", 8))
    await site.complete(found)
    await db.write(lambda c: areas.grant(c, 3, other, 20))
    await db.write(lambda c: accounts.refuse(c, other))
    await site.see_anew(project(8, "lab/lake"))
    assert (await site.ask(WAITING))[:2] == [
        ("issues", "held", "credential"),
        ("issues", "queued", None),
    ]


def _switch_off(connection: Connection) -> None:
    choices.stop(connection, 1)
    accounts.switch(connection, 1, is_on=False)
    jobs.hold_unseen(connection)


async def test_account_that_is_switched_off_while_its_token_is_renewed_is_not_used(
    db: Store, tmp_path: Path
) -> None:
    """The new pair is kept, for GitLab has ended the old one."""
    create_key_file(key_path(tmp_path))
    ring, asked, answer = KeyRing(key_path(tmp_path)), asyncio.Event(), asyncio.Event()

    async def ask(_pair: renewals.StoredPair, _token: Secret) -> Pair:
        asked.set()
        await answer.wait()
        return Pair(Secret("new"), Secret("new-refresh"), 7200)

    def sign_in(connection: Connection) -> None:
        cipher = ring()
        new = accounts.SignedIn(
            "main",
            "http://gitlab",
            1,
            cipher.encrypt(Secret("old"), account_place("http://gitlab", 1)),
            cipher.encrypt(
                Secret("old-refresh"), account_place("http://gitlab", 1, "refresh_token")
            ),
            1,
            "a",
        )
        account_id = accounts.sign_in(connection, new)
        verified = accounts.VerifiedAccount(
            "main", "http://gitlab", "17.0.0", 1, "u", (), "", "a", 1
        )
        accounts.record(connection, verified)
        job(connection, area(connection, 7, {account_id: 30}))

    await db.write(sign_in)

    async def end(_pair: renewals.StoredPair, _token: Secret) -> None:
        raise AssertionError("the pair is kept")

    made = Renewals(db, Spool(tmp_path / "config", ring), ask, end, system_clock())
    renewing = asyncio.create_task(made.renew(1, 0))
    await asked.wait()
    await db.write(_switch_off)
    answer.set()
    await renewing
    kept = "SELECT state, token_version FROM account"
    assert await db.read(lambda c: rows(c, kept)) == [("refused", 1)]
    assert await db.read(lambda c: rows(c, WAITING)) == [("issues", "held", "credential")]


def _withdrawn(connection: Connection) -> None:
    consents.withdraw(connection, 1)


@pytest.mark.parametrize(("end", "is_study"), [(_switch_off, False), (_withdrawn, True)])
async def test_token_of_an_account_that_may_not_be_used_is_given_to_no_crawler(
    db: Store, end: Callable[[Connection], None], is_study: bool
) -> None:
    site = Site(db)
    if is_study:
        await db.write(consenting.begin)
    await site.begin()
    if is_study:
        await db.write(lambda c: consenting.agree(c, 1))
    desk = Desk(db, Credentials(db, lambda _: Secret("glpat-canary")), RETRY, 60.0, system_clock())
    raw = msgspec.json.encode(
        wire.TokenRefreshRequest(
            request_id="r", provider_id="1", account_id="1", refused_sha256="0" * 64
        )
    )
    asked = wire.Envelope(
        origin="c", type="message", key="TOKEN_REFRESH_REQUEST", payload=msgspec.Raw(raw)
    )

    async def ask() -> list[tuple[bool, str | None]]:
        """Ask as a crawler does, and as an admin."""
        told = []
        for caller in (Caller("a"), Caller("b", Tier.SESSION)):
            reply = await handle(desk, caller, asked)
            assert reply is not None
            answer = msgspec.json.decode(reply.payload, type=wire.TokenRefreshResponse)
            told.append((answer.success, answer.access_token))
        return told

    assert await ask() == [(True, "glpat-canary")] * 2
    await db.write(end)
    assert await ask() == [(False, None)] * 2


async def _put_off(site: Site) -> None:
    """Read a list, let its account be refused, and its time come."""
    await site.discovered("issues")
    await site.visit("issues", watermark=1)
    await site.db.write(_switch_off)
    await site.pass_time(30)
    assert await site.open_due() == 0
    assert await site.open_due() == 0


def _comes_back(connection: Connection) -> None:
    """Do as a start does with a token that GitLab takes again."""
    connection.exec_driver_sql("UPDATE account SET disabled_at = NULL")
    told = accounts.VerifiedAccount("main", "http://g", "17.0.0", 1, "u1", (), "t")
    planner.plan_account(connection, told)


def _switched_on(connection: Connection) -> None:
    accounts.switch(connection, 1, is_on=True)


def _connected(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE account SET disabled_at = NULL")
    who = Identified("main", "http://g", 1, "u1")
    connections.connect(connection, connections.Connected(who, "17.0.0", (), "t"))


@pytest.mark.parametrize("back", [_comes_back, _switched_on, _connected])
async def test_list_that_was_due_while_nobody_could_read_it_is_due_when_somebody_can(
    db: Store, back: Callable[[Connection], None]
) -> None:
    """It would wait for a day: whoever gave a new token would see nothing happen."""
    site = Site(db)
    await _put_off(site)
    await db.write(back)
    await site.open_due()
    assert (await site.jobs())["issues"] == ("queued", "changes")


async def test_list_whose_time_has_not_come_is_not_due_for_an_account_that_comes_back(
    db: Store,
) -> None:
    site = Site(db)
    await site.discovered("issues")
    await site.visit("issues", watermark=1)
    await db.write(_switch_off)
    await db.write(_switched_on)
    await site.open_due()
    assert (await site.jobs())["issues"] == ("completed", "full")
