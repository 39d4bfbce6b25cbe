"""Doors with tiers, commands, budgets, renewable credentials, and a log of who did what."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ROLES = "role IN ('admin', 'operator', 'participant')"


def upgrade() -> None:
    """Bring the schema up to this revision."""
    _account()
    _job()
    _ledger()
    _roles()
    _api_token()
    _crawler()
    _budget()
    _message()
    _audit()


def _account() -> None:
    for name in ("source_sha256", "refresh_token"):
        op.add_column("account", sa.Column(name, sa.Text(), server_default="", nullable=False))
    for name in ("expires_at", "renew_at"):
        op.add_column("account", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column(
        "account", sa.Column("token_version", sa.Integer(), server_default="0", nullable=False)
    )
    for name in ("renewal_began_at", "renewal_refused_at"):
        op.add_column("account", sa.Column(name, sa.BigInteger(), nullable=True))


def _job() -> None:
    _add(
        "job",
        "wanted TEXT DEFAULT 'run' NOT NULL CONSTRAINT ck_job_wanted"
        " CHECK (wanted = 'run' OR (wanted = 'pause' AND state = 'running'))",
    )


def _add(table: str, column: str) -> None:
    """Add a column with its constraints, which both databases take only in their own words."""
    op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def _ledger() -> None:
    """Rebuild the table: SQLite cannot change a constraint."""
    op.rename_table("ledger", "ledger_before")
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
            "reason IN ('feature_off', 'empty_repository', 'forbidden', 'tier', 'cap', 'deleted',"
            " 'failed', 'changed', 'cancelled', 'elsewhere')",
            name=op.f("ck_ledger_reason"),
        ),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_ledger_area_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_ledger_job_id")),
        sa.PrimaryKeyConstraint("area_id", "resource", name=op.f("pk_ledger_rows")),
    )
    op.execute("INSERT INTO ledger SELECT * FROM ledger_before")
    op.drop_table("ledger_before")


def _roles() -> None:
    for table in ("admin_link", "session"):
        _add(
            table,
            f"role TEXT DEFAULT 'admin' NOT NULL CONSTRAINT ck_{table}_role CHECK ({ROLES})",
        )
    _add(
        "session",
        "account_id INTEGER CONSTRAINT fk_session_account_id REFERENCES account (id)"
        " CONSTRAINT ck_session_owner CHECK ((role = 'participant') = (account_id IS NOT NULL))",
    )


def _api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_token_prefix")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_api_token_token_sha256")),
    )


def _crawler() -> None:
    op.create_table(
        "crawler",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("wanted", sa.Text(), server_default="run", nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("wanted IN ('run', 'pause', 'drain')", name=op.f("ck_crawler_wanted")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_crawler")),
    )


def _budget() -> None:
    op.create_table(
        "budget",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("limit_per_minute", sa.Integer(), nullable=True),
        sa.Column("not_before", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_budget_account_id")),
        sa.PrimaryKeyConstraint("account_id", "class", name=op.f("pk_budget")),
    )


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "message_id", name=op.f("pk_message")),
    )
    op.create_index("ix_message_applied_at", "message", ["applied_at"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("tier", "client", "level", "action", "target", "outcome")
        ),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "level IN ('high', 'medium', 'low', 'none')", name=op.f("ck_audit_level")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    for change in ("UPDATE", "DELETE"):
        if op.get_context().dialect.name == "sqlite":
            op.execute(
                f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit"
                " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        else:
            _refuse_on_postgresql(change, "EACH ROW")
    if op.get_context().dialect.name != "sqlite":
        _refuse_on_postgresql("TRUNCATE", "EACH STATEMENT")


def _refuse_on_postgresql(change: str, each: str) -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit"
        f" FOR {each} EXECUTE FUNCTION audit_is_append_only()"
    )
