"""The typed records of the wire protocol; names are camelCase on the wire, snake_case here.

Unknown fields and keys are ignored, never fatal: an older or newer peer must work.
"""

from typing import Any, Final

import msgspec

from labtrawl.protocol.tasks import (
    Credentials,
    CustomParameters,
    KnownArea,
    Lease,
    OutputConfig,
    RateLimits,
    Record,
    Segments,
    Task,
)

__all__ = [
    "Credentials",
    "CustomParameters",
    "KnownArea",
    "Lease",
    "OutputConfig",
    "RateLimits",
    "Record",
    "Segments",
    "Task",
]

PROTOCOL: Final = 2
ANY_CRAWLER: Final = "external-crawler"
EVERYBODY: Final = "*"
# Lists are sent in parts: a message stays far below the limit of a line.
PART: Final = 500


class Envelope(Record, frozen=True, kw_only=True):
    """A message: who, to whom, what, and the payload as raw JSON."""

    origin: str
    destination: str = EVERYBODY
    type: str
    key: str
    payload: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: int | float | str = 0
    id: str | None = None
    reply_to: str | None = None
    trace: str | None = None


class Challenge(Record, frozen=True, kw_only=True):
    """The listener's first words on a new connection."""

    nonce: str
    protocol: int = PROTOCOL


class Holding(Record, frozen=True, kw_only=True):
    """A lease that the sender believes to have."""

    task_id: str
    epoch: int


class Register(Record, frozen=True, kw_only=True):
    """Who dials, proved by an HMAC under a secret that both ends have."""

    id: str
    pid: int = 0
    type: str = "crawler"
    version: str = ""
    protocol: int = 1
    hostname: str = ""
    labels: list[str] = []
    max_jobs: int = 1
    nonce: str = ""
    proof: str = ""
    holding: list[Holding] = []


class Registered(Record, frozen=True, kw_only=True):
    """The listener accepts, and proves itself in the same way; a crawler says what it holds."""

    client_id: str
    protocol: int
    heartbeat_interval_ms: int
    server_time: int
    proof: str
    released: list[str] = []
    holding: list[Holding] = []


class Rejected(Record, frozen=True, kw_only=True):
    """The listener refuses; `retryable` says whether dialling again can help."""

    reason: str
    retryable: bool = False


class EndpointTraffic(Record, frozen=True, kw_only=True):
    """What a crawler asked of one endpoint since it began; `latency` as `domain.traffic` counts it."""

    requests: int = 0
    limited: int = 0
    failed: int = 0
    bytes: int = 0
    latency: dict[int, int] = {}


class Heartbeat(Record, frozen=True, kw_only=True):
    """A sign of life with a few figures."""

    timestamp: int
    active_jobs: int = 0
    total_processed: int = 0
    system_status: str = "idle"
    memory_usage: int = 0
    uptime: float = 0.0
    requests_per_minute: float = 0.0
    # How many requests it lets be under way at once by now, to the GitLab that takes the most.
    concurrency: int = 0
    # Of the crawler's own end of the connection: how it is, and what it could not send.
    breaker: str = "closed"
    breaker_opened: int = 0
    queued: int = 0
    dropped: int = 0
    # How many jobs it reads at once, and what GitLab was asked since it began: counts only grow.
    max_jobs: int = 0
    retries: int = 0
    traffic: dict[str, EndpointTraffic] = {}


class RequestJobs(Record, frozen=True, kw_only=True):
    """A crawler has room; the same `request_id` gets the same jobs again."""

    request_id: str = ""
    limit: int = 1
    resource: str | None = None


class RenewLeases(Record, frozen=True, kw_only=True):
    """The leases that a crawler wants to keep."""

    leases: list[Holding]


class RenewedLease(Record, frozen=True, kw_only=True):
    """What became of one lease: its new end and what the website wants, or lost."""

    task_id: str
    expires_at: int | None = None
    wanted: str = "run"
    access_token: str | None = None
    lost: bool = False

    def __repr__(self) -> str:
        return f"RenewedLease({self.task_id}, {self.wanted}, lost={self.lost})"


class LeasesRenewed(Record, frozen=True, kw_only=True):
    """The answer to `renew_leases`."""

    leases: list[RenewedLease]


class BudgetWanted(Record, frozen=True, kw_only=True):
    """How many requests a crawler is about to send for an account, in one class of endpoints."""

    account_id: str
    class_: str = msgspec.field(name="class", default="rest")
    requests: int = 1
    # Of all that it was granted in this class: how many it has sent since it began to count.
    spent: int | None = None


class BudgetSeen(Record, frozen=True, kw_only=True):
    """What GitLab's headers, or a 429, told of an account's limit; instants in ms."""

    account_id: str
    class_: str = msgspec.field(name="class", default="rest")
    limit: int | None = None
    remaining: int | None = None
    reset_at: int | None = None
    retry_after_seconds: float | None = None
    # Refused, whether or not GitLab said for how long.
    refused: bool = False


class RequestBudget(Record, frozen=True, kw_only=True):
    """A crawler asks for requests before it sends them, and tells what it saw."""

    want: list[BudgetWanted] = []
    seen: list[BudgetSeen] = []


class BudgetGrant(Record, frozen=True, kw_only=True):
    """So many requests, from an instant until another by the website's clock (ms).

    Without any: no more before `not_before`, and what is in hand ends at `expires_at` too.
    """

    account_id: str
    class_: str = msgspec.field(name="class", default="rest")
    requests: int = 0
    not_before: int = 0
    expires_at: int = 0
    # Why there is nothing, where it is not the limit.
    reason: str = ""


class BudgetGranted(Record, frozen=True, kw_only=True):
    """The answer to `request_budget`; `server_time` (ms) is the clock that the grants go by."""

    grants: list[BudgetGrant] = []
    server_time: int = 0


class TokenRefreshRequest(Record, frozen=True, kw_only=True):
    """A crawler's token was refused: it asks for the one that is valid now.

    `task_id` and `epoch` name the job it is for; a caller that is no socket must name them.
    `refused_sha256` says which token was refused, in hex: a newer one needs no renewal.
    """

    request_id: str
    provider_id: str = ""
    account_id: str = ""
    user_id: str = ""
    task_id: str = ""
    epoch: int = 0
    refused_sha256: str = ""


class TokenRefreshResponse(Record, frozen=True, kw_only=True):
    """The answer; it never carries a refresh token. `expires_at` is ISO 8601, UTC."""

    request_id: str
    success: bool
    access_token: str | None = None
    expires_at: str | None = None
    provider_id: str | None = None
    error: str | None = None

    def __repr__(self) -> str:
        return f"TokenRefreshResponse({self.request_id}, success={self.success})"


class SegmentReport(Record, frozen=True, kw_only=True):
    """A closed and durable file that a progress update commits."""

    name: str
    length: int
    sha256: str
    records: int
    # Objects that were not there before, None for all records; and objects that are gone.
    added: int | None = None
    removed: int = 0


class RequestManifest(Record, frozen=True, kw_only=True):
    """The holder of a job asks what was committed of its list; `after` is the `next` of a page."""

    task_id: str
    epoch: int
    after: int = 0


class Manifest(Record, frozen=True, kw_only=True):
    """The answer: segments in the order of their commit; no `next` says that these are the last."""

    segments: list[SegmentReport] = []
    next: int | None = None


class LedgerWindow(Record, frozen=True, kw_only=True):
    """A part of a list that was read by time, ISO 8601 instants; no `until` is without an end."""

    since: str = ""
    until: str = ""
    expected: int | None = None
    collected: int = 0


class LedgerReport(Record, frozen=True, kw_only=True):
    """What a list says of its own completeness."""

    expected: int | None = None
    expected_by: str = ""
    reason: str | None = None
    detail: str = ""
    windows: list[LedgerWindow] = []


class DiscoveredArea(Record, frozen=True, kw_only=True):
    """An area that a crawler found."""

    type: str
    name: str
    gitlab_id: int
    full_path: str
    web_url: str = ""
    description: str = ""
    parent_path: str = ""
    discovered_by: str = ""
    role: int = 0
    features: dict[str, str] = {}
    empty_repository: bool = False


class ProgressUpdate(Record, frozen=True, kw_only=True):
    """How far a job is, and what this update commits."""

    task_id: str
    status: str
    timestamp: int | str
    epoch: int = 0
    processed_items: int = 0
    total_items: int | None = None
    current_data_type: str = ""
    stage: str = ""
    message: str = ""
    error: str = ""
    reason: str = ""
    retryable: bool = False
    retry_after_seconds: float | None = None
    cursor: str | None = None
    segments: list[SegmentReport] = []
    ledger: LedgerReport | None = None
    areas: list[DiscoveredArea] = []
    requests: int = 0
    retries: int = 0
    # With `completed`: up to which instant of the server (ms) everything was read, and how many
    # objects this visit found new, changed or gone.
    watermark: int | None = None
    changed: int = 0
    withheld: dict[str, int] = {}  # fields that the policy did not let pass, and how often


class DiscoveredJob(Record, frozen=True, kw_only=True):
    """A job that a crawler proposes; the website decides and stores it.

    `mode` "changes" asks for what a finished list has new; "full" for a list that nobody read yet.
    `watermark` is the server's instant (ms) up to which everything is known of a list that has
    nothing to read at first.
    """

    command: str
    full_path: str
    gitlab_id: int
    priority: int = 0
    area_type: str = "project"
    mode: str = "full"
    watermark: int | None = None


class JobsDiscovered(Record, frozen=True, kw_only=True):
    """Jobs that a crawler discovered while it ran a task."""

    task_id: str
    epoch: int = 0
    jobs: list[DiscoveredJob]


class Ack(Record, frozen=True, kw_only=True):
    """What took effect and is durable: cumulative for each job, single ids beside."""

    up_to: dict[str, str] = {}
    ids: list[str] = []
    results: dict[str, dict[str, Any]] = {}


class ErrorReport(Record, frozen=True, kw_only=True):
    """Why a message was refused."""

    code: str
    message: str
    reply_to: str | None = None


class Command(Record, frozen=True, kw_only=True):
    """What the website wants of a crawler, or of one of its jobs."""

    task_id: str | None = None


class CredentialsUpdated(Record, frozen=True, kw_only=True):
    """A hint that an account has a new token; it comes with the next renewal."""

    account_id: str


class Shutdown(Record, frozen=True, kw_only=True):
    """The website asks the crawler to end."""

    signal: str | None = None
    grace_seconds: float = 10.0
