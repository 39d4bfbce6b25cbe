"""Jobs: their states, the moves between them, and why one waits or ended."""

from enum import StrEnum


class JobState(StrEnum):
    """The six states; reasons are fields, never states."""

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATES = (JobState.QUEUED, JobState.RUNNING, JobState.HELD)

LEGAL_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.HELD, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.HELD, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.HELD: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    # A list is one job for ever: it is opened again when it is due.
    JobState.COMPLETED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}


class HoldReason(StrEnum):
    """Why a held job waits."""

    PAUSED = "paused"
    CREDENTIAL = "credential"
    DISK = "disk"
    UNSEEN = "unseen"


def may_move(before: JobState, after: JobState) -> bool:
    """Say whether a job may go from one state to the other."""
    return after in LEGAL_MOVES[before]
