"""Lists that are read again: a job for ever, its visits, and what a ledger says by time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring the schema up to this revision."""
    _job()
    op.add_column("area", sa.Column("unseen_at", sa.BigInteger(), nullable=True))
    _visit()
    _ledger_window()
    op.create_table(
        "retired",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retired")),
    )


def _job() -> None:
    op.execute(
        "ALTER TABLE job ADD COLUMN mode TEXT DEFAULT 'full' NOT NULL CONSTRAINT ck_job_mode"
        " CHECK (mode IN ('full', 'changes', 'sweep'))"
    )
    op.add_column("job", sa.Column("read_role", sa.Integer(), nullable=True))
    op.add_column(
        "job", sa.Column("changed_items", sa.Integer(), server_default="0", nullable=False)
    )


def _visit() -> None:
    instants = ("watermark", "every_ms", "next_at", "sweep_at", "last_at", "last_changed_at")
    op.create_table(
        "visit",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in instants),
        sa.Column("wanted_at", sa.BigInteger(), nullable=True),
        sa.Column("role", sa.Integer(), nullable=True),
        sa.Column("runs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_visit_area_id")),
        sa.PrimaryKeyConstraint("area_id", "resource", name=op.f("pk_visit")),
    )
    for due in ("next_at", "sweep_at"):
        only = sa.text(f"{due} IS NOT NULL")
        op.create_index(f"ix_visit_{due}", "visit", [due], sqlite_where=only, postgresql_where=only)
    # What was read before is due as soon as there is a schedule.
    op.execute(
        "INSERT INTO visit (area_id, resource, last_at, next_at, sweep_at, runs)"
        " SELECT area_id, resource, MAX(finished_at), MAX(finished_at), MAX(finished_at), COUNT(*)"
        " FROM job WHERE state = 'completed' GROUP BY area_id, resource"
    )


def _ledger_window() -> None:
    op.create_table(
        "ledger_window",
        sa.Column("area_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("resource", "since", "until")),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("collected", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_ledger_window_area_id")),
        sa.PrimaryKeyConstraint(
            "area_id", "resource", "since", "until", name=op.f("pk_ledger_window")
        ),
    )
