"""The highest role with which anything of a list was stored, whoever reads it later."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# The role of who holds the job; of who lost the area meanwhile, what the job was claimed with.
ROLE = """(SELECT COALESCE(x.role, j.read_role) FROM job AS j LEFT JOIN area_access AS x
  ON x.area_id = j.area_id AND x.account_id = j.account_id WHERE j.id = NEW.job_id)"""
DO = f"""UPDATE ledger SET stored_role = {ROLE}
  WHERE area_id = NEW.area_id AND resource = NEW.resource AND COALESCE(stored_role, -1) < {ROLE}"""
# As far as it is known: what was read last, and what is being read.
OF_VISIT = """UPDATE ledger SET stored_role = (SELECT v.role FROM visit AS v
  WHERE v.area_id = ledger.area_id AND v.resource = ledger.resource)"""
OF_JOB = """UPDATE ledger SET stored_role = (SELECT j.read_role FROM job AS j WHERE j.id = ledger.job_id)
  WHERE COALESCE(stored_role, -1) < (SELECT j.read_role FROM job AS j WHERE j.id = ledger.job_id)"""


def upgrade() -> None:
    """Bring the schema up to this revision."""
    op.add_column("ledger", sa.Column("stored_role", sa.Integer(), nullable=True))
    op.execute(OF_VISIT)
    op.execute(OF_JOB)
    event = "AFTER INSERT ON segment"
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER segment_has_a_role {event} BEGIN {DO}; END")
        return
    op.execute(
        "CREATE FUNCTION segment_has_a_role() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" {DO}; RETURN NEW; END $$"
    )
    op.execute(
        f"CREATE TRIGGER segment_has_a_role {event} FOR EACH ROW"
        " EXECUTE FUNCTION segment_has_a_role()"
    )
