"""Samples: what happened, by the minute, the hour and the day."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the schema up to this revision."""
    op.create_table(
        "sample",
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.CheckConstraint("grain IN ('minute', 'hour', 'day')", name=op.f("ck_sample_grain")),
        sa.PrimaryKeyConstraint("grain", "at", name=op.f("pk_sample")),
    )
