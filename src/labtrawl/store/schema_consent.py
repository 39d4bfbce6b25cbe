"""The tables of the mode and of consent: what was asked, who agreed to what, and until when.

Triggers of the migrations hold what no constraint of one table can: see `docs/explanation/privacy.md`.
`labtrawl.store.schema` has the other tables, and is what the rest of the room asks for.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from labtrawl.store.schema_visits import metadata

# What a data folder is for, written at its first start. One row; a trigger refuses study to team.
pinned = Table(
    "pinned",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("mode", Text, nullable=False),
    # Of the study's key: with another key the same person would get another pseudonym.
    Column("key_id", Text, nullable=False, server_default=""),
    # Why the data are collected, in a sentence; shown on exports.
    Column("basis", Text, nullable=False, server_default=""),
    Column("pinned_at", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one"),
    CheckConstraint("mode IN ('team', 'study')", name="mode"),
)

# Each version stays as it was: people agreed to these very words. Triggers refuse every change.
consent_text = Table(
    "consent_text",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    # The latest instant that a consent to it may last.
    Column("until", BigInteger, nullable=False),
    Column("written_at", BigInteger, nullable=False),
    Column("written_by", Text, nullable=False),
)

# What a version asks for: the names of resources.
consent_resource = Table(
    "consent_resource",
    metadata,
    Column("version", ForeignKey("consent_text.version"), nullable=False),
    Column("resource", Text, nullable=False),
    PrimaryKeyConstraint("version", "resource"),
)

consent = Table(
    "consent",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("version", ForeignKey("consent_text.version"), nullable=False),
    # Whether areas that nothing was said of are collected, or only those that were chosen.
    Column("areas", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("given_at", BigInteger, nullable=False),
    # By which session: the audit log says more.
    Column("given_by", Text, nullable=False),
    Column("ended_at", BigInteger),
    Column("ended_why", Text),
    CheckConstraint("areas IN ('all', 'chosen')", name="areas"),
    CheckConstraint(
        "ended_why IN ('withdrawn', 'expired', 'changed', 'new text')", name="ended_why"
    ),
    CheckConstraint("(ended_at IS NULL) = (ended_why IS NULL)", name="ended"),
    Index("ix_consent_account_id", "account_id", "id"),
)
# One consent of an account holds at a time.
LIVING = "ended_at IS NULL"
Index(
    "uq_consent_living",
    consent.c.account_id,
    unique=True,
    sqlite_where=text(LIVING),
)
Index(
    "ix_consent_until",
    consent.c.until,
    sqlite_where=text(LIVING),
)

# What an account of a study was found to see, and what its owner said of it.
area_choice = Table(
    "area_choice",
    metadata,
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("area_id", ForeignKey("area.id"), nullable=False),
    # 1: collect it; 0: do not; None: as the nearest area above it, or as the consent says.
    Column("wanted", Integer),
    # -1 where GitLab does not show it to the account any more.
    Column("role", Integer, nullable=False, server_default="0"),
    Column("seen_at", BigInteger, nullable=False),
    Column("chosen_at", BigInteger),
    PrimaryKeyConstraint("account_id", "area_id"),
    CheckConstraint("wanted IN (0, 1)", name="wanted"),
)

# Fields that the gate did not let pass because no list has them: names and numbers, no values.
withheld = Table(
    "withheld",
    metadata,
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("resource", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("records", Integer, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("area_id", "resource", "field"),
    Index("ix_withheld_resource", "resource", "field"),
)
