"""The tables of care: notices and their deliveries, backups, and what was seen earlier.

`labtrawl.store.schema` has the others. Instants are milliseconds since the epoch, UTC.
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
    UniqueConstraint,
    text,
)

from labtrawl.store.schema_visits import metadata

notice = Table(
    "notice",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cause", Text, nullable=False),
    # The day, the week, or the instant of expiry that the cause was told for.
    Column("period", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("raised_at", BigInteger, nullable=False),
    # A cause is told once a period, whoever finds it how often.
    UniqueConstraint("cause", "period"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("notice_id", ForeignKey("notice.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", BigInteger),
    Column("result", Text, nullable=False, server_default=""),
    Column("tried_at", BigInteger),
    PrimaryKeyConstraint("notice_id", "channel"),
    CheckConstraint("state IN ('queued', 'sent', 'failed')", name="state"),
    # Only what waits is due.
    CheckConstraint("(state = 'queued') = (due_at IS NOT NULL)", name="due"),
)
Index(
    "ix_delivery_due_at",
    delivery.c.due_at,
    sqlite_where=text("due_at IS NOT NULL"),
)

backup = Table(
    "backup",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("place", Text, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # A copy that was cut off stays `running`, with the process that is gone.
    Column("state", Text, nullable=False, server_default="running"),
    Column("segments", Integer, nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("copied_bytes", BigInteger, nullable=False, server_default="0"),
    Column("message", Text, nullable=False, server_default=""),
    CheckConstraint("state IN ('running', 'done', 'failed')", name="state"),
    CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="ended"),
)

seen_version = Table(
    "seen_version",
    metadata,
    # python, sqlite, labtrawl, or a GitLab by its instance's name.
    Column("component", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("component", "version"),
)

seen_fields = Table(
    "seen_fields",
    metadata,
    Column("instance_id", ForeignKey("instance.id"), nullable=False),
    Column("resource", Text, nullable=False),
    Column("version", Text, nullable=False),
    # How many records were looked at, and in how many of them each field was: JSON.
    Column("records", Integer, nullable=False),
    Column("fields", Text, nullable=False),
    # The last segment that was looked at: the same is not counted twice.
    Column("segment_id", Integer, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("instance_id", "resource", "version"),
)

share_mark = Table(
    "share_mark",
    metadata,
    Column("area_id", ForeignKey("area.id"), primary_key=True),
    # Of a thousand objects that GitLab announced, how many were there at best, and are now.
    Column("best", Integer, nullable=False),
    Column("latest", Integer, nullable=False),
    Column("fell_at", BigInteger),
)

stop_request = Table(
    "stop_request",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asked_at", BigInteger, nullable=False),
    Column("contact", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("answered_at", BigInteger),
    Column("answered_by", Text, nullable=False, server_default=""),
)
