"""The tables. Constraints keep the promises, not code; each says why it is there.

Instants are milliseconds since the epoch, UTC, by the database's own clock.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from labtrawl.store.schema_consent import (
    area_choice,
    consent,
    consent_resource,
    consent_text,
    pinned,
    withheld,
)
from labtrawl.store.schema_notices import (
    backup,
    delivery,
    notice,
    seen_fields,
    seen_version,
    share_mark,
    stop_request,
)
from labtrawl.store.schema_operations import add_job_indexes, attempt, operation
from labtrawl.store.schema_people import admin_link, person, session, sign_in_attempt
from labtrawl.store.schema_samples import sample
from labtrawl.store.schema_visits import ledger_window, metadata, retired, visit

__all__ = [
    "admin_link",
    "area_choice",
    "attempt",
    "backup",
    "consent",
    "consent_resource",
    "consent_text",
    "delivery",
    "ledger_window",
    "metadata",
    "notice",
    "operation",
    "person",
    "pinned",
    "retired",
    "sample",
    "seen_fields",
    "seen_version",
    "session",
    "share_mark",
    "sign_in_attempt",
    "stop_request",
    "visit",
    "withheld",
]

# SQLite's integers are wide whatever they are called. Every progress is a change, and GitLab
# counts on: both outgrow 32 bits.
Wide = Integer().with_variant(BigInteger(), "postgresql")

instance = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # The URL is an attribute, not the identity: a GitLab may move to another address.
    Column("url", Text, nullable=False),
    Column("version", Text, nullable=False, server_default=""),
    Column("added_at", BigInteger, nullable=False),
)

account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey("instance.id"), nullable=False),
    Column("gitlab_user_id", Wide, nullable=False),
    Column("username", Text, nullable=False),
    Column("scopes", Text, nullable=False, server_default=""),
    # Encrypted, bound to this account's origin; never in clear.
    Column("token", Text, nullable=False),
    # Of which `[[accounts]]` of the settings it is: a pair that was renewed since stays the newer.
    Column("source_sha256", Text, nullable=False, server_default=""),
    # Encrypted as the token is; empty for a token that cannot be renewed.
    Column("refresh_token", Text, nullable=False, server_default=""),
    Column("expires_at", BigInteger),
    # When most of the token's life is over: from then on a new pair is asked for.
    Column("renew_at", BigInteger),
    # Grows with each pair: a renewal changes the pair that it read, or nothing.
    Column("token_version", Integer, nullable=False, server_default="0"),
    # Set before GitLab is asked for a new pair: found at a start, the answer may have been lost.
    Column("renewal_began_at", BigInteger),
    # The first of the refusals in a row; GitLab's replicas refuse good pairs for a while.
    Column("renewal_refused_at", BigInteger),
    # GitLab compares it at each renewal; empty where it is the one of the settings.
    Column("redirect_uri", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("verified_at", BigInteger, nullable=False),
    # As the data folder's; a trigger keeps both the same.
    Column("mode", Text, nullable=False, server_default="team"),
    # What an account of a study rests on; triggers look whether that consent holds.
    Column("consent_id", Integer),
    # Since when an admin lets nobody use it, whatever its GitLab says.
    Column("disabled_at", BigInteger),
    # One account is one GitLab user, whatever it is called today.
    UniqueConstraint("instance_id", "gitlab_user_id"),
    CheckConstraint("state IN ('active', 'refused')", name="state"),
    CheckConstraint("mode IN ('team', 'study')", name="mode"),
    CheckConstraint("mode = 'team' OR state <> 'active' OR consent_id IS NOT NULL", name="consent"),
)

area = Table(
    "area",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey("instance.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("gitlab_id", Wide, nullable=False),
    Column("full_path", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("web_url", Text, nullable=False, server_default=""),
    Column("parent_path", Text, nullable=False, server_default=""),
    Column("discovered_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    # Since when no account finds it any more; None while one does.
    Column("unseen_at", BigInteger),
    # Identity is (instance, kind, numeric id): a rename keeps the area and its history.
    UniqueConstraint("instance_id", "kind", "gitlab_id"),
    CheckConstraint("kind IN ('instance', 'group', 'project', 'user')", name="kind"),
    Index("ix_area_full_path", "full_path", "id"),
)

# The order of the tree (store/pages/areas.py): a parent, then all that is below it.
Index("ix_area_tree", func.replace(area.c.full_path, "/", " "), area.c.id)

area_path = Table(
    "area_path",
    metadata,
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("full_path", Text, nullable=False),
    Column("seen_from", BigInteger, nullable=False),
    # Every path that an area ever had, with the instant it was first seen under it.
    PrimaryKeyConstraint("area_id", "full_path"),
)

area_access = Table(
    "area_access",
    metadata,
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("role", Integer, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("area_id", "account_id"),
    Index("ix_area_access_account_id", "account_id", "area_id"),
)

job = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("resource", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("hold_reason", Text),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("run_after", BigInteger),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("lease_holder", Text),
    Column("lease_expires_at", BigInteger),
    Column("claim_id", Text),
    Column("account_id", ForeignKey("account.id")),
    Column("parent_id", ForeignKey("job.id")),
    Column("cursor", Text),
    Column("next_segment", Integer, nullable=False, server_default="1"),
    Column("processed_items", Integer, nullable=False, server_default="0"),
    Column("total_items", Integer),
    Column("requests", Integer, nullable=False, server_default="0"),
    Column("retries", Integer, nullable=False, server_default="0"),
    # What earlier leases had asked for: a crawler counts from nothing with each lease.
    Column("earlier_requests", Integer, nullable=False, server_default="0"),
    Column("earlier_retries", Integer, nullable=False, server_default="0"),
    Column("stage", Text, nullable=False, server_default=""),
    Column("error_reason", Text),
    Column("error_message", Text),
    # The highest message id applied to this job by its present holder.
    Column("applied_origin", Text),
    Column("applied_id", Text),
    # How this visit reads; a list is one job for ever, opened again for each visit.
    Column("mode", Text, nullable=False, server_default="full"),
    # The lowest role that this visit read with: what it may have missed shows to a higher one.
    Column("read_role", Integer),
    # Objects committed since a visit last came to its end: who takes over counts from nothing.
    Column("changed_items", Integer, nullable=False, server_default="0"),
    # What the website wants of a running job; written before its crawler is told.
    Column("wanted", Text, nullable=False, server_default="run"),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    # Grows with every committed change: viewers ask for what changed after the last they saw.
    Column("change", Wide, nullable=False),
    CheckConstraint(
        "state IN ('queued', 'running', 'held', 'completed', 'failed', 'cancelled')", name="state"
    ),
    # A running job has a lease and no other has: nobody works without one.
    CheckConstraint(
        "(state = 'running') = (lease_holder IS NOT NULL AND lease_expires_at IS NOT NULL)",
        name="lease",
    ),
    CheckConstraint("(state = 'held') = (hold_reason IS NOT NULL)", name="hold"),
    # Only who works can be asked to stop: the wish ends with the lease.
    CheckConstraint("wanted = 'run' OR (wanted = 'pause' AND state = 'running')", name="wanted"),
    CheckConstraint("(state = 'failed') = (error_reason IS NOT NULL)", name="error"),
    CheckConstraint("mode IN ('full', 'changes', 'sweep')", name="mode"),
    Index("ix_job_change", "change"),
    Index("ix_job_state", "state", "id"),
    Index("ix_job_resource", "resource", "id"),
    # The list of jobs filtered by both stays a search, however many there are of either.
    Index("ix_job_resource_state", "resource", "state", "id"),
    Index("ix_job_area_id", "area_id", "resource", "id"),
    Index("ix_job_parent_id", "parent_id", "id"),
)

OPEN = "state IN ('queued', 'running', 'held')"
# One open job for each (area, resource), however many accounts and discoveries name it.
Index(
    "uq_job_open",
    job.c.area_id,
    job.c.resource,
    unique=True,
    sqlite_where=text(OPEN),
)
DUE = "state = 'queued' AND run_after IS NULL"
# The claim reads due jobs only, best first.
Index(
    "ix_job_due",
    job.c.priority.desc(),
    job.c.id,
    sqlite_where=text(DUE),
)
LATER = "run_after IS NOT NULL"
Index("ix_job_run_after", job.c.run_after, sqlite_where=text(LATER))
RUNNING = "state = 'running'"
Index(
    "ix_job_lease_expires_at",
    job.c.lease_expires_at,
    sqlite_where=text(RUNNING),
)
add_job_indexes(job)

segment = Table(
    "segment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("job.id"), nullable=False),
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("resource", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("name", Text, nullable=False, unique=True),
    Column("length", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("records", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_segment_area_id", "area_id", "resource", "id"),
    Index("ix_segment_job_id", "job_id", "id"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("area_id", ForeignKey("area.id"), nullable=False),
    Column("resource", Text, nullable=False),
    Column("job_id", ForeignKey("job.id")),
    # None where GitLab gives no number; then the end of the list is the proof.
    Column("expected", Integer),
    Column("expected_by", Text, nullable=False, server_default=""),
    Column("collected", Integer, nullable=False, server_default="0"),
    Column("reason", Text),
    Column("detail", Text, nullable=False, server_default=""),
    # Set when the list was read to its end.
    Column("completed_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    # The highest role that anything of it was stored with; a trigger of the segments keeps it.
    Column("stored_role", Integer),
    PrimaryKeyConstraint("area_id", "resource"),
    CheckConstraint(
        "reason IN ('feature_off', 'empty_repository', 'forbidden', 'tier', 'cap', 'deleted',"
        " 'failed', 'changed', 'cancelled', 'elsewhere')",
        name="reason",
    ),
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    # The beginning of the token, by which people tell one from another.
    Column("prefix", Text, nullable=False, unique=True),
    # Only the hash is kept: who reads the database cannot use it over HTTP.
    Column("token_sha256", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
)

crawler = Table(
    "crawler",
    metadata,
    # As it registered; the name `*` stands for all of them.
    Column("name", Text, primary_key=True),
    # Whose name it is: another credential cannot take over its leases.
    Column("owner", Text, nullable=False, server_default=""),
    # What the website wants of it; written before it is told.
    Column("wanted", Text, nullable=False, server_default="run"),
    Column("changed_at", BigInteger, nullable=False),
    CheckConstraint("wanted IN ('run', 'pause', 'drain')", name="wanted"),
)

budget = Table(
    "budget",
    metadata,
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("class", Text, nullable=False),
    # As GitLab's headers told; None where it tells no limit.
    Column("limit_per_minute", Integer),
    Column("not_before", BigInteger, nullable=False, server_default="0"),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "class"),
)

message = Table(
    "message",
    metadata,
    Column("origin", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("applied_at", BigInteger, nullable=False),
    # Messages without an id that grows are known by what they say, for 24 hours.
    PrimaryKeyConstraint("origin", "message_id"),
    Index("ix_message_applied_at", "applied_at"),
)

# Rows are only ever added: triggers refuse every change and every removal.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tier", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    # HMAC over the row and the one before it: a row that was changed or left out is found.
    Column("mac", Text, nullable=False),
    CheckConstraint("level IN ('high', 'medium', 'low', 'none')", name="level"),
    Index("ix_audit_at", "at"),
)
