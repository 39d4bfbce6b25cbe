"""The tables of people: who signed in, their sessions, the links and attempts that lead to one.

`labtrawl.store.schema` has the others, and is what the rest of the room asks for.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from labtrawl.store.schema_visits import metadata

ROLES = "role IN ('admin', 'operator', 'participant')"

person = Table(
    "person",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey("instance.id"), nullable=False),
    Column("gitlab_user_id", Integer().with_variant(BigInteger(), "postgresql"), nullable=False),
    # What GitLab called them when they last signed in: to be shown, never to be compared.
    Column("username", Text, nullable=False, server_default=""),
    Column("name", Text, nullable=False, server_default=""),
    Column("added_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    # A person is one GitLab user of one GitLab; names and e-mail addresses change hands.
    UniqueConstraint("instance_id", "gitlab_user_id"),
)

admin_link = Table(
    "admin_link",
    metadata,
    # Only the hash is kept: who reads the database cannot sign in with it.
    Column("token_sha256", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("role", Text, nullable=False, server_default="admin"),
    CheckConstraint(ROLES, name="role"),
)

sign_in_attempt = Table(
    "sign_in_attempt",
    metadata,
    # Only hashes are kept: who reads the database cannot finish a sign-in that others began.
    Column("state_sha256", Text, primary_key=True),
    # Of the cookie of the browser that began: no other browser can finish.
    Column("browser_sha256", Text, nullable=False),
    # The GitLab that the browser was sent to: an answer of another is refused.
    Column("instance_name", Text, nullable=False),
    Column("wish", Text, nullable=False),
    Column("return_to", Text, nullable=False, server_default="/"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    CheckConstraint("wish IN ('take_part', 'operate')", name="wish"),
)

session = Table(
    "session",
    metadata,
    # What a session is called where it is shown and ended; it opens nothing.
    Column("id", Integer, primary_key=True),
    Column("token_sha256", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("role", Text, nullable=False, server_default="admin"),
    # None for who came by a link from the console.
    Column("person_id", ForeignKey("person.id")),
    CheckConstraint(ROLES, name="role"),
    # What a participant may see depends on who it is.
    CheckConstraint("role <> 'participant' OR person_id IS NOT NULL", name="owner"),
    Index("ix_session_person_id", "person_id", "id"),
)
