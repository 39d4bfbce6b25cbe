"""People who sign in with their GitLab; a session belongs to one of them, or to the console."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

WIDE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
ROLES = "role IN ('admin', 'operator', 'participant')"


def upgrade() -> None:
    """Bring the schema up to this revision."""
    _person()
    _session()
    _sign_in_attempt()
    op.add_column(
        "account", sa.Column("redirect_uri", sa.Text(), server_default="", nullable=False)
    )


def _person() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("gitlab_user_id", WIDE, nullable=False),
        *(sa.Column(n, sa.Text(), server_default="", nullable=False) for n in ("username", "name")),
        *(sa.Column(n, sa.BigInteger(), nullable=False) for n in ("added_at", "seen_at")),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_person_instance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint(
            "instance_id", "gitlab_user_id", name=op.f("uq_person_instance_id_gitlab_user_id")
        ),
    )


def _session() -> None:
    """Rebuild the table: SQLite cannot change a constraint.

    A participant's session ends: nobody could begin one but a test, and it has no person.
    """
    op.rename_table("session", "session_before")
    op.create_table(
        "session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("created_at", "seen_at", "expires_at")
        ),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("role", sa.Text(), server_default="admin", nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(ROLES, name=op.f("ck_session_role")),
        sa.CheckConstraint(
            "role <> 'participant' OR person_id IS NOT NULL", name=op.f("ck_session_owner")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_session_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_rows")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_session_token_sha256")),
    )
    kept = "token_sha256, created_at, seen_at, expires_at, revoked_at, role"
    op.execute(
        f"INSERT INTO session ({kept}) SELECT {kept} FROM session_before"
        " WHERE role <> 'participant'"
    )
    op.drop_table("session_before")
    op.create_index("ix_session_person_id", "session", ["person_id", "id"])


def _sign_in_attempt() -> None:
    op.create_table(
        "sign_in_attempt",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("state_sha256", "browser_sha256", "instance_name", "wish")
        ),
        sa.Column("return_to", sa.Text(), server_default="/", nullable=False),
        *(sa.Column(n, sa.BigInteger(), nullable=False) for n in ("created_at", "expires_at")),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "wish IN ('take_part', 'operate')", name=op.f("ck_sign_in_attempt_wish")
        ),
        sa.PrimaryKeyConstraint("state_sha256", name=op.f("pk_sign_in_attempt")),
    )
