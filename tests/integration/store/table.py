"""A database with planned jobs, and the few questions that tests ask it."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.domain.failure import RetryPolicy
from labtrawl.store import accounts, areas, jobs, leases, ledger
from labtrawl.store.engine import Connection, Store, database_path, open_store
from labtrawl.store.migrate import migrate

RETRY = RetryPolicy(attempts=3, base_seconds=0.0, ceiling_seconds=0.0)
LEASE_SECONDS = 60.0


@contextlib.asynccontextmanager
async def store(data_dir: Path) -> AsyncIterator[Store]:
    migrate(database_path(data_dir))
    async with open_store(database_path(data_dir)) as opened:
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
