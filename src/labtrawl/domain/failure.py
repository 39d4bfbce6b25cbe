"""Why something is not there: the closed set of reasons, and when to try again."""

import re
from dataclasses import dataclass
from enum import StrEnum


class GapReason(StrEnum):
    """Why a ledger row has less than GitLab holds. A gap without one of these is unexplained."""

    FEATURE_OFF = "feature_off"
    EMPTY_REPOSITORY = "empty_repository"
    FORBIDDEN = "forbidden"
    TIER = "tier"
    CAP = "cap"
    DELETED = "deleted"
    FAILED = "failed"
    CHANGED = "changed"
    CANCELLED = "cancelled"
    ELSEWHERE = "elsewhere"


# GitLab does not give such a list: no try can read it.
REFUSALS = frozenset(
    {
        *(GapReason.FEATURE_OFF, GapReason.EMPTY_REPOSITORY, GapReason.FORBIDDEN),
        *(GapReason.TIER, GapReason.CAP, GapReason.DELETED),
    }
)

# An address or a path with its query; a number that is no status; what no form can carry.
_OWN = re.compile(r"(?<!\w)(?:https?:/)?/\S*?(?=[:;,]?(?:[\s)]|$))|\d{4,}|[\x00-\x1f\x7f]+")
# Stands for what was left out.
ANYTHING = "\N{HORIZONTAL ELLIPSIS}"


def cause_of(message: str) -> str:
    """Return a message without what differs from one list to the next: addresses and long numbers."""
    return _OWN.sub(ANYTHING, message)


MOST_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to wait: full jitter under a doubling ceiling, in seconds."""

    attempts: int = 5
    base_seconds: float = 0.5
    ceiling_seconds: float = 60.0

    def delay(self, attempt: int, random: float) -> float:
        """Seconds before try number `attempt` + 1 (attempt counts from 1, random in 0 … 1)."""
        # Bounded before it is a power: an endless row of tries stays a number.
        doubled = self.base_seconds * 2.0 ** min(attempt - 1, MOST_DOUBLINGS)
        return min(self.ceiling_seconds, doubled) * random

    def may_retry(self, attempt: int) -> bool:
        """Say whether a further try is allowed after `attempt` tries."""
        return attempt < self.attempts
