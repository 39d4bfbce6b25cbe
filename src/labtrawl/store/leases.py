"""Leases: claim, renew, give back, rescue, and what time does to a job.

A job belongs to one lease at a time; each claim gives it a new fence number. Leases use the
database's clock.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.failure import GapReason, RetryPolicy
from labtrawl.domain.visit import Mode
from labtrawl.errors import LeaseLost, Missing
from labtrawl.store import ledger
from labtrawl.store.engine import NOW_MS
from labtrawl.store.jobs import (
    AGAIN,
    FREE,
    NEXT_CHANGE,
    JobPlace,
    Origin,
    hold_unseen,
    is_repeat,
)

POISONED = "its crawler died at each of its tries"


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job with its lease, and all that a crawler needs to run it."""

    job_id: int
    fence: int
    lease_expires_at: int
    resource: str
    priority: int
    attempt: int
    cursor: str | None
    next_segment: int
    processed_items: int
    area_kind: str
    gitlab_id: int
    full_path: str
    instance_id: int
    instance_url: str
    gitlab_version: str
    account_id: int
    mode: str = "full"
    # The server's instant (ms) after which a visit for changes reads; None where that is not known.
    since: int | None = None
    # What a known object counts as that a whole reading misses: a lower role may not see it.
    missing: str = "gone"


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of a lease that a crawler asked to keep."""

    job_id: int
    expires_at: int | None
    account_id: int | None
    wanted: str = "run"

    @property
    def lost(self) -> bool:
        """Whether the job belongs to another lease now."""
        return self.expires_at is None


# The index is named: with statistics SQLite takes that of the states instead, and sorts all of them.
CLAIMABLE = """
SELECT j.id, j.area_id FROM job AS j INDEXED BY ix_job_due
WHERE j.state = 'queued' AND j.run_after IS NULL AND (CAST(? AS TEXT) IS NULL OR j.resource = ?)
  AND EXISTS (SELECT 1 FROM area_access AS x JOIN account AS c ON c.id = x.account_id
              WHERE x.area_id = j.area_id AND c.state = 'active')
ORDER BY j.priority DESC, j.id LIMIT ?
"""

CLAIM = f"""
UPDATE job SET state = 'running', fence = fence + 1, attempt = attempt + 1, lease_holder = ?,
  lease_expires_at = {NOW_MS} + ?, claim_id = ?, earlier_requests = requests,
  earlier_retries = retries, applied_origin = NULL, applied_id = NULL,
  started_at = COALESCE(started_at, {NOW_MS}), updated_at = {NOW_MS}, change = {NEXT_CHANGE},
  read_role = CASE WHEN read_role < ? THEN read_role ELSE ? END, account_id = ?
WHERE id = ? AND state = 'queued'
"""

_CLAIMED_JOB = """
SELECT j.id, j.fence, j.lease_expires_at, j.resource, j.priority, j.attempt, j.cursor,
  j.next_segment, j.processed_items, a.kind, a.gitlab_id, a.full_path, i.id, i.url, i.version,
  j.account_id, j.mode, CASE WHEN j.mode = 'changes' THEN v.watermark END,
  CASE WHEN j.read_role < v.role THEN 'forbidden' ELSE 'gone' END
FROM job AS j JOIN area AS a ON a.id = j.area_id JOIN instance AS i ON i.id = a.instance_id
  LEFT JOIN visit AS v ON v.area_id = j.area_id AND v.resource = j.resource
WHERE j.state = 'running' AND j.lease_holder = ?"""
CLAIMED = f"{_CLAIMED_JOB} AND j.claim_id = ? ORDER BY j.id"
IN_HAND = f"{_CLAIMED_JOB} ORDER BY j.id"


def claim(
    connection: Connection,
    holder: str,
    claim_id: str,
    limit: int,
    lease_seconds: float,
    resource: str | None = None,
) -> list[ClaimedJob]:
    """Lease up to `limit` due jobs to `holder`; the same `claim_id` gets the same jobs again."""
    if not (claimed := _claimed(connection, holder, claim_id)):
        due = connection.exec_driver_sql(CLAIMABLE, (resource, resource, limit)).all()
        if due:
            seats = _seats(connection, {area_id for _, area_id in due})
            lease = (holder, int(lease_seconds * 1000), claim_id)
            values = [(*lease, *_take(seats[area_id]), job_id) for job_id, area_id in due]
            connection.exec_driver_sql(CLAIM, values)
            claimed = _claimed(connection, holder, claim_id)
    return claimed


@dataclass(slots=True)
class _Account:
    """An account, and how many jobs it has at work."""

    id: int
    jobs: int = 0


def _seats(connection: Connection, areas: Collection[int]) -> dict[int, tuple[int, list[_Account]]]:
    """Return for each area the highest role in it, and the accounts that have it, by number."""
    marks = ", ".join("?" * len(areas))
    rows = connection.exec_driver_sql(
        "SELECT x.area_id, x.role, c.id FROM area_access AS x JOIN account AS c"
        f" ON c.id = x.account_id WHERE c.state = 'active' AND x.area_id IN ({marks})"
        " ORDER BY x.area_id, x.role DESC, c.id",
        tuple(areas),
    ).all()
    accounts = {account_id: _Account(account_id) for _, _, account_id in rows}
    if len(accounts) > 1:
        _count_jobs(connection, accounts)
    seats: dict[int, tuple[int, list[_Account]]] = {}
    for area_id, role, account_id in rows:
        best, those = seats.setdefault(area_id, (role, []))
        if role == best:
            those.append(accounts[account_id])
    return seats


def _count_jobs(connection: Connection, accounts: dict[int, _Account]) -> None:
    rows = connection.exec_driver_sql(
        "SELECT account_id, COUNT(*) FROM job WHERE state = 'running' GROUP BY account_id"
    ).all()
    for account_id, running in rows:
        if account_id in accounts:
            accounts[account_id].jobs = running


def _take(seat: tuple[int, list[_Account]]) -> tuple[int, int, int]:
    """Let the account with the highest role and the fewest jobs do it; return what CLAIM is told."""
    role, those = seat
    least = min(those, key=lambda one: one.jobs)
    least.jobs += 1
    return role, role, least.id


def has_due(
    connection: Connection, holder: str, claim_id: str, resource: str | None = None
) -> bool:
    """Say whether a claim would find something; cheap, and it changes nothing."""
    due = connection.exec_driver_sql(CLAIMABLE, (resource, resource, 1)).first()
    return due is not None or bool(_claimed(connection, holder, claim_id))


def in_hand(connection: Connection, holder: str) -> list[ClaimedJob]:
    """Return the jobs that a holder has, as it claimed them."""
    rows = connection.exec_driver_sql(IN_HAND, (holder,)).all()
    return [ClaimedJob(*row) for row in rows]


def _claimed(connection: Connection, holder: str, claim_id: str) -> list[ClaimedJob]:
    rows = connection.exec_driver_sql(CLAIMED, (holder, claim_id)).all()
    return [ClaimedJob(*row) for row in rows]


def renew(
    connection: Connection, holder: str, leases: Sequence[tuple[int, int]], lease_seconds: float
) -> list[Renewal]:
    """Prolong the (job, fence) leases that are still `holder`'s; the others come back as lost."""
    return [_renew(connection, holder, lease, lease_seconds) for lease in leases]


def _renew(
    connection: Connection, holder: str, lease: tuple[int, int], lease_seconds: float
) -> Renewal:
    row = connection.exec_driver_sql(
        f"UPDATE job SET lease_expires_at = {NOW_MS} + ?"
        " WHERE id = ? AND fence = ? AND lease_holder = ? AND state = 'running'"
        " RETURNING lease_expires_at, account_id, wanted",
        (int(lease_seconds * 1000), lease[0], lease[1], holder),
    ).first()
    return (
        Renewal(lease[0], *row)
        if row
        else Renewal(lease[0], None, None, _end_of(connection, lease))
    )


def _end_of(connection: Connection, lease: tuple[int, int]) -> str:
    """Say whether a lost lease ended because somebody cancelled its job."""
    row = connection.exec_driver_sql(
        "SELECT 1 FROM job WHERE id = ? AND fence = ? AND state = 'cancelled'", lease
    ).first()
    return "cancel" if row else "run"


def prolong(connection: Connection, holder: str, lease_seconds: float) -> None:
    """Prolong whatever a holder has: for peers that never learned to renew."""
    connection.exec_driver_sql(
        f"UPDATE job SET lease_expires_at = {NOW_MS} + ?"
        " WHERE state = 'running' AND lease_holder = ?",
        (int(lease_seconds * 1000), holder),
    )


@dataclass(frozen=True, slots=True)
class Lease:
    """Who has a job in hand, and under which fence number."""

    holder: str
    fence: int


def lease_of(connection: Connection, job_id: int) -> Lease:
    """Return the lease of a running job; Missing for no such job, LeaseLost for one at rest."""
    row = connection.exec_driver_sql(
        "SELECT state, lease_holder, fence FROM job WHERE id = ?", (job_id,)
    ).first()
    if row is None:
        raise Missing(f"there is no job {job_id}")
    if row[0] != "running":
        raise LeaseLost(f"job {job_id} is {row[0]}; nobody has it in hand")
    return Lease(row[1], row[2])


@dataclass(frozen=True, slots=True)
class AtWork:
    """A job as a report finds it, with what is known of the visits to its list."""

    place: JobPlace
    now: int
    began_at: int
    read_role: int | None
    changed_items: int
    best_role: int | None
    watermark: int | None
    every: int | None
    sweep_at: int | None
    wanted_at: int | None
    role: int | None
    last_at: int | None


BEST_ROLE = """(SELECT MAX(x.role) FROM area_access AS x JOIN account AS c ON c.id = x.account_id
    WHERE x.area_id = job.area_id AND c.state = 'active')"""
AT_WORK = f"""
SELECT job.state, job.fence, job.lease_holder, job.applied_origin, job.applied_id,
  job.resource, job.attempt, job.area_id, a.instance_id, job.account_id, a.kind, job.mode,
  {NOW_MS}, COALESCE(job.started_at, {NOW_MS}), job.read_role, job.changed_items, {BEST_ROLE},
  v.watermark, v.every_ms, v.sweep_at, v.wanted_at, v.role, v.last_at
FROM job JOIN area AS a ON a.id = job.area_id
  LEFT JOIN visit AS v ON v.area_id = job.area_id AND v.resource = job.resource
WHERE job.id = ?
"""


def at_work(connection: Connection, job_id: int, origin: Origin | None) -> AtWork | None:
    """Return a job for a report of `origin` to change it; None where that took effect before.

    Raises LeaseLost where the report comes from an older lease (one without an `origin` was looked
    at by its receiver), Missing for no such job.
    """
    row = connection.exec_driver_sql(AT_WORK, (job_id,)).first()
    if row is None:
        raise Missing(f"there is no job {job_id}")
    if origin is not None and is_repeat(job_id, origin, *row[:5]):
        return None
    resource, attempt, area_id, instance_id, account_id, kind, mode = row[5:12]
    place = JobPlace(resource, attempt, area_id, instance_id, account_id, kind, Mode(mode))
    return AtWork(place, *row[12:])


GivenUp = Callable[[Connection, int], None]
"""Hears of a job that is failed because it only ever killed its crawlers."""


def _unheard(_connection: Connection, _job_id: int) -> None:
    """For who schedules nothing."""


def outlast(connection: Connection, leapt_ms: int) -> None:
    """Let the leases that ran out because the clock leapt ahead have the time that they had."""
    connection.exec_driver_sql(
        "UPDATE job SET lease_expires_at = lease_expires_at + ?"
        f" WHERE state = 'running' AND lease_expires_at < {NOW_MS}",
        (leapt_ms,),
    )


def rescue_expired(
    connection: Connection, policy: RetryPolicy, given_up: GivenUp = _unheard
) -> int:
    """Free the jobs whose lease ran out; return how many."""
    return _rescue(connection, f"lease_expires_at < {NOW_MS}", (), policy, given_up)


def rescue_holder(
    connection: Connection, holder: str, policy: RetryPolicy, given_up: GivenUp = _unheard
) -> int:
    """Free the jobs of a holder that is known to be dead; return how many."""
    return _rescue(connection, "lease_holder = ?", (holder,), policy, given_up)


def _rescue(
    connection: Connection,
    which: str,
    arguments: tuple[str, ...],
    policy: RetryPolicy,
    given_up: GivenUp,
) -> int:
    """Queue again, a new fence comes with the next claim; a job that only ever kills is failed."""
    failed = connection.exec_driver_sql(
        f"UPDATE job SET state = 'failed', {FREE}, error_reason = 'failed', error_message = ?,"
        f" finished_at = {NOW_MS}, updated_at = {NOW_MS}, change = {NEXT_CHANGE}"
        f" WHERE state = 'running' AND {which} AND attempt >= ? RETURNING id, area_id, resource",
        (POISONED, *arguments, policy.attempts * 2),
    ).all()
    for job_id, area_id, resource in failed:
        entry = ledger.Entry(reason=GapReason.FAILED, detail=POISONED)
        ledger.explain(connection, area_id, resource, entry)
        given_up(connection, job_id)
    queued = connection.exec_driver_sql(
        f"UPDATE job SET {AGAIN}, {FREE}, updated_at = {NOW_MS}, change = {NEXT_CHANGE}"
        f" WHERE state = 'running' AND {which} RETURNING id",
        arguments,
    ).all()
    for (job_id,) in queued:
        hold_unseen(connection, job_id)
    return len(failed) + len(queued)


def give_back(connection: Connection, job_id: int) -> None:
    """Queue a running job again at once, or hold it where a pause is wanted; no try is counted.

    It waits where nobody sees its area by now.
    """
    connection.exec_driver_sql(
        f"UPDATE job SET {AGAIN}, {FREE}, attempt = MAX(attempt - 1, 0),"
        f" updated_at = {NOW_MS}, change = {NEXT_CHANGE} WHERE id = ? AND state = 'running'",
        (job_id,),
    )
    hold_unseen(connection, job_id)


def release_unheld(connection: Connection, holder: str, held: set[tuple[int, int]]) -> list[int]:
    """Free the leases of `holder` that it no longer holds; return their jobs."""
    rows = connection.exec_driver_sql(
        "SELECT id, fence FROM job WHERE state = 'running' AND lease_holder = ?", (holder,)
    ).all()
    released = [row[0] for row in rows if (row[0], row[1]) not in held]
    for job_id in released:
        give_back(connection, job_id)
    return released


NEEDS_CARE = f"""
SELECT EXISTS (SELECT 1 FROM job WHERE run_after <= {NOW_MS} AND state = 'queued')
  OR EXISTS (SELECT 1 FROM job WHERE state = 'running' AND lease_expires_at < {NOW_MS})
  OR EXISTS (SELECT 1 FROM job WHERE state = 'held' AND hold_reason = 'disk')
"""


def needs_care(connection: Connection) -> bool:
    """Say whether time has something to do for a job."""
    return bool(connection.exec_driver_sql(NEEDS_CARE).scalar_one())


def make_due(connection: Connection) -> int:
    """Let the jobs whose waiting is over be claimed; return how many."""
    return connection.exec_driver_sql(
        f"UPDATE job SET run_after = NULL, change = {NEXT_CHANGE}"
        f" WHERE run_after <= {NOW_MS} AND state = 'queued'"
    ).rowcount


def live_leases(connection: Connection) -> set[tuple[int, int]]:
    """Return the (job, fence) pairs that may be writing now."""
    rows = connection.exec_driver_sql("SELECT id, fence FROM job WHERE state = 'running'").all()
    return {(row[0], row[1]) for row in rows}
