"""What the API takes and gives beyond the messages of the protocol; camelCase on the wire."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from labtrawl.domain.waits import Wait
from labtrawl.store.tasks import TaskRow
from labtrawl.website.care import verdicts
from labtrawl.website.figures.charts import OverTime


class Shape(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What all of them share; every field of an answer is always there."""


class Fault(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong: a word for programs, a sentence for people."""

    code: str
    message: str
    id: str = ""


class Failed(Shape, frozen=True, kw_only=True):
    """The answer to every request that could not be done."""

    error: Fault


class WaitTold(Shape, frozen=True, kw_only=True):
    """Why a job waits: a word, a sentence, and until when (ISO 8601, UTC; null: nobody can tell).

    For a place in the queue `until` is the latest instant at which it is expected to begin.
    """

    reason: str
    until: str | None
    sentence: str


class TaskTold(Shape, frozen=True, kw_only=True):
    """A job as everybody who may ask sees it; instants are ISO 8601, UTC."""

    task_id: str
    command: str
    resource_type: str
    resource_id: str
    full_path: str
    area_id: int
    state: str
    hold_reason: str | None
    wanted: str
    priority: int
    attempt: int
    crawler: str | None
    created_at: str
    run_after: str | None
    waits: WaitTold | None


class TaskList(Shape, frozen=True, kw_only=True):
    """One page of jobs; `next` is the `after` of the next page, None at the end."""

    tasks: list[TaskTold]
    next: int | None


class ProgressTold(Shape, frozen=True, kw_only=True):
    """How far a job is; instants are ISO 8601, UTC."""

    task_id: str
    state: str
    stage: str
    processed_items: int
    total_items: int | None
    requests: int
    retries: int
    error_reason: str | None
    error: str | None
    started_at: str | None
    finished_at: str | None
    updated_at: str


class TaskWanted(Shape, frozen=True, kw_only=True):
    """A job that an admin asks for: one kind of data of one area."""

    area_id: int
    command: str
    priority: int = 0


class TaskChange(Shape, frozen=True, kw_only=True):
    """From a crawler the epoch of the lease to renew; from an admin a priority or a wish."""

    epoch: int | None = None
    priority: int | None = None
    wanted: Literal["run", "pause", "cancel"] | None = None


class TaskReturn(Shape, frozen=True, kw_only=True):
    """A crawler gives a job back: the epoch of its lease."""

    epoch: int = 0


class Alive(Shape, frozen=True, kw_only=True):
    """A sign of life was heard."""

    server_time: int


class CrawlerCommand(Shape, frozen=True, kw_only=True):
    """What an admin wants: of one crawler, of one job, or of all."""

    action: Literal["heartbeat", "ping", "status", "pause", "resume", "drain", "cancel"]
    crawler: str | None = None
    task_id: str | int | None = None


class Commanded(Shape, frozen=True, kw_only=True):
    """Whom a command reached; it is written down also for those that are away."""

    action: str
    crawlers: list[str]
    jobs: int


class RefillWanted(Shape, frozen=True, kw_only=True):
    """Which gaps to read again: below an area's path, of a resource; all where neither is named."""

    area: str = ""
    resource: str = ""


class Refilled(Shape, frozen=True, kw_only=True):
    """How many lists with a gap are read again now."""

    opened: int


class Check(Shape, frozen=True, kw_only=True):
    """One thing that has to be right; `advice` says what to do where it is not."""

    name: str
    ok: bool
    advice: str
    state: str
    """ok, warn or bad."""
    title: str
    says: str
    means: str


def check_told(check: verdicts.Check) -> Check:
    """Return a check as the API tells it."""
    return Check(
        name=check.name,
        ok=check.ok,
        advice=check.advice,
        state=check.state.value,
        title=check.title,
        says=check.says,
        means=check.means,
    )


class Health(Shape, frozen=True, kw_only=True):
    """Whether everything is right."""

    healthy: bool
    checks: list[Check]


class DoorHealth(Shape, frozen=True, kw_only=True):
    """Whether a crawler can work with this website, and how it is spoken to."""

    healthy: bool
    database: bool
    protocol: int
    server_time: int
    heartbeat_interval_ms: int


class CrawlerStatus(Shape, frozen=True, kw_only=True):
    """The crawlers, and the way to them."""

    connection: dict[str, Any]
    clients: list[dict[str, Any]]
    health: Health
    architecture: dict[str, Any]


class StatisticsTold(Shape, frozen=True, kw_only=True):
    """The figures of the communication since the start of the website, and the jobs by state."""

    messages: dict[str, Any]
    dedup: dict[str, Any]
    cooldown: dict[str, Any]
    breaker: dict[str, Any]
    queues: dict[str, Any]
    reconnects: dict[str, Any]
    auth: dict[str, Any]
    jobs: dict[str, int]
    over_time: OverTime
    records: dict[str, int] = {}


def instant(milliseconds: int | None) -> str | None:
    """Write an instant as ISO 8601, UTC."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def task_told(row: TaskRow, wait_of: Callable[[TaskRow], Wait | None]) -> TaskTold:
    """Return a job as the API tells it, with why it waits."""
    wait = wait_of(row)
    return TaskTold(
        task_id=str(row.id),
        command=row.resource,
        resource_type=row.area_kind,
        resource_id=str(row.gitlab_id),
        full_path=row.full_path,
        area_id=row.area_id,
        state=row.state,
        hold_reason=row.hold_reason,
        wanted=row.wanted,
        priority=row.priority,
        attempt=row.attempt,
        crawler=row.lease_holder,
        created_at=instant(row.created_at) or "",
        run_after=instant(row.run_after),
        waits=_wait_told(wait) if wait else None,
    )


def _wait_told(wait: Wait) -> WaitTold:
    return WaitTold(reason=wait.reason, until=instant(wait.until), sentence=wait.sentence)


def progress_told(row: TaskRow) -> ProgressTold:
    """Return how far a job is, as the API tells it."""
    return ProgressTold(
        task_id=str(row.id),
        state=row.state,
        stage=row.stage,
        processed_items=row.processed_items,
        total_items=row.total_items,
        requests=row.requests,
        retries=row.retries,
        error_reason=row.error_reason,
        error=row.error_message,
        started_at=instant(row.started_at),
        finished_at=instant(row.finished_at),
        updated_at=instant(row.updated_at) or "",
    )
