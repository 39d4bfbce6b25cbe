"""The table of what happened over time; `labtrawl.store.samples` writes and folds it."""

from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint, Table, Text

from labtrawl.store.schema_visits import metadata

sample = Table(
    "sample",
    metadata,
    Column("grain", Text, nullable=False),
    # When it began, a multiple of its length.
    Column("at", BigInteger, nullable=False),
    # JSON: what is counted differs from release to release, and nobody searches in it.
    Column("figures", Text, nullable=False),
    # Found by its place in time alone, and written once for each.
    PrimaryKeyConstraint("grain", "at"),
    CheckConstraint("grain IN ('minute', 'hour', 'day')", name="grain"),
)
