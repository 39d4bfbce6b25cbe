"""The typed tables of an export: the declaration that the code, the files and the docs page follow.

`SCHEMA_VERSION` grows with each change that a reader of the tables could notice. Every resource of
the catalog has a table here; a record of one that has none goes to `other_records`.
"""

from typing import Final

from labtrawl.dataset.tables_code import CODE
from labtrawl.dataset.tables_places import OTHER, PLACES, SEEN
from labtrawl.dataset.tables_planning import PLANNING
from labtrawl.dataset.tables_running import RUNNING
from labtrawl.dataset.tables_shape import Column, Table, Type

SCHEMA_VERSION: Final = 1

TABLES: Final[tuple[Table, ...]] = (*PLACES, *PLANNING, *CODE, *RUNNING, SEEN, OTHER)
BY_NAME: Final = {table.name: table for table in TABLES}
HISTORY: Final = "_history"
META: Final = "labtrawl_meta"

_PLACE: Final = (
    Column("instance_id", Type.BIGINT, "", "which GitLab; `labtrawl_meta` has their addresses"),
    Column("area_kind", Type.VARCHAR, "", "group or project: what it was collected for"),
    Column("area_id", Type.BIGINT, "", "GitLab's id of that group or project"),
    Column("resource", Type.VARCHAR, "", "the resource that brought it"),
)
_ID_MEANING: Final = "what tells records of this table apart"
_STATE: Final = Column(
    "record_state",
    Type.VARCHAR,
    "",
    "`present`; `gone` (deleted), `forbidden` (no longer to be seen) or `unknown` (one of the two)",
)
# The columns that every table begins with: of the newest state, and of the history.
NEWEST_COLUMNS: Final = (
    *_PLACE,
    Column("id", Type.VARCHAR, "", _ID_MEANING),
    Column("fetched_at", Type.TIMESTAMPTZ, "", "when it was last read", "UTC"),
    _STATE,
    Column("first_seen_at", Type.TIMESTAMPTZ, "", "when it was first read", "UTC"),
    Column("last_changed_at", Type.TIMESTAMPTZ, "", "when a reading last differed", "UTC"),
    Column("gone_at", Type.TIMESTAMPTZ, "", "when it was first missed; NULL if present", "UTC"),
)
HISTORY_COLUMNS: Final = (
    *_PLACE,
    Column("id", Type.VARCHAR, "", _ID_MEANING),
    Column("valid_from", Type.TIMESTAMPTZ, "", "when this version was first read", "UTC"),
    Column("valid_to", Type.TIMESTAMPTZ, "", "when the next one was; NULL for the last", "UTC"),
    _STATE,
)
BODY: Final = "body"
BODY_MEANING: Final = "the whole object as collected, as JSON"


def tables_of(resources: frozenset[str]) -> tuple[Table, ...]:
    """Return the tables that these resources fill, the derived ones included."""
    unknown = resources - {name for table in TABLES for name in table.resources}
    return tuple(
        table
        for table in TABLES
        if resources & set(table.resources)
        or (table is SEEN and resources)
        or (table is OTHER and unknown)
    )
