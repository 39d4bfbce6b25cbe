"""The first schema, as it was released: later changes of `schema` do not reach back into it."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WIDE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
DUE = "state = 'queued' AND run_after IS NULL"
OPEN = "state IN ('queued', 'running', 'held')"


def upgrade() -> None:
    """Bring the schema up to this revision."""
    _admin_link()
    _instance()
    _session()
    _account()
    _area()
    _area_access()
    _area_path()
    _job()
    _ledger()
    _segment()


def _admin_link() -> None:
    op.create_table(
        "admin_link",
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_admin_link")),
    )


def _instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.UniqueConstraint("name", name=op.f("uq_instance_name")),
    )


def _session() -> None:
    op.create_table(
        "session",
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_session")),
    )


def _account() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("gitlab_user_id", WIDE, nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), server_default="", nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('active', 'refused')", name=op.f("ck_account_state")),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_account_instance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint(
            "instance_id", "gitlab_user_id", name=op.f("uq_account_instance_id_gitlab_user_id")
        ),
    )


def _area() -> None:
    op.create_table(
        "area",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("gitlab_id", WIDE, nullable=False),
        sa.Column("full_path", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("web_url", sa.Text(), server_default="", nullable=False),
        sa.Column("parent_path", sa.Text(), server_default="", nullable=False),
        sa.Column("discovered_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('instance', 'group', 'project', 'user')", name=op.f("ck_area_kind")
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_area_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_area")),
        sa.UniqueConstraint(
            "instance_id", "kind", "gitlab_id", name=op.f("uq_area_instance_id_kind_gitlab_id")
        ),
    )
    op.create_index("ix_area_full_path", "area", ["full_path", "id"], unique=False)
    op.create_index(
        "ix_area_tree",
        "area",
        [sa.literal_column("replace(full_path, '/', ' ')"), "id"],
        unique=False,
    )


def _area_access() -> None:
    op.create_table(
        "area_access",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_area_access_account_id")
        ),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_area_access_area_id")),
        sa.PrimaryKeyConstraint("area_id", "account_id", name=op.f("pk_area_access")),
    )
    op.create_index(
        "ix_area_access_account_id", "area_access", ["account_id", "area_id"], unique=False
    )


def _area_path() -> None:
    op.create_table(
        "area_path",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("full_path", sa.Text(), nullable=False),
        sa.Column("seen_from", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_area_path_area_id")),
        sa.PrimaryKeyConstraint("area_id", "full_path", name=op.f("pk_area_path")),
    )


def _job_lease_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("hold_reason", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("run_after", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_holder", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("claim_id", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("parent_id", sa.Integer(), nullable=True),
    ]


def _job_progress_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("next_segment", sa.Integer(), server_default="1", nullable=False),
        sa.Column("processed_items", sa.Integer(), server_default="0", nullable=False),
        sa.Column("total_items", sa.Integer(), nullable=True),
        sa.Column("requests", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("earlier_requests", sa.Integer(), server_default="0", nullable=False),
        sa.Column("earlier_retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column("error_reason", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("applied_origin", sa.Text(), nullable=True),
        sa.Column("applied_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("change", WIDE, nullable=False),
    ]


def _job() -> None:
    op.create_table(
        "job",
        *_job_lease_columns(),
        *_job_progress_columns(),
        sa.CheckConstraint(
            "(state = 'failed') = (error_reason IS NOT NULL)", name=op.f("ck_job_error")
        ),
        sa.CheckConstraint(
            "(state = 'held') = (hold_reason IS NOT NULL)", name=op.f("ck_job_hold")
        ),
        sa.CheckConstraint(
            "(state = 'running') = (lease_holder IS NOT NULL AND lease_expires_at IS NOT NULL)",
            name=op.f("ck_job_lease"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'held', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_job_state"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_job_account_id")),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_job_area_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["job.id"], name=op.f("fk_job_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    _job_indexes()
    _partial("ix_job_due", [sa.literal_column("priority DESC"), "id"], DUE)
    _partial("ix_job_lease_expires_at", ["lease_expires_at"], "state = 'running'")
    _partial("ix_job_run_after", ["run_after"], "run_after IS NOT NULL")
    _partial("uq_job_open", ["area_id", "resource"], OPEN, unique=True)


def _job_indexes() -> None:
    op.create_index("ix_job_area_id", "job", ["area_id", "resource", "id"])
    op.create_index("ix_job_change", "job", ["change"])
    op.create_index("ix_job_parent_id", "job", ["parent_id", "id"])
    op.create_index("ix_job_resource", "job", ["resource", "id"])
    op.create_index("ix_job_resource_state", "job", ["resource", "state", "id"])
    op.create_index("ix_job_state", "job", ["state", "id"])


def _partial(name: str, columns: list[Any], rows: str, unique: bool = False) -> None:
    """An index of those rows of the job table alone, on both databases."""
    only = sa.text(rows)
    op.create_index(name, "job", columns, unique=unique, sqlite_where=only, postgresql_where=only)


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("expected_by", sa.Text(), server_default="", nullable=False),
        sa.Column("collected", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "reason IN ('feature_off', 'empty_repository', 'forbidden', 'tier', 'cap', 'deleted', 'failed', 'changed')",
            name=op.f("ck_ledger_reason"),
        ),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_ledger_area_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_ledger_job_id")),
        sa.PrimaryKeyConstraint("area_id", "resource", name=op.f("pk_ledger")),
    )


def _segment() -> None:
    op.create_table(
        "segment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_segment_area_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_segment_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment")),
        sa.UniqueConstraint("name", name=op.f("uq_segment_name")),
    )
    op.create_index("ix_segment_area_id", "segment", ["area_id", "resource", "id"], unique=False)
    op.create_index("ix_segment_job_id", "segment", ["job_id", "id"], unique=False)
