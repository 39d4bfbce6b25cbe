"""From staged lines to versions: what is newest, what was before, and until when.

Only narrow rows are ordered here; the wide ones are joined to them once, when they are written.
What was committed last is the newest (`reader`). No version begins before the one before it, whatever
the clocks of those who read them said.
"""

from dataclasses import dataclass
from typing import Final

import duckdb

from labtrawl.dataset.export_staging import Staging
from labtrawl.dataset.tables import BODY, HISTORY, HISTORY_COLUMNS, NEWEST_COLUMNS

# An unchanged reading begins no version. `number` counts the versions of one object from 1.
_VERSIONS: Final = """
CREATE OR REPLACE TABLE versions AS
WITH lines AS (
  SELECT line, ordinal, instance_id, kind, key, record_state,
    max(fetched_at) OVER (w ROWS UNBOUNDED PRECEDING) AS read_at,
    lag(content) OVER w IS DISTINCT FROM content
      OR lag(record_state) OVER w IS DISTINCT FROM record_state AS changed
  FROM staged WHERE key IS NOT NULL
  WINDOW w AS (PARTITION BY instance_id, kind, key ORDER BY line, ordinal)
)
SELECT ordinal, instance_id, kind, key, read_at AS valid_from, record_state,
  lead(read_at) OVER w AS valid_to, row_number() OVER w AS number
FROM lines WHERE changed
WINDOW w AS (PARTITION BY instance_id, kind, key ORDER BY line, ordinal)
"""
# An object that is missed keeps the values that it had last.
_NEWEST: Final = """
CREATE OR REPLACE TABLE newest AS
WITH read AS (
  SELECT instance_id, kind, key, min(fetched_at) AS first_seen_at, max(fetched_at) AS fetched_at
  FROM staged WHERE key IS NOT NULL GROUP BY ALL
), last_present AS (
  SELECT *, max(CASE record_state WHEN 'present' THEN number END)
    OVER (PARTITION BY instance_id, kind, key) AS present
  FROM versions
), objects AS (
  SELECT instance_id, kind, key, arg_max(record_state, number) AS record_state,
    max(valid_from) AS last_changed_at,
    coalesce(any_value(ordinal) FILTER (number = present), arg_max(ordinal, number)) AS ordinal,
    min(valid_from) FILTER (number > coalesce(present, 0)) AS gone_at
  FROM last_present GROUP BY ALL
)
SELECT * FROM objects JOIN read USING (instance_id, kind, key)
"""


@dataclass(frozen=True, slots=True)
class Output:
    """A table to be written: its name, the query that gives its rows, and how many these are."""

    name: str
    query: str
    records: int


def order(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table of versions from the staged rows."""
    connection.execute(_VERSIONS)


def outputs(
    connection: duckdb.DuckDBPyConnection, staging: Staging, names: frozenset[str]
) -> list[Output]:
    """Order the staged rows and return the tables of `names` that come of them."""
    order(connection)
    made = []
    own, old = staging.table.name, staging.table.name + HISTORY
    if own in names:
        connection.execute(_NEWEST)
        columns = [column.name for column in NEWEST_COLUMNS]
        made.append(_output(connection, own, "newest", _query(staging, columns, "newest")))
    if old in names:
        columns = [column.name for column in HISTORY_COLUMNS]
        made.append(_output(connection, old, "versions", _query(staging, columns, "versions")))
    return made


def wrong_values(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count by column the versions whose value had another type than the column."""
    rows = connection.execute(
        "SELECT name, count(*) FROM (SELECT unnest(string_split(staged.wrong, ',')) AS name"
        " FROM versions JOIN staged USING (ordinal) WHERE staged.wrong IS NOT NULL)"
        " GROUP BY name ORDER BY name"
    ).fetchall()
    return dict(rows)


def _query(staging: Staging, columns: list[str], source: str) -> str:
    """Select the columns of ours that every table begins with, its own ones, and the body."""
    of_record = {"area_kind", "area_id", "resource"}
    identity, *own = staging.shown("staged")
    chosen = [
        identity if name == "id" else f"{'staged' if name in of_record else source}.{name}"
        for name in columns
    ]
    return (
        f"SELECT {', '.join([*chosen, *own, f'staged.{BODY}'])}"  # noqa: S608 - names of ours
        f" FROM staged JOIN {source} ON staged.ordinal = {source}.ordinal"
    )


def _output(connection: duckdb.DuckDBPyConnection, name: str, source: str, query: str) -> Output:
    found = connection.execute(f"SELECT count(*) FROM {source}").fetchone()  # noqa: S608 - ours
    assert found is not None
    return Output(name, query, found[0])
