"""The crawlers as the database knows them: what is wanted of each, and the jobs it has in hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from labtrawl.store.commands import EVERY_CRAWLER
from labtrawl.store.schema import area, crawler, job

# Crawlers have fewer jobs in hand than this, all together; a page shows fewer still.
MOST = 2000


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job in a crawler's hand; instants in ms."""

    id: int
    resource: str
    area_id: int
    full_path: str
    area_name: str
    processed_items: int
    total_items: int | None
    requests: int
    stage: str
    lease_expires_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class KnownCrawler:
    """A name that a crawler once came by; `wanted_since` in ms."""

    name: str
    wanted: str
    wanted_since: int


@dataclass(frozen=True, slots=True)
class Crew:
    """All of them; `wanted` is what is wanted of every crawler."""

    wanted: str
    known: Sequence[KnownCrawler]
    held: Mapping[str, Sequence[HeldJob]]
    """By the name of the crawler, each from the one that moved last."""


def crew(connection: Connection) -> Crew:
    """Return every crawler that ever came, and what they have in hand now."""
    rows = connection.execute(
        select(crawler.c.name, crawler.c.wanted, crawler.c.changed_at).order_by(crawler.c.name)
    ).all()
    known = [KnownCrawler(*row) for row in rows]
    every = next((each.wanted for each in known if each.name == EVERY_CRAWLER), "run")
    return Crew(every, [each for each in known if each.name != EVERY_CRAWLER], _held(connection))


def _held(connection: Connection) -> dict[str, list[HeldJob]]:
    rows = connection.execute(
        select(
            job.c.lease_holder,
            job.c.id,
            job.c.resource,
            area.c.id,
            area.c.full_path,
            area.c.name,
            job.c.processed_items,
            job.c.total_items,
            job.c.requests,
            job.c.stage,
            job.c.lease_expires_at,
            job.c.updated_at,
        )
        .select_from(job.join(area, area.c.id == job.c.area_id))
        .where(job.c.state == "running")
        .order_by(job.c.id.desc())
        .limit(MOST)
    ).all()
    found: dict[str, list[HeldJob]] = {}
    for holder, *rest in sorted(rows, key=lambda row: row.updated_at, reverse=True):
        found.setdefault(holder, []).append(HeldJob(*rest))
    return found
