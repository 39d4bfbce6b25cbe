"""What every room of the generator is handed: the plan, the rhythm, and a source of ids and chance.

Entered by the generator. Chance is split by subject, so that one more issue does not move a commit.
"""

import random
from dataclasses import dataclass, field

from labtrawl.sandbox.plan import WorldPlan
from labtrawl.sandbox.rhythm import Rhythm

_FIRST_IDS = {
    "label": 301,
    "milestone": 401,
    "issue": 7_001,
    "merge_request": 3_001,
    "note": 120_001,
    "pipeline": 90_001,
    "job": 400_001,
    "event": 800_001,
    "award": 5_001,
    "label_event": 30_001,
    "state_event": 60_001,
    "milestone_event": 80_001,
    "timelog": 2_001,
    "issue_link": 501,
    "version": 3_401,
    "environment": 201,
    "deployment": 9_001,
}


@dataclass(slots=True)
class Ids:
    """Instance-wide numbers, one row of numbers a kind, with the gaps a shared instance has."""

    last: dict[str, int] = field(default_factory=lambda: dict(_FIRST_IDS))

    def take(self, kind: str) -> int:
        """The next number of `kind`."""
        number = self.last[kind] + 1 + (self.last[kind] % 7 == 0)
        self.last[kind] = number
        return number


@dataclass(frozen=True, slots=True)
class Stage:
    """The frame of a world in the making."""

    plan: WorldPlan
    rhythm: Rhythm
    ids: Ids
    release_days_ms: tuple[int, ...]

    def chance(self, subject: str) -> random.Random:
        """A source of chance for one subject, the same for the same seed."""
        return random.Random(f"{self.plan.seed}/{subject}")
