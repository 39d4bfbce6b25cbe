"""What goes into a pot and what comes out of it: rules, sights, grants; a leaf of the budget's.

Instants are milliseconds by the website's clock.
"""

from dataclasses import dataclass

from labtrawl.dispatch.curve import FIRST_WAIT_MS


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say; `requests_per_minute` 0 leaves it to GitLab alone."""

    requests_per_minute: int = 0
    reserved_share: float = 0.2
    grant_ms: int = 5_000
    first_wait_ms: int = FIRST_WAIT_MS


@dataclass(frozen=True, slots=True)
class Sight:
    """What one crawler saw of a limit.

    `is_refused` without `retry_after_ms` means that GitLab did not say how long; `random` (0 … 1)
    spreads the wait then.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_at: int | None = None
    retry_after_ms: int | None = None
    is_refused: bool = False
    random: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """So many requests until `expires_at`.

    Without any: no more before `not_before`, and what is in hand ends at `expires_at` too.
    """

    requests: int
    not_before: int
    expires_at: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Learned:
    """What outlives the website's process."""

    limit_per_minute: int | None = None
    not_before: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """How a pot stands: what GitLab's limit is, what of it crawlers may use a minute, and did.

    `remaining` until `reset_at` is GitLab's own count, where it tells one. No request is granted
    before `not_before`, 0 where none is waited for.
    """

    limit_per_minute: int | None
    allowed_per_minute: int | None
    sent: int
    under_way: int
    remaining: int | None
    reset_at: int | None
    not_before: int
