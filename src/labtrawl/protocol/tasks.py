"""What a crawler gets to work on: a leased job, and all that it takes to run it."""

import msgspec


class Record(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """What all payloads share."""


class Lease(Record, frozen=True, kw_only=True):
    """The right to work on a job: a fence number and an end by the database's clock (ms)."""

    epoch: int
    expires_at: int


class Credentials(Record, frozen=True, kw_only=True):
    """A short-lived access token, never a refresh token; and in a study the key of its policy."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the kind of token, not one
    # Of the pseudonyms, in hex; empty where records are kept as they are.
    policy_key: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


class OutputConfig(Record, frozen=True, kw_only=True):
    """Where segments go."""

    storage_type: str = "filesystem"
    base_path: str = ""
    format: str = "jsonl.zst"


class Segments(Record, frozen=True, kw_only=True):
    """How the next segment of this lease is called: prefix and number."""

    prefix: str
    next: int


class CustomParameters(Record, frozen=True, kw_only=True):
    """Where a job goes on."""

    resume_state: str | None = None


class KnownArea(Record, frozen=True, kw_only=True):
    """What a path stood for when it was last seen: a path may change, the id does not."""

    full_path: str
    type: str
    gitlab_id: int


class RateLimits(Record, frozen=True, kw_only=True):
    """How fast a peer that asks for no budget may go; 0 where no limit is known."""

    max_requests_per_minute: int = 0


class Task(Record, frozen=True, kw_only=True):
    """A leased job with everything that it takes to run it."""

    task_id: str
    command: str
    gitlab_api_url: str
    credentials: Credentials
    resource_type: str
    resource_id: str
    full_path: str
    data_types: list[str]
    last_processed_id: str | None = None
    output_config: OutputConfig = OutputConfig()
    custom_parameters: CustomParameters = CustomParameters()
    lease: Lease
    priority: int = 0
    attempt: int = 1
    account_id: str = ""
    provider_id: str = ""
    policy: str = "as_is"
    segments: Segments
    gitlab_version: str = ""
    processed_items: int = 0
    rate_limits: RateLimits = RateLimits()
    # "full" reads all; "changes" what changed since; "sweep" all again, to find what is gone.
    mode: str = "full"
    # Of a discovery: what the paths were that somebody named.
    known_areas: list[KnownArea] = []
    # The server's instant (ISO 8601) up to which everything was read before.
    since: str | None = None
    # What a known object that a whole reading misses counts as: "gone", "forbidden" or "unknown".
    missing: str = "gone"
