"""The mode of a data folder, and consent: nothing of a participant is planned without it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

IN_STUDY = "EXISTS (SELECT 1 FROM pinned WHERE mode = 'study')"
# What the word means in every trigger below; {row} is the account's row.
CONSENTED = (
    "EXISTS (SELECT 1 FROM consent WHERE consent.id = {row}.consent_id"
    " AND consent.account_id = {row}.id AND consent.ended_at IS NULL)"
)
# The answer that was given for the area itself, else for the nearest one above it, else for all.
MAY_BE_READ = """
EXISTS (SELECT 1 FROM account AS c JOIN consent AS k ON k.id = c.consent_id
  JOIN area AS a ON a.id = NEW.area_id
  WHERE c.id = NEW.account_id AND c.mode = 'study' AND k.ended_at IS NULL
  AND (a.kind = 'user' OR 1 = COALESCE(
    (SELECT h.wanted FROM area_choice AS h JOIN area AS p ON p.id = h.area_id
     WHERE h.account_id = c.id AND h.wanted IS NOT NULL AND p.instance_id = a.instance_id
     AND (p.id = a.id OR (p.kind = 'group'
       AND substr(a.full_path, 1, length(p.full_path) + 1) = p.full_path || '/'))
     ORDER BY CASE WHEN p.id = a.id THEN 0 ELSE 1 END, length(p.full_path) DESC LIMIT 1),
    CASE WHEN k.areas = 'all' THEN 1 ELSE 0 END)))
"""
OF_A_STUDY = "(SELECT mode FROM account WHERE account.id = NEW.account_id) = 'study'"
# An area is read by somebody only with a consent; and the text asks for this kind of data.
NOT_ASKED_FOR = (
    "(NOT EXISTS (SELECT 1 FROM area_access AS x WHERE x.area_id = NEW.area_id)"
    " OR (NEW.resource <> 'discovery' AND NOT EXISTS (SELECT 1 FROM consent_resource AS r"
    " WHERE r.resource IN (NEW.resource, '*')"
    " AND r.version = (SELECT MAX(version) FROM consent_text))))"
)
# name, event, table, when, what it says.
REFUSALS: tuple[tuple[str, str, str, str, str], ...] = (
    ("pinned_no_delete", "BEFORE DELETE", "pinned", "", "the mode of a data folder stays"),
    (
        "pinned_no_return",
        "BEFORE UPDATE",
        "pinned",
        "OLD.mode = 'study' AND (NEW.mode <> 'study' OR NEW.key_id <> OLD.key_id)",
        "a data folder never goes from study to team, nor to another key",
    ),
    ("consent_text_no_update", "BEFORE UPDATE", "consent_text", "", "people agreed to these words"),
    ("consent_text_no_delete", "BEFORE DELETE", "consent_text", "", "people agreed to these words"),
    (
        "consent_resource_no_update",
        "BEFORE UPDATE",
        "consent_resource",
        "",
        "people agreed to these words",
    ),
    (
        "consent_resource_no_delete",
        "BEFORE DELETE",
        "consent_resource",
        "",
        "people agreed to these words",
    ),
    ("consent_no_delete", "BEFORE DELETE", "consent", "", "a consent is ended, never removed"),
    (
        "consent_only_ends",
        "BEFORE UPDATE",
        "consent",
        "OLD.ended_at IS NOT NULL OR NEW.account_id <> OLD.account_id OR NEW.version <> OLD.version"
        " OR NEW.areas <> OLD.areas OR NEW.until <> OLD.until OR NEW.given_at <> OLD.given_at"
        " OR NEW.given_by <> OLD.given_by",
        "a consent only ever ends",
    ),
    (
        "consent_is_used",
        "BEFORE UPDATE OF ended_at",
        "consent",
        "NEW.ended_at IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM account WHERE account.consent_id = OLD.id)",
        "an account still rests on this consent",
    ),
    (
        "account_stays_in_study",
        "BEFORE UPDATE OF mode",
        "account",
        "OLD.mode = 'study' AND NEW.mode <> 'study'",
        "an account of a study stays one",
    ),
    (
        "account_needs_consent",
        "BEFORE UPDATE OF state, mode, consent_id",
        "account",
        "(NEW.mode = 'study' OR " + IN_STUDY + ") AND (NEW.state = 'active'"
        " OR NEW.consent_id IS NOT NULL) AND NOT " + CONSENTED.format(row="NEW"),
        "no account of a study is used without a consent that holds",
    ),
    (
        "account_begins_unused",
        "BEFORE INSERT",
        "account",
        IN_STUDY + " AND (NEW.state = 'active' OR NEW.consent_id IS NOT NULL)",
        "no account of a study is used without a consent that holds",
    ),
    (
        "area_access_needs_consent",
        "BEFORE INSERT",
        "area_access",
        f"{OF_A_STUDY} AND NOT {MAY_BE_READ}",
        "no area of a participant is read without consent",
    ),
    (
        "area_access_keeps_consent",
        "BEFORE UPDATE OF area_id, account_id",
        "area_access",
        f"{OF_A_STUDY} AND NOT {MAY_BE_READ}",
        "no area of a participant is read without consent",
    ),
)
# What is left undone without a word: whoever plans finds that there is nothing to plan.
SKIPPED: tuple[tuple[str, str, str, str], ...] = (
    (
        "job_needs_consent",
        "BEFORE INSERT",
        "job",
        f"{IN_STUDY} AND {NOT_ASKED_FOR}",
    ),
    (
        "job_is_asked_for",
        "BEFORE UPDATE OF state",
        "job",
        f"OLD.state <> 'running' AND NEW.state = 'queued' AND {IN_STUDY} AND {NOT_ASKED_FOR}",
    ),
)
# name, event, table, when, what is done.
FOLLOWERS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "account_is_of_the_study",
        "AFTER INSERT",
        "account",
        f"NEW.mode = 'team' AND {IN_STUDY}",
        "UPDATE account SET mode = 'study' WHERE id = NEW.id",
    ),
    (
        "account_loses_access",
        "AFTER UPDATE OF consent_id",
        "account",
        "NEW.mode = 'study' AND NEW.consent_id IS NULL",
        "DELETE FROM area_access WHERE account_id = NEW.id",
    ),
    (
        "area_choice_takes_access",
        "AFTER UPDATE OF wanted",
        "area_choice",
        "NEW.wanted = 0",
        "DELETE FROM area_access WHERE account_id = NEW.account_id AND area_id = NEW.area_id",
    ),
    (
        "area_choice_takes_new_access",
        "AFTER INSERT",
        "area_choice",
        "NEW.wanted = 0",
        "DELETE FROM area_access WHERE account_id = NEW.account_id AND area_id = NEW.area_id",
    ),
)


def upgrade() -> None:
    """Bring the schema up to this revision."""
    _pinned()
    _texts()
    _consent()
    _area_choice()
    _withheld()
    _account()
    _triggers()


def _pinned() -> None:
    op.create_table(
        "pinned",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        *(sa.Column(n, sa.Text(), server_default="", nullable=False) for n in ("key_id", "basis")),
        sa.Column("pinned_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_pinned_one")),
        sa.CheckConstraint("mode IN ('team', 'study')", name=op.f("ck_pinned_mode")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pinned")),
    )


def _texts() -> None:
    op.create_table(
        "consent_text",
        sa.Column("version", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("title", "body")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("until", "written_at")),
        sa.Column("written_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_consent_text")),
    )
    op.create_table(
        "consent_resource",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version"], ["consent_text.version"], name=op.f("fk_consent_resource_version")
        ),
        sa.PrimaryKeyConstraint("version", "resource", name=op.f("pk_consent_resource")),
    )


def _consent() -> None:
    op.create_table(
        "consent",
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("id", "account_id", "version")
        ),
        sa.Column("areas", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("until", "given_at")),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_why", sa.Text(), nullable=True),
        sa.CheckConstraint("areas IN ('all', 'chosen')", name=op.f("ck_consent_areas")),
        sa.CheckConstraint(
            "ended_why IN ('withdrawn', 'expired', 'changed', 'new text')",
            name=op.f("ck_consent_ended_why"),
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended_why IS NULL)", name=op.f("ck_consent_ended")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_consent_account_id")),
        sa.ForeignKeyConstraint(
            ["version"], ["consent_text.version"], name=op.f("fk_consent_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    _consent_indexes()


def _consent_indexes() -> None:
    op.create_index("ix_consent_account_id", "consent", ["account_id", "id"])
    living = sa.text("ended_at IS NULL")
    for name, column, unique in (
        ("uq_consent_living", "account_id", True),
        ("ix_consent_until", "until", False),
    ):
        op.create_index(
            name,
            "consent",
            [column],
            unique=unique,
            sqlite_where=living,
            postgresql_where=living,
        )


def _area_choice() -> None:
    op.create_table(
        "area_choice",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("account_id", "area_id")),
        sa.Column("wanted", sa.Integer(), nullable=True),
        sa.Column("role", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("chosen_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("wanted IN (0, 1)", name=op.f("ck_area_choice_wanted")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_area_choice_account_id")
        ),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_area_choice_area_id")),
        sa.PrimaryKeyConstraint("account_id", "area_id", name=op.f("pk_area_choice")),
    )


def _withheld() -> None:
    op.create_table(
        "withheld",
        sa.Column("area_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("resource", "field")),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["area.id"], name=op.f("fk_withheld_area_id")),
        sa.PrimaryKeyConstraint("area_id", "resource", "field", name=op.f("pk_withheld")),
    )
    op.create_index("ix_withheld_resource", "withheld", ["resource", "field"])


def _account() -> None:
    # Both databases take a column with its constraints only in their own words.
    op.execute(
        "ALTER TABLE account ADD COLUMN mode TEXT DEFAULT 'team' NOT NULL"
        " CONSTRAINT ck_account_mode CHECK (mode IN ('team', 'study'))"
    )
    op.execute(
        "ALTER TABLE account ADD COLUMN consent_id INTEGER CONSTRAINT ck_account_consent"
        " CHECK (mode = 'team' OR state <> 'active' OR consent_id IS NOT NULL)"
    )


def _triggers() -> None:
    for name, event, table, when, says in REFUSALS:
        _add(name, event, table, when, "refuse", says)
    for name, event, table, when in SKIPPED:
        _add(name, event, table, when, "skip", "")
    for name, event, table, when, done in FOLLOWERS:
        _add(name, event, table, when, "do", done)


def _add(name: str, event: str, table: str, when: str, kind: str, text: str) -> None:
    if op.get_context().dialect.name == "sqlite":
        body = {
            "refuse": f"SELECT RAISE(ABORT, '{text}')",
            "skip": "SELECT RAISE(IGNORE)",
            "do": text,
        }[kind]
        guard = f" WHEN {when}" if when else ""
        op.execute(f"CREATE TRIGGER {name} {event} ON {table}{guard} BEGIN {body}; END")
        return
    back = "OLD" if event.startswith("BEFORE DELETE") else "NEW"
    body = {
        "refuse": f"RAISE EXCEPTION '{text}';",
        "skip": "RETURN NULL;",
        "do": f"{text};",
    }[kind]
    # A condition with a query may not stand in WHEN there.
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {when or 'TRUE'} THEN {body} END IF; RETURN {back}; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
