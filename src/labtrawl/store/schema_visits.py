"""The tables of what is read again and again, and the metadata that all tables share.

`labtrawl.store.schema` has the others, and is what the rest of the room asks for. Indexes name their
condition for SQLite alone: it is PostgreSQL's too (its migrations say so), but naming that here would
load its dialect, 2 MB and 20 ms, into each process that has a file for a database.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

visit = Table(
    "visit",
    metadata,
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("resource", Text, nullable=False),
    # The server's instant up to which everything was read; it only goes forward.
    Column("watermark", BigInteger),
    # The interval until the last visit, which the next one is reckoned from.
    Column("every_ms", BigInteger),
    # When the list is due; None while it is open, and for what something else tells of.
    Column("next_at", BigInteger),
    # When it is due to be read whole, to find what is gone.
    Column("sweep_at", BigInteger),
    Column("last_at", BigInteger),
    Column("last_changed_at", BigInteger),
    # When somebody told of changes while the list was open: a visit that began before has to be
    # followed by another.
    Column("wanted_at", BigInteger),
    # The role that the last complete reading used.
    Column("role", Integer),
    Column("runs", Integer, nullable=False, server_default="0"),
    # Visits in a row that found nothing.
    Column("unchanged", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("area_id", "resource"),
)
for _due in ("next_at", "sweep_at"):
    Index(
        f"ix_visit_{_due}",
        visit.c[_due],
        sqlite_where=text(f"{_due} IS NOT NULL"),
    )

ledger_window = Table(
    "ledger_window",
    metadata,
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("resource", Text, nullable=False),
    # ISO 8601, as GitLab was asked; "" where the window has no such end.
    Column("since", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("expected", Integer),
    Column("collected", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("area_id", "resource", "since", "until"),
)

# Files that compaction replaced; they stay until their readers are done.
retired = Table(
    "retired",
    metadata,
    Column("name", Text, primary_key=True),
    Column("retired_at", BigInteger, nullable=False),
)
