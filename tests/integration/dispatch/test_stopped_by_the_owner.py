"""Nothing is committed of an account after its owner said no, whatever its crawler still sends.

A crawler that comes by HTTP is told nothing: it hears of it with its next word, whichever it is.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from labtrawl.clock import system_clock
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handlers import handle
from labtrawl.domain.credential import Secret
from labtrawl.errors import LabtrawlError
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Tier
from labtrawl.store import accounts, choices, connections, consents, jobs, leases
from labtrawl.store.engine import Connection, Database, Store
from tests.integration.dispatch.visits import Site, group, project, wish
from tests.integration.store.table import RETRY, rows, store
from tests.rig import consenting

CALLER = Caller("far-1", Tier.TOKEN)
KEPT = ("segment", "area", "area_access", "ledger", "visit", "message", "withheld")
OPEN = "SELECT resource, state, hold_reason, lease_holder FROM job WHERE resource = 'issues'"


def _withdraws(connection: Connection) -> None:
    consents.withdraw(connection, 1)


def _leaves_the_group_out(connection: Connection) -> None:
    (lab,) = connection.exec_driver_sql("SELECT id FROM area WHERE kind = 'group'").one()
    choices.choose(connection, 1, lab, wanted=False)


def _disconnects(connection: Connection) -> None:
    connections.disconnect(connection, 1)


def _is_switched_off(connection: Connection) -> None:
    choices.stop(connection, 1)
    accounts.switch(connection, 1, is_on=False)
    jobs.hold_unseen(connection)


async def _at_work(db: Store) -> leases.ClaimedJob:
    """Let a participant agree, and a crawler have a list of theirs in hand."""
    site = Site(db)
    await db.write(consenting.begin)
    await site.begin()
    await db.write(lambda c: consenting.agree(c, 1))
    found = await site.claim("discovery")
    await site.discover(found, group(), project())
    await site.propose(found, wish("issues"))
    await site.complete(found)
    (one,) = await db.write(lambda c: leases.claim(c, CALLER.name, "c", 1, 60, "issues"))
    return one


def _words(one: leases.ClaimedJob) -> dict[str, tuple[str, dict[str, Any]]]:
    job = {"taskId": str(one.job_id), "epoch": one.fence}
    name = f"i1/project-7/issues/j{one.job_id}-f{one.fence}-000001.jsonl.zst"
    segment = {"name": name, "length": 1, "sha256": "0" * 64, "records": 1}
    found = {"type": "project", "name": "p", "gitlabId": 9, "fullPath": "lab/p9", "role": 30}
    told = job | {"timestamp": 0, "status": "processing"}
    return {
        "state": ("PROGRESS_UPDATE", told),
        "segment": ("PROGRESS_UPDATE", told | {"cursor": "c", "segments": [segment]}),
        "areas": ("PROGRESS_UPDATE", told | {"status": "new_areas_discovered", "areas": [found]}),
        "end": ("PROGRESS_UPDATE", told | {"status": "completed", "segments": [segment]}),
        "failure": ("PROGRESS_UPDATE", told | {"status": "failed", "reason": "failed"}),
        "jobs": (
            "JOBS_DISCOVERED",
            job | {"jobs": [{"command": "labels", "fullPath": "lab/ocean", "gitlabId": 7}]},
        ),
        "token": ("TOKEN_REFRESH_REQUEST", job | {"requestId": "r"}),
    }


async def _say(desk: Desk, number: int, key: str, said: dict[str, Any]) -> str:
    """Send a message; return the reason why it is refused, "" where it is not."""
    raw = msgspec.Raw(msgspec.json.encode(said))
    envelope = wire.Envelope(
        origin=CALLER.name, type="message", key=key, payload=raw, id=f"{number:026d}"
    )
    try:
        await handle(desk, CALLER, envelope)
    except LabtrawlError as error:
        return error.reason
    return ""


async def _kept(db: Store) -> list[list[tuple[Any, ...]]]:
    return await db.read(lambda c: [rows(c, f"SELECT * FROM {table}") for table in KEPT])


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (_withdraws, "unseen"),
        (_leaves_the_group_out, "unseen"),
        (_disconnects, "credential"),
        (_is_switched_off, "credential"),
    ],
)
async def test_crawler_that_nobody_told_commits_nothing_more(
    database: Database, end: Callable[[Connection], None], why: str
) -> None:
    async with store(database) as db:
        one = await _at_work(db)
        decrypt = Credentials(db, lambda _: Secret("glpat-canary"))
        desk = Desk(db, decrypt, RETRY, 60.0, system_clock(), lambda: 0.0)
        words = _words(one)
        assert await _say(desk, 1, *words["state"]) == ""
        await db.write(end)
        before = await _kept(db)
        told = {name: await _say(desk, 2, *said) for name, said in words.items()}
        assert told == dict.fromkeys(words, "lease_lost")
        held = [(one.job_id, one.fence)]
        (lost,) = await db.write(lambda c: leases.renew(c, CALLER.name, held, 60))
        assert lost.lost
        assert await _kept(db) == before
        assert await db.read(lambda c: rows(c, OPEN)) == [("issues", "held", why, None)]
