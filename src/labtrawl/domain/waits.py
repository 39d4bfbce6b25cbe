"""Why a job waits, and until when: one sentence for people, one word for programs. Pure.

Instants are milliseconds since the epoch and come in as arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from labtrawl.domain.eta import Range, Told
from labtrawl.domain.job import HoldReason, JobState
from labtrawl.domain.quiet import REASON as QUIET

NO_FORECAST = Told()
# Nobody reads more of an error in a list.
LONGEST_REASON = 160


class Job(Protocol):
    """What is read of a job's row."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def state(self) -> str:
        """One of the states of a job."""

    @property
    def hold_reason(self) -> str | None:
        """Why it is held."""

    @property
    def run_after(self) -> int | None:
        """When it is due."""

    @property
    def error_message(self) -> str | None:
        """What its last try ended with, or why it was put off."""

    @property
    def stage(self) -> str:
        """What its crawler told of it last."""

    @property
    def priority(self) -> int:
        """Higher ones begin first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The place of a job in the queue, and when its turn comes."""

    ahead: int
    begins: Told = NO_FORECAST


@dataclass(frozen=True, slots=True)
class Around:
    """What a job waits in: the crawlers, the budget, the queue."""

    now: int = 0
    crawlers: int = 1
    are_stopped: bool = False
    budget_at: int = 0
    turn_of: Callable[[int, int], Turn] | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a job waits (`reason` for programs, `sentence` for people), and until when.

    `until` is an instant (ms): the end where that is fixed, else the latest that is expected, None
    where it depends on somebody.
    """

    reason: str
    until: int | None
    sentence: str


HOLDS = {
    HoldReason.PAUSED: "Paused: it goes on when somebody resumes it",
    HoldReason.CREDENTIAL: "Token refused: it goes on when one is entered that GitLab accepts",
    HoldReason.DISK: "Disk is full: it goes on by itself when there is room",
    HoldReason.UNSEEN: "Unseen: it goes on when an account sees its area again",
}


def why(job: Job, around: Around) -> Wait | None:
    """Say why a job waits; None for one that does not."""
    if job.state == JobState.HELD:
        reason = job.hold_reason or ""
        sentence = HOLDS.get(HoldReason(reason)) if reason in set(HoldReason) else None
        return Wait(reason, None, sentence or f"Held: {reason.replace('_', ' ')}")
    if job.state == JobState.QUEUED:
        return _put_off(job, job.run_after) if job.run_after is not None else _due(job, around)
    if job.state == JobState.RUNNING and job.stage.startswith(("waits for", QUIET)):
        until = around.budget_at if around.budget_at > around.now else None
        return Wait("budget", until, f"{job.stage[:1].upper()}{job.stage[1:LONGEST_REASON]}")
    return None


def _put_off(job: Job, until: int) -> Wait:
    told = job.error_message or ""
    at = clock_time(until)
    if told.startswith(QUIET):
        return Wait("quiet_hours", until, f"Waits for the end of {told}")
    if not told:
        return Wait("later", until, f"Due at {at}")
    short = told if len(told) <= LONGEST_REASON else f"{told[:LONGEST_REASON]}…"
    return Wait("retry", until, f"Next try at {at}, after: {short}")


def _due(job: Job, around: Around) -> Wait:
    if around.are_stopped:
        return Wait("crawlers_paused", None, "Every crawler is paused or drained")
    if not around.crawlers:
        return Wait("no_crawler", None, "Waits for a crawler: none is connected")
    if around.budget_at > around.now:
        at = clock_time(around.budget_at)
        return Wait("budget", around.budget_at, f"Waits for the request budget, until {at}")
    turn = around.turn_of(job.priority, job.id) if around.turn_of else None
    if turn is None or not turn.ahead:
        return Wait("queue", None, "Waits for a free crawler")
    jobs = f"{turn.ahead:,} job{'' if turn.ahead == 1 else 's'}"
    begins = turn.begins.range
    if begins is None:
        return Wait("queue", None, f"Waits behind {jobs}")
    return Wait("queue", around.now + begins.upper, f"Waits behind {jobs}, begins {span(begins)}")


def clock_time(instant: int) -> str:
    """Write an instant for a sentence."""
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


UNITS = ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def span(found: Range) -> str:
    """Write a range for people, like `in 3 to 5 min`; rounded inwards, one unit for both ends."""
    return f"in {_lengths(found)}"


def left(told: Told) -> str:
    """Write what is left for people, like `about 3 to 5 min left`."""
    if told.range is None:
        return f"no estimate yet: {told.why_none}" if told.why_none else "no estimate yet"
    return f"about {_lengths(told.range)} left" if told.range.upper else "nothing left"


def _lengths(found: Range) -> str:
    # So long that the lower end is not a rounded nothing: two of the unit at least.
    size, name = next((one for one in UNITS if found.lower >= 2 * one[0]), UNITS[-1])
    lower = -(-found.lower // size)
    upper = max(lower, found.upper // size)
    return f"{lower:,} to {upper:,} {name}" if lower < upper else f"{lower:,} {name}"
