"""A database with planned jobs, and the few questions that tests ask it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.domain.failure import RetryPolicy
from labtrawl.store import accounts, areas, jobs, leases, ledger
from labtrawl.store.engine import Connection, Database, Store, database_path, open_store
from labtrawl.store.migrate import migrate

RETRY = RetryPolicy(attempts=3, base_seconds=0.0, ceiling_seconds=0.0)
LEASE_SECONDS = 60.0


@contextlib.asynccontextmanager
async def store(place: Database) -> AsyncIterator[Store]:
    """Open a migrated database: the one that is named, or that of a data folder."""
    database = database_path(place) if isinstance(place, Path) and place.is_dir() else place
    migrate(database)
    async with open_store(database) as opened:
        yield opened


def account(connection: Connection, user: int, url: str = "http://gitlab") -> int:
    """Record an account of the one instance."""
    verified = accounts.VerifiedAccount("main", url, "17.0.0", user, f"user{user}", (), "token")
    return accounts.record(connection, verified)[1]


def area(connection: Connection, number: int, roles: dict[int, int]) -> int:
    """Record a project that accounts (by id) see with these roles."""
    found = FoundArea(AreaKind.PROJECT, number, f"lab/p{number}", f"p{number}")
    area_id = areas.record(connection, 1, found)
    for account_id, role in roles.items():
        areas.grant(connection, area_id, account_id, role)
    return area_id


def job(connection: Connection, area_id: int, resource: str = "issues", priority: int = 0) -> int:
    job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, resource, priority))
    assert job_id is not None
    ledger.open_row(connection, area_id, resource, job_id)
    return job_id


def planned(connection: Connection, count: int = 1) -> list[int]:
    """One account, one area, so many jobs."""
    area_id = area(connection, 7, {account(connection, 1): 30})
    return [job(connection, area_id, f"r{number}") for number in range(count)]


def claim(
    connection: Connection, holder: str, claim_id: str = "c", limit: int = 1, **fields: Any
) -> list[leases.ClaimedJob]:
    return leases.claim(connection, holder, claim_id, limit, LEASE_SECONDS, **fields)


def expire(connection: Connection) -> None:
    """Let all leases have run out, as time would."""
    connection.exec_driver_sql("UPDATE job SET lease_expires_at = 1 WHERE state = 'running'")


def rows(connection: Connection, what: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(what).all()]


def states(connection: Connection) -> Sequence[str]:
    return [row[0] for row in rows(connection, "SELECT state FROM job ORDER BY id")]


def insert(connection: Connection, name: str) -> None:
    """Add one row to a table that is its own small world."""
    connection.exec_driver_sql(
        "INSERT INTO instance (name, url, added_at) VALUES (?, 'u', 0)", (name,)
    )


def names(connection: Connection) -> list[str]:
    return [row[0] for row in rows(connection, "SELECT name FROM instance ORDER BY id")]


async def grouped(db: Store, *works: Callable[[Connection], None]) -> list[object]:
    """Run works in one group: the writer is kept busy until all of them wait."""
    begun, gate = threading.Event(), threading.Event()

    def block(_connection: Connection) -> None:
        begun.set()
        gate.wait(30)

    blocker = asyncio.ensure_future(db.write(block))
    await asyncio.to_thread(begun.wait, 30)
    tasks = [asyncio.ensure_future(db.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.set()
    await blocker
    return list(await asyncio.gather(*tasks, return_exceptions=True))
