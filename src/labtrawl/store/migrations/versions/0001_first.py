"""The first schema."""

from alembic import op

from labtrawl.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Bring the schema up to this revision."""
    metadata.create_all(op.get_bind())
