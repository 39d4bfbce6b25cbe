"""Operations on many jobs, the attempts of each job, and what the list of jobs is sorted by."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

OPERATION_RULES = {
    "action": "action IN ('retry', 'pause', 'resume', 'cancel', 'priority')",
    "state": "state IN ('running', 'stopped', 'completed')",
    "ended": "(state = 'running') = (ended_at IS NULL)",
    "value": "(action = 'priority') = (value IS NOT NULL)",
}
KEPT = 10
BEGINS = f"""INSERT INTO attempt (job_id, fence, holder, account_id, began_at)
  VALUES (NEW.id, NEW.fence, NEW.lease_holder, NEW.account_id, NEW.updated_at)
  ON CONFLICT (job_id, fence) DO NOTHING;
  DELETE FROM attempt WHERE job_id = NEW.id AND fence <= NEW.fence - {KEPT};"""
# A message that stood there before belongs to an older attempt.
ENDS = """UPDATE attempt SET ended_at = NEW.updated_at, outcome = NEW.state,
    reason = COALESCE(NEW.error_reason, NEW.hold_reason),
    message = CASE WHEN NEW.state = 'failed' OR NEW.run_after IS NOT NULL
      OR COALESCE(NEW.error_message, '') <> COALESCE(OLD.error_message, '')
      THEN NEW.error_message END,
    requests = NEW.requests - NEW.earlier_requests
  WHERE job_id = NEW.id AND fence = NEW.fence;"""
TRIGGERS = {
    "attempt_begins": ("NEW.state = 'running' AND OLD.state <> 'running'", BEGINS),
    "attempt_ends": ("OLD.state = 'running' AND NEW.state <> 'running'", ENDS),
}


def upgrade() -> None:
    """Bring the schema up to this revision."""
    _operation()
    _attempt()
    is_sqlite = op.get_context().dialect.name == "sqlite"
    for name, (when, does) in TRIGGERS.items():
        (_trigger_on_sqlite if is_sqlite else _trigger_on_postgresql)(name, when, does)
    _indexes()


def _operation() -> None:
    op.create_table(
        "operation",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("action", "wanted")),
        sa.Column("value", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("because", "who")),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("expected_more", sa.Integer(), server_default="0", nullable=False),
        sa.Column("looked_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("matching", sa.Integer(), server_default="0", nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Text(), server_default="{}", nullable=False),
        sa.Column("ended_by", sa.Text(), server_default="", nullable=False),
        *(sa.Column(at, sa.BigInteger(), nullable=False) for at in ("created_at", "updated_at")),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_operation_{name}"))
            for name, rule in OPERATION_RULES.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    _index("ix_operation_running", "operation", ["id"], "state = 'running'")


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("outcome", "reason", "message")),
        sa.Column("requests", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name=op.f("ck_attempt_ended")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_attempt_job_id")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_attempt_account_id")),
        sa.PrimaryKeyConstraint("job_id", "fence", name=op.f("pk_attempt")),
        sqlite_with_rowid=False,
    )


def _trigger_on_sqlite(name: str, when: str, does: str) -> None:
    op.execute(
        f"CREATE TRIGGER {name} AFTER UPDATE OF state ON job WHEN {when}\nBEGIN\n  {does}\nEND"
    )


def _trigger_on_postgresql(name: str, when: str, does: str) -> None:
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {does} RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} AFTER UPDATE OF state ON job"
        f" FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()"
    )


def _indexes() -> None:
    held, failed = "hold_reason IS NOT NULL", "error_reason IS NOT NULL"
    _index("ix_job_account", "job", ["account_id", "id"], "account_id IS NOT NULL")
    _index("ix_job_hold_reason", "job", ["hold_reason", "id"], held)
    _index("ix_job_error_reason", "job", ["error_reason", "id"], failed)
    _index("ix_job_held_change", "job", ["change", "id"], held)
    _index("ix_job_failed_change", "job", ["change", "id"], failed)
    _index("ix_job_priority", "job", [sa.text("priority DESC"), "id"], "finished_at IS NULL")
    spent: sa.ColumnElement[int] = sa.column("finished_at") - sa.column("started_at")
    _index("ix_job_duration", "job", [spent, "id"], "finished_at IS NOT NULL")


def _index(name: str, table: str, columns: list[Any], only: str) -> None:
    where = sa.text(only)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
