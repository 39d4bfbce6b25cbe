"""What the requests may be, and where the time of the crawl goes."""

from dataclasses import dataclass

from sqlalchemy import Connection, Subquery, func, select

from labtrawl.store.schema import account, area, budget, job

# Jobs that moved last: so many tell where the time goes, however long the list of jobs is.
NEWEST = 2_000
SLOWEST = 5


@dataclass(frozen=True, slots=True)
class SlowArea:
    """An area that much time went into lately: of how many jobs, and their requests."""

    id: int
    kind: str
    full_path: str
    name: str
    jobs: int
    milliseconds: int
    requests: int


def limits_per_minute(connection: Connection) -> list[int | None]:
    """Return how many requests GitLab takes a minute from each account; None where it sets no limit."""
    query = select(budget.c.limit_per_minute).select_from(
        account.outerjoin(
            budget, (budget.c.account_id == account.c.id) & (budget.c["class"] == "rest")
        )
    )
    where = query.where(account.c.state == "active").order_by(account.c.id)
    return list(connection.execute(where).scalars().all())


def slowest_areas(connection: Connection) -> list[SlowArea]:
    """Return where the jobs that moved last took the most time, the slowest first."""
    newest = _newest()
    spent = func.sum(newest.c.spent)
    columns = (area.c.id, area.c.kind, area.c.full_path, area.c.name)
    found = (
        select(*columns, func.count(), spent, func.sum(newest.c.requests))
        .join(newest, newest.c.area_id == area.c.id)
        # A job that was opened again has begun anew, and its end is that of the visit before.
        .where(newest.c.spent > 0)
        .group_by(area.c.id)
        .order_by(spent.desc(), area.c.id)
        .limit(SLOWEST)
    )
    return [
        SlowArea(row[0], row[1], row[2], row[3], int(row[4]), int(row[5]), int(row[6] or 0))
        for row in connection.execute(found).all()
    ]


def _newest() -> Subquery:
    """The jobs that moved last: milliseconds at work, and requests of this visit."""
    ended_at = func.coalesce(job.c.finished_at, job.c.updated_at)
    return (
        select(
            job.c.area_id,
            (ended_at - job.c.started_at).label("spent"),
            (job.c.requests - job.c.earlier_requests).label("requests"),
        )
        .where(job.c.change > 0, job.c.started_at.is_not(None))
        .order_by(job.c.change.desc(), job.c.id.desc())
        .limit(NEWEST)
        .subquery()
    )
