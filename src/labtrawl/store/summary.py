"""Figures of a whole crawl, for the command line."""

from dataclasses import dataclass

from labtrawl.store.engine import Connection


@dataclass(frozen=True, slots=True)
class Gap:
    """A list that holds less than GitLab does, and why; None where nobody knows."""

    full_path: str
    resource: str
    reason: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far everything is."""

    jobs: dict[str, int]
    areas: dict[str, int]
    records: int
    requests: int
    retries: int
    discovered: bool

    @property
    def open_jobs(self) -> int:
        """Jobs that can still go on by themselves."""
        return self.jobs.get("queued", 0) + self.jobs.get("running", 0)

    @property
    def finished(self) -> bool:
        """Whether nothing is left that could go on by itself."""
        return self.discovered and self.open_jobs == 0


def progress(connection: Connection) -> Progress:
    """Count jobs, areas, committed records and requests."""
    jobs = connection.exec_driver_sql(
        "SELECT state, COUNT(*) FROM job GROUP BY state ORDER BY state"
    ).all()
    areas = connection.exec_driver_sql(
        "SELECT kind, COUNT(*) FROM area WHERE kind IN ('group', 'project') GROUP BY kind"
        " ORDER BY kind"
    ).all()
    sums = connection.exec_driver_sql(
        "SELECT COALESCE(SUM(requests), 0), COALESCE(SUM(retries), 0) FROM job"
    ).one()
    discovery = connection.exec_driver_sql(
        "SELECT COUNT(*), SUM(CASE WHEN state IN ('queued', 'running') THEN 0 ELSE 1 END) FROM job"
        " WHERE resource = 'discovery'"
    ).one()
    records: int = connection.exec_driver_sql(
        "SELECT COALESCE(SUM(records), 0) FROM segment"
    ).scalar_one()
    return Progress(
        {row[0]: row[1] for row in jobs},
        {row[0]: row[1] for row in areas},
        records,
        sums[0],
        sums[1],
        discovery[0] > 0 and discovery[0] == discovery[1],
    )


def last_read_at(connection: Connection) -> int | None:
    """Return when a list was read to its end last (ms); None where none was."""
    found: int | None = connection.exec_driver_sql("SELECT MAX(last_at) FROM visit").scalar()
    return found


def records_by_resource(connection: Connection) -> dict[str, int]:
    """Count committed records by resource."""
    rows = connection.exec_driver_sql(
        "SELECT resource, SUM(records) FROM segment GROUP BY resource ORDER BY resource"
    ).all()
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class Total:
    """A resource over all areas: lists, objects that are there, and how many lists have a reason."""

    resource: str
    lists: int
    objects: int
    reasons: dict[str, int]


def totals(connection: Connection) -> list[Total]:
    """Add up the ledger by resource."""
    reasons: dict[str, dict[str, int]] = {}
    for resource, reason, lists in connection.exec_driver_sql(
        "SELECT resource, reason, COUNT(*) FROM ledger WHERE reason IS NOT NULL"
        " GROUP BY resource, reason ORDER BY resource, COUNT(*) DESC, reason"
    ).all():
        reasons.setdefault(resource, {})[reason] = lists
    rows = connection.exec_driver_sql(
        "SELECT resource, COUNT(*), SUM(collected) FROM ledger GROUP BY resource ORDER BY resource"
    ).all()
    return [Total(row[0], row[1], int(row[2]), reasons.get(row[0], {})) for row in rows]


def held(connection: Connection) -> dict[str, int]:
    """Count the jobs that something holds up, by what it is."""
    rows = connection.exec_driver_sql(
        "SELECT hold_reason, COUNT(*) FROM job WHERE state = 'held' GROUP BY hold_reason"
    ).all()
    return {row[0]: row[1] for row in rows}


def why_refused(connection: Connection) -> str:
    """Return what GitLab said of the token or the account for which jobs wait; "" for nothing."""
    return (
        connection.exec_driver_sql(
            "SELECT error_message FROM job WHERE state = 'held' AND hold_reason = 'credential'"
            " AND error_message IS NOT NULL ORDER BY updated_at DESC LIMIT 1"
        ).scalar()
        or ""
    )


GAPS = """
SELECT a.full_path, l.resource, l.reason, l.detail FROM ledger AS l JOIN area AS a
ON a.id = l.area_id WHERE l.reason IS NOT NULL OR l.completed_at IS NULL
  OR (l.expected IS NOT NULL AND l.expected <> l.collected)
ORDER BY a.full_path, l.resource
"""


def gaps(connection: Connection) -> list[Gap]:
    """List what is not complete: with a reason, or unexplained."""
    return [Gap(*row) for row in connection.exec_driver_sql(GAPS).all()]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something could not be read: a reason of `GitLabError`, and its sentence."""

    reason: str
    message: str


def discovery_failure(connection: Connection) -> Failure | None:
    """Return why the areas could not be found; None where they were, or are being looked for."""
    row = connection.exec_driver_sql(
        "SELECT error_reason, error_message FROM job WHERE resource = 'discovery'"
        " AND state = 'failed' ORDER BY id LIMIT 1"
    ).first()
    return None if row is None else Failure(row[0], row[1] or "nobody knows why")
