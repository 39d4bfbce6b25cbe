"""Watches: a group's list that tells of changes in the lists of the projects below it.

What is watched is not due by itself. Where a watch ends, or nobody may read it any more, the lists
that it told of are due again, unless a group between them and it has a watch of its own.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from labtrawl.store.engine import NOW_MS

# Each watch, and the resource that it tells changes of; as the catalog of resources has it.
WATCHED = {"changed_issues": "issues", "changed_merge_requests": "merge_requests"}

# Of a watch `w` of a group `g`: it is read, by an account that may be used and sees the group.
LIVES = """w.state NOT IN ('failed', 'cancelled') AND g.kind = 'group' AND g.unseen_at IS NULL
  AND EXISTS (SELECT 1 FROM area_access AS x JOIN account AS c ON c.id = x.account_id
    WHERE x.area_id = g.id AND c.state = 'active')"""
# SQLite joins in this order, whatever it knows of the tables: from the few watches that are read no
# more to what is below them. From the lists on, all of them would be asked about every watch. The
# sum keeps it from the index of all projects, `j` inside the last question from asking it too early.
UNDRIVEN = f"""
SELECT DISTINCT v.area_id, v.resource
FROM job AS w CROSS JOIN area AS g CROSS JOIN area AS p CROSS JOIN visit AS v CROSS JOIN job AS j
WHERE w.resource = ? AND g.id = w.area_id AND g.kind = 'group' AND NOT ({LIVES})
  AND p.instance_id + 0 = g.instance_id AND p.kind = 'project'
  AND p.full_path > g.full_path || '/' AND p.full_path < g.full_path || '0'
  AND v.area_id = p.id AND v.resource = ? AND v.next_at IS NULL
  AND j.area_id = v.area_id AND j.resource = v.resource AND j.state = 'completed'
  AND NOT EXISTS (
  SELECT 1 FROM job AS w JOIN area AS g ON g.id = w.area_id WHERE w.resource = ?
  AND j.id > 0 AND g.instance_id = p.instance_id
  AND substr(p.full_path, 1, length(g.full_path) + 1) = g.full_path || '/' AND {LIVES})
"""
OF_GROUP = "AND w.area_id = ?"


def is_below(connection: Connection, area_id: int, watch: str) -> bool:
    """Say whether a group above an area has a watch of this name that is read."""
    instance_id, path = connection.exec_driver_sql(
        "SELECT instance_id, full_path FROM area WHERE id = ?", (area_id,)
    ).one()
    parts = path.split("/")[:-1]
    above = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
    if not above:
        return False
    marks = ", ".join("?" * len(above))
    found = connection.exec_driver_sql(
        "SELECT 1 FROM area AS g JOIN job AS w ON w.area_id = g.id AND w.resource = ?"
        f" WHERE g.instance_id = ? AND g.full_path IN ({marks}) AND {LIVES} LIMIT 1",
        (watch, instance_id, *above),
    ).first()
    return found is not None


List = tuple[int, str]
"""An area and a resource."""


def undriven(connection: Connection) -> list[List]:
    """Return the lists that wait to be told of changes, and nobody tells of them any more."""
    return _undriven(connection, "", ())


def _undriven(connection: Connection, which: str, given: tuple[int, ...]) -> list[List]:
    found: list[List] = []
    for watch, resource in WATCHED.items():
        asked = (watch, resource, watch, *given)
        rows = connection.exec_driver_sql(f"{UNDRIVEN} {which}", asked).all()
        found += [(row[0], row[1]) for row in rows]
    return found


def let_be_due(connection: Connection, lists: Sequence[List]) -> None:
    """Let lists that wait to be told of changes be due by themselves."""
    if lists:
        connection.exec_driver_sql(
            f"UPDATE visit SET next_at = {NOW_MS} WHERE area_id = ? AND resource = ?"
            " AND next_at IS NULL",
            [*lists],
        )


def ended(connection: Connection, group_id: int) -> None:
    """Let the lists below a group be due by themselves of which its watches told; they have ended."""
    let_be_due(connection, _undriven(connection, OF_GROUP, (group_id,)))
