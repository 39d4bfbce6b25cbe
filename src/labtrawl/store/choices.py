"""Which areas of a participant are read: what was found, what its owner said, and what follows.

A choice for a group holds for all below it that has no choice of its own. The same rule stands in
the triggers of `area_access`, which refuse what this file would not do.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from labtrawl.domain.visit import DISCOVERY
from labtrawl.errors import Missing
from labtrawl.store import jobs, ledger, visits, watches
from labtrawl.store.areas import NOT_SEEN
from labtrawl.store.commands import Worked
from labtrawl.store.engine import NOW_MS
from labtrawl.store.jobs import AGAIN, FREE, NEXT_CHANGE

# The nearest answer, for the row `h` of an area `a` of the account `h.account_id`; NULL for none.
NEAREST = """
(SELECT n.wanted FROM area_choice AS n JOIN area AS p ON p.id = n.area_id
 WHERE n.account_id = h.account_id AND n.wanted IS NOT NULL AND p.instance_id = a.instance_id
 AND (p.id = a.id OR (p.kind = 'group'
   AND substr(a.full_path, 1, length(p.full_path) + 1) = p.full_path || '/'))
 ORDER BY CASE WHEN p.id = a.id THEN 0 ELSE 1 END, length(p.full_path) DESC LIMIT 1)
"""
IS_WANTED = f"COALESCE({NEAREST}, CASE WHEN k.areas = 'all' THEN 1 ELSE 0 END)"
MINE = f"""
SELECT a.id, a.kind, a.full_path, a.name, h.role, h.wanted,
  COALESCE(CASE WHEN h.role > {NOT_SEEN} THEN {IS_WANTED} END, 0)
FROM area_choice AS h JOIN area AS a ON a.id = h.area_id JOIN account AS c ON c.id = h.account_id
  LEFT JOIN consent AS k ON k.id = c.consent_id
WHERE h.account_id = ? ORDER BY replace(a.full_path, '/', ' '), a.id
"""
ALLOWED = f"""
SELECT a.id, h.role FROM area_choice AS h JOIN area AS a ON a.id = h.area_id
  JOIN account AS c ON c.id = h.account_id JOIN consent AS k ON k.id = c.consent_id
WHERE h.account_id = ? AND h.role > {NOT_SEEN} AND {IS_WANTED} = 1
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """An area that an account was found to see.

    `wanted` is what its owner said of this very area, None for nothing; `is_collected` whether it is
    read, by that answer, or the nearest one above it, or by what the consent says of all.
    """

    area_id: int
    kind: str
    full_path: str
    name: str
    role: int
    wanted: bool | None
    is_collected: bool


def mine(connection: Connection, account_id: int) -> list[Choice]:
    """Return the groups and projects that an account sees, in the order of the tree."""
    rows = connection.exec_driver_sql(MINE, (account_id,)).all()
    return [_choice(row) for row in rows]


def _choice(row: Any) -> Choice:
    area_id, kind, full_path, name, role, wanted, is_collected = row
    said = None if wanted is None else bool(wanted)
    return Choice(area_id, kind, full_path, name, role, said, bool(is_collected))


def found(connection: Connection, account_id: int, area_id: int, role: int) -> bool:
    """Note that a participant's account sees an area; say whether it may be read."""
    connection.exec_driver_sql(
        "INSERT INTO area_choice (account_id, area_id, role, seen_at)"
        f" VALUES (?, ?, ?, {NOW_MS}) ON CONFLICT (account_id, area_id)"
        " DO UPDATE SET role = excluded.role, seen_at = excluded.seen_at",
        (account_id, area_id, role),
    )
    row = connection.exec_driver_sql(f"{ALLOWED} AND a.id = ?", (account_id, area_id)).first()
    return row is not None


def choose(
    connection: Connection, account_id: int, area_id: int, wanted: bool | None
) -> list[Worked]:
    """Let an area be collected or not, with all below it; None takes an answer back.

    Returns the jobs that were stopped: tell their crawlers. Missing for what is not this account's.
    """
    had = areas_of(connection, account_id)  # before the answer: a trigger takes access at once
    changed = connection.exec_driver_sql(
        f"UPDATE area_choice SET wanted = ?, chosen_at = {NOW_MS}"
        " WHERE account_id = ? AND area_id = ?",
        (None if wanted is None else int(wanted), account_id, area_id),
    ).rowcount
    if not changed:
        raise Missing(f"there is no area {area_id} of this account")
    # An answer for a group replaces those that were given before for what is below it.
    connection.exec_driver_sql(
        "UPDATE area_choice SET wanted = NULL WHERE account_id = ? AND area_id IN"
        " (SELECT a.id FROM area AS a JOIN area AS g ON g.id = ? AND g.kind = 'group'"
        " AND g.instance_id = a.instance_id"
        " WHERE substr(a.full_path, 1, length(g.full_path) + 1) = g.full_path || '/')",
        (account_id, area_id),
    )
    return settle(connection, account_id, had)


def areas_of(connection: Connection, account_id: int) -> frozenset[int]:
    """Return the groups and projects that are read by an account."""
    rows = connection.exec_driver_sql(
        "SELECT x.area_id FROM area_access AS x JOIN area AS a ON a.id = x.area_id"
        " WHERE x.account_id = ? AND a.kind <> 'user'",
        (account_id,),
    ).all()
    return frozenset(row[0] for row in rows)


def settle(connection: Connection, account_id: int, had: frozenset[int]) -> list[Worked]:
    """Bring what an account reads in line with its consent and choices; `had` is what it read.

    Jobs of what is read no more are stopped, in this transaction. Returns them: tell their crawlers.
    """
    rows = connection.exec_driver_sql(ALLOWED, (account_id,)).all()
    roles = {area_id: role for area_id, role in rows}  # noqa: C416 - rows are no pairs to mypy
    lost = had - roles.keys()
    stopped = stop(connection, account_id, lost)
    for area_id in sorted(lost):
        lose(connection, account_id, area_id)
    for area_id in sorted(roles):
        _gain(connection, account_id, area_id, roles[area_id])
    if roles.keys() - had:
        _look_again(connection, account_id)
    jobs.hold_unseen(connection)
    return stopped


def lose(connection: Connection, account_id: int, area_id: int) -> None:
    """End an account's access to an area; what nobody sees any more is noted as that."""
    connection.exec_driver_sql(
        "DELETE FROM area_access WHERE account_id = ? AND area_id = ?", (account_id, area_id)
    )
    is_lost = connection.exec_driver_sql(
        f"UPDATE area SET unseen_at = {NOW_MS} WHERE id = ? AND NOT EXISTS"
        " (SELECT 1 FROM area_access AS x WHERE x.area_id = area.id)",
        (area_id,),
    ).rowcount
    if is_lost:
        ledger.explain_unseen(connection, area_id)
        watches.ended(connection, area_id)


def _gain(connection: Connection, account_id: int, area_id: int, role: int) -> None:
    """Read an area; where nobody did for a while, its lists are read whole."""
    connection.exec_driver_sql(
        "INSERT INTO area_access (area_id, account_id, role, seen_at)"
        f" VALUES (?, ?, ?, {NOW_MS}) ON CONFLICT DO NOTHING",
        (area_id, account_id, role),
    )
    seen = connection.exec_driver_sql(
        "UPDATE area SET unseen_at = NULL WHERE id = ? AND unseen_at IS NOT NULL", (area_id,)
    ).rowcount
    if seen:
        jobs.resume_area(connection, area_id)
        for resource in ledger.forget_unseen(connection, area_id):
            visits.sweep_now(connection, area_id, resource)


def _look_again(connection: Connection, account_id: int) -> None:
    """Let the account's areas be discovered again: what is new among them has no jobs yet."""
    own = connection.exec_driver_sql(
        "SELECT x.area_id FROM area_access AS x JOIN area AS a ON a.id = x.area_id"
        " AND a.kind = 'user' WHERE x.account_id = ?",
        (account_id,),
    ).scalar()
    if own is not None:
        visits.tell(connection, own, DISCOVERY)


def stop(
    connection: Connection, account_id: int, area_ids: Collection[int] | None = None
) -> list[Worked]:
    """Take the jobs at once from the crawlers that read by an account (in these areas, or all).

    Their leases end: what comes of them later is refused. They are queued, for another account that
    sees the area. Follow with `jobs.hold_unseen`, once the account has lost what it loses.
    """
    rows = connection.exec_driver_sql(
        "SELECT id, area_id, lease_holder FROM job WHERE state = 'running' AND account_id = ?",
        (account_id,),
    ).all()
    chosen = [row for row in rows if area_ids is None or row[1] in area_ids]
    for job_id, _, _ in chosen:
        connection.exec_driver_sql(
            f"UPDATE job SET {AGAIN}, {FREE}, attempt = MAX(attempt - 1, 0),"
            f" updated_at = {NOW_MS}, change = {NEXT_CHANGE} WHERE id = ? AND state = 'running'",
            (job_id,),
        )
    return [Worked(job_id, holder) for job_id, _, holder in chosen]
