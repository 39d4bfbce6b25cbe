"""The tables of what people do to many jobs at once, and of the attempts that a job had.

`labtrawl.store.schema` has the others, and is what the rest of the room asks for.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from labtrawl.store.schema_visits import metadata

operation = Table(
    "operation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("action", Text, nullable=False),
    # JSON: the filter whose jobs it is about, or their ids.
    Column("wanted", Text, nullable=False),
    # The priority, where that is the action.
    Column("value", Integer),
    Column("because", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="running"),
    # As many as matched when it was asked for; `expected_more` where the count stopped there.
    Column("expected", Integer, nullable=False),
    Column("expected_more", Integer, nullable=False, server_default="0"),
    # Every job up to here was looked at; it moves in the transaction of what is done to them.
    Column("looked_id", BigInteger, nullable=False, server_default="0"),
    # The newest job when it was asked for: what comes later is none of its business.
    Column("last_id", BigInteger, nullable=False),
    Column("matching", Integer, nullable=False, server_default="0"),
    Column("done", Integer, nullable=False, server_default="0"),
    # JSON: how many were left as they are, by cause.
    Column("skipped", Text, nullable=False, server_default="{}"),
    Column("ended_by", Text, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    CheckConstraint("action IN ('retry', 'pause', 'resume', 'cancel', 'priority')", name="action"),
    CheckConstraint("state IN ('running', 'stopped', 'completed')", name="state"),
    CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("(action = 'priority') = (value IS NOT NULL)", name="value"),
)
UNDER_WAY = "state = 'running'"
Index(
    "ix_operation_running",
    operation.c.id,
    sqlite_where=text(UNDER_WAY),
)

# Written by triggers on `job`, in the transaction of the claim and of its end: nothing that changes
# a job's state can forget it. The newest ten of a job stay.
attempt = Table(
    "attempt",
    metadata,
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("account_id", ForeignKey("account.id")),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # The state that the job came to, and why.
    Column("outcome", Text),
    Column("reason", Text),
    Column("message", Text),
    # Of this attempt alone.
    Column("requests", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("job_id", "fence"),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended"),
    sqlite_with_rowid=False,
)

FAILED, HELD = "error_reason IS NOT NULL", "hold_reason IS NOT NULL"
TAKEN, OPEN, ENDED = "account_id IS NOT NULL", "finished_at IS NULL", "finished_at IS NOT NULL"


def add_job_indexes(job: Table) -> None:
    """Add what the list of jobs is filtered and sorted by; partial, so that a claim moves few.

    A job is open until it has `finished_at`: the claim does not change that.
    """
    _index(TAKEN, "ix_job_account", job.c.account_id, job.c.id)
    _index(HELD, "ix_job_hold_reason", job.c.hold_reason, job.c.id)
    _index(FAILED, "ix_job_error_reason", job.c.error_reason, job.c.id)
    _index(HELD, "ix_job_held_change", job.c.change, job.c.id)
    _index(FAILED, "ix_job_failed_change", job.c.change, job.c.id)
    _index(OPEN, "ix_job_priority", job.c.priority.desc(), job.c.id)
    _index(ENDED, "ix_job_duration", job.c.finished_at - job.c.started_at, job.c.id)


def _index(only: str, name: str, *columns: ColumnElement[int] | ColumnElement[str]) -> None:
    Index(name, *columns, sqlite_where=text(only))
