"""Operations."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the schema up to this revision."""
