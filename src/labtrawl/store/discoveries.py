"""Discoveries that did not come to their end: what they would have found is in no ledger."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.visit import DISCOVERY

UNFINISHED = f"""
SELECT j.area_id, a.kind, a.full_path, i.name, j.id, j.state, COALESCE(j.error_reason, j.state),
  COALESCE(j.error_message, ''), j.updated_at, CASE WHEN EXISTS (SELECT 1 FROM area_access AS x
    JOIN account AS c ON c.id = x.account_id WHERE x.area_id = j.area_id AND c.state = 'active')
    THEN 1 ELSE 0 END
FROM job AS j JOIN area AS a ON a.id = j.area_id JOIN instance AS i ON i.id = a.instance_id
WHERE j.resource = '{DISCOVERY}' AND j.state IN ('failed', 'cancelled') AND j.id = (
  SELECT MAX(o.id) FROM job AS o WHERE o.area_id = j.area_id AND o.resource = j.resource)
ORDER BY a.full_path, a.id
"""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The discovery of an account, whose area is `full_path`: it failed or somebody cancelled it.

    `reason` is one of a gap; `updated_at` in ms. Where it is not `is_used` nobody may use the
    account now, which is told of anyhow.
    """

    area_id: int
    kind: str
    full_path: str
    instance: str
    job_id: int
    state: str
    reason: str
    detail: str
    updated_at: int
    is_used: bool


def unfinished(connection: Connection) -> list[Unfinished]:
    """Return them by path; none of an account that is looked for again by now."""
    rows = connection.exec_driver_sql(UNFINISHED).all()
    return [Unfinished(*(*row[:9], bool(row[9]))) for row in rows]
