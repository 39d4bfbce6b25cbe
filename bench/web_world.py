"""A large list of jobs for `bench/web.py`: a million by statements, uneven as real ones are."""

from labtrawl.store import accounts
from labtrawl.store.engine import NOW_MS, Connection

LISTS = 25
KINDS = "CASE WHEN n % 8 = 0 THEN 'group' ELSE 'project' END"
NUMBERS = "WITH RECURSIVE number(n) AS (SELECT CAST({first} AS BIGINT) UNION ALL SELECT n + 1 FROM number WHERE n < {last})"
ACCOUNTS = 40
CHUNK = 50_000

AREA = f"""{NUMBERS}
INSERT INTO area (id, instance_id, kind, gitlab_id, full_path, name, parent_path, discovered_at, seen_at)
SELECT n, 1, {KINDS}, n, 'team-' || (n % 400) || '/part-' || (n % 7) || '/project-' || n,
  'Project ' || n, 'team-' || (n % 400), 0, 0 FROM number"""
ACCESS = f"""{NUMBERS}
INSERT INTO area_access (area_id, account_id, role, seen_at)
SELECT n, 1 + n % {ACCOUNTS}, 30, 0 FROM number"""
# Nine of ten are done; failures lie far back, what waits is new, and one reason is rare.
PICK = "((n * 7919) % 1000)"
STATE = f"""CASE WHEN n * 10 > {{total}} * 9 AND {PICK} < 600 THEN 'queued'
  WHEN n * 10 < {{total}} * 3 AND {PICK} < 60 THEN 'failed'
  WHEN {PICK} BETWEEN 990 AND 994 THEN 'held' WHEN {PICK} BETWEEN 995 AND 996 THEN 'cancelled'
  WHEN n % 4000 = 3 THEN 'running' ELSE 'completed' END"""
JOB = f"""{NUMBERS}, made(n, state, pick) AS (SELECT n, {STATE}, {PICK} FROM number)
INSERT INTO job (id, area_id, resource, state, hold_reason, priority, attempt, fence, lease_holder,
  lease_expires_at, account_id, processed_items, total_items, requests, error_reason, error_message,
  created_at, started_at, finished_at, updated_at, change)
SELECT n, 1 + (n - 1) / {LISTS}, 'resource_' || (n % {LISTS}), state,
  CASE WHEN state = 'held' THEN CASE WHEN pick = 990 THEN 'disk' ELSE 'paused' END END,
  CASE n % {LISTS} WHEN 0 THEN 5 WHEN 1 THEN 4 WHEN 24 THEN -1 ELSE 0 END, 1, 1,
  CASE WHEN state = 'running' THEN 'crawler-1' END,
  CASE WHEN state = 'running' THEN {NOW_MS} + 100000000 END,
  CASE WHEN state IN ('queued', 'held') THEN NULL ELSE 1 + ((n - 1) / {LISTS}) % {ACCOUNTS} END,
  n % 5000, n % 5000 + n % 3, n % 90,
  CASE WHEN state = 'failed' THEN CASE WHEN pick = 7 THEN 'tier' WHEN pick < 30 THEN 'forbidden'
    ELSE 'unavailable' END END,
  CASE WHEN state = 'failed' THEN '502 Bad Gateway from /projects/' || n END,
  {NOW_MS} - 4 * ({{total}} - n) - 900000,
  CASE WHEN state IN ('queued', 'held') THEN NULL ELSE {NOW_MS} - 4 * ({{total}} - n) - 600000 END,
  CASE WHEN state IN ('completed', 'failed', 'cancelled')
    THEN {NOW_MS} - 4 * ({{total}} - n) - 600000 + (n * 104729) % 500000 END,
  {NOW_MS} - 4 * ({{total}} - n), (n * 7919) % {{total}} + 1
FROM made"""


def fill(connection: Connection, total: int) -> None:
    """Make so many jobs, a list each, of an area for every 25 of them."""
    for number in range(ACCOUNTS):
        verified = accounts.VerifiedAccount(
            "main", "https://gitlab.example", "19.3.0", number + 1, f"user{number}", (), "token"
        )
        accounts.record(connection, verified)
    for statement, last in ((AREA, -(-total // LISTS)), (ACCESS, -(-total // LISTS)), (JOB, total)):
        for first in range(1, last + 1, CHUNK):
            numbers = {"first": first, "last": min(first + CHUNK - 1, last), "total": total}
            connection.exec_driver_sql(statement.format(**numbers))
