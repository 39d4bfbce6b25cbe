"""An account can be switched off by an admin, whatever its GitLab says of it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Bring the schema up to this revision."""
    op.add_column("account", sa.Column("disabled_at", sa.BigInteger(), nullable=True))
