"""A token that cannot be read costs its own jobs only, and no try of theirs."""

from dataclasses import replace
from pathlib import Path

import msgspec

from labtrawl.clock import system_clock
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handlers import handle
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller
from labtrawl.store import leases
from labtrawl.store.accounts import StoredToken
from labtrawl.store.engine import Connection, Store
from tests.integration.store.table import RETRY, account, area, job, rows, states, store

CRAWLER = Caller("crawler-1")


def _desk(db: Store, unreadable: set[str]) -> Desk:
    def decrypt(stored: StoredToken) -> Secret:
        if stored.instance_url in unreadable:
            raise ConfigError("the key does not fit")
        return Secret("glpat-canary")

    return Desk(db, Credentials(db, decrypt), RETRY, 60.0, system_clock(), lambda: 0.0)


def _ask(key: str, payload: wire.Record) -> wire.Envelope:
    raw = msgspec.Raw(msgspec.json.encode(payload))
    return wire.Envelope(origin="c", type="jobRequest", key=key, payload=raw, id="0" * 26)


def _plan(connection: Connection) -> None:
    job(connection, area(connection, 7, {account(connection, 1): 30}))


async def test_job_whose_token_cannot_be_read_waits_for_a_new_one(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(_plan)
        desk = _desk(db, {"http://gitlab"})
        reply = await handle(desk, CRAWLER, _ask("request_jobs", wire.RequestJobs(request_id="r")))
        assert reply is not None
        assert bytes(reply.payload) == b"[]"
        assert await db.read(states) == ["held"]
        assert await db.read(lambda c: rows(c, "SELECT state FROM account")) == [("refused",)]


async def test_lease_is_renewed_though_its_token_cannot_be_read_any_more(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(_plan)
        unreadable: set[str] = set()
        desk = _desk(db, unreadable)
        await handle(desk, CRAWLER, _ask("request_jobs", wire.RequestJobs(request_id="r")))
        asked = wire.RenewLeases(leases=[wire.Holding(task_id="1", epoch=1)])
        told = []
        for _ in range(2):
            reply = await handle(desk, CRAWLER, _ask("renew_leases", asked))
            assert reply is not None
            (one,) = msgspec.json.decode(reply.payload, type=wire.LeasesRenewed).leases
            told.append((one.lost, one.access_token))
            unreadable.add("http://gitlab")
        assert told == [(False, "glpat-canary"), (False, None)]


async def test_token_that_a_crawler_has_in_its_environment_is_not_sent_to_it(
    tmp_path: Path,
) -> None:
    async with store(tmp_path) as db:
        await db.write(_plan)
        desk = replace(
            _desk(db, set()),
            is_handed_over=lambda name, account: (name, account) == ("crawler-1", 1),
        )
        told = []
        for name in ("crawler-1", "crawler-2"):
            caller = Caller(name)
            claim = _ask("request_jobs", wire.RequestJobs(request_id=name))
            reply = await handle(desk, caller, claim)
            assert reply is not None
            (task,) = msgspec.json.decode(reply.payload, type=list[wire.Task])
            held = wire.Holding(task_id=task.task_id, epoch=task.lease.epoch)
            reply = await handle(
                desk, caller, _ask("renew_leases", wire.RenewLeases(leases=[held]))
            )
            assert reply is not None
            (lease,) = msgspec.json.decode(reply.payload, type=wire.LeasesRenewed).leases
            told.append((task.credentials.access_token, lease.access_token))
            await db.write(lambda c: leases.give_back(c, 1))
        assert told == [("", None), ("glpat-canary", "glpat-canary")]


def test_hashes_of_the_children_are_shown_to_nobody() -> None:
    """Who has such a hash can pass for the child."""
    auth = DirectSocketAuth()
    auth.announce("crawler-1", 7, "ab" * 32)
    assert "\\xab" not in repr(auth)
    assert (auth.withdraw("crawler-1", 8), auth.withdraw("crawler-1", 7)) == (False, True)
