"""From a task as it came over the wire to a run: its GitLab, its sink, its line.

Everything of a job is made here for that job alone: no token, cursor or tally is shared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.crawler.cursor import decode_cursor
from labtrawl.crawler.discovery import Discovery, Scope
from labtrawl.crawler.engine import Running
from labtrawl.crawler.known import Known, load
from labtrawl.crawler.line import Figures, Line, SendEvent, SendState
from labtrawl.crawler.nested import may_pass_over
from labtrawl.crawler.purse import Ask, Purse, Spender
from labtrawl.crawler.reader import Reader, rows_a_page
from labtrawl.crawler.run import JobRun
from labtrawl.crawler.token import ask_newer
from labtrawl.crawler.visit import CHANGES, Visit
from labtrawl.crawler.watch import Watch
from labtrawl.dataset.disk import Disk
from labtrawl.dataset.layout import SegmentPrefix, parse_segment_prefix
from labtrawl.dataset.policy import Policy
from labtrawl.dataset.policy_study import Study
from labtrawl.dataset.sink import Compressor, Folders, SegmentLimits, Sink
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import BadMessage, ConfigError, LabtrawlError, LeaseLost
from labtrawl.gitlab import catalog
from labtrawl.gitlab.client import GitLab, Tally
from labtrawl.gitlab.graphql_pace import Learnt
from labtrawl.gitlab.limits import Meter
from labtrawl.http import Http
from labtrawl.protocol.messages import Task

log = logs.get("crawler")

BARE_TASK = (
    "the job came without a token, and this crawler's environment has none for its GitLab; "
    "restart the crawlers, or set credentials to task"
)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a crawler works with; handed in by the cli."""

    http_of: Callable[[str], Http]
    disk: Disk
    dataset_root: Path
    segment: SegmentLimits
    scope: Scope
    retry: RetryPolicy
    clock: Clock
    jitter: Callable[[], float]
    stopping: Callable[[], bool]
    # Requests of one list that may be under way at once.
    width: int = 16
    # What did not change since is left out, where GitLab can tell.
    since: datetime | None = None
    # Whether what GraphQL gives in blocks is read by it.
    graphql: bool = True


@dataclass(slots=True)
class Worker:
    """Runs tasks; counts the requests of all of them."""

    tools: Tools
    send_event: SendEvent
    send_state: SendState
    purse: Purse
    ask: Ask
    _tallies: dict[str, Tally] = field(default_factory=dict)
    _finished: int = 0
    _retried: int = 0
    # What each GitLab was found to be able to, by its URL and for whom.
    _learnt: dict[tuple[str, str], Learnt] = field(default_factory=dict)
    _folders: Folders = field(default_factory=Folders)
    _compressor: Compressor = field(default_factory=Compressor)

    def requests(self) -> int:
        """Return how many requests went out so far."""
        return self._finished + sum(tally.requests for tally in self._tallies.values())

    def retries(self) -> int:
        """Return how many of them were sent again, because GitLab failed or asked to wait."""
        return self._retried + sum(tally.retries for tally in self._tallies.values())

    async def run(self, running: Running) -> None:
        """Run one task to its end; an unforeseen fault ends this job, never its neighbours."""
        task = running.task
        line = self._line(running)
        tally = self._tallies[task.task_id] = Tally()
        try:
            await self._run(running, line, tally)
        except LeaseLost:
            raise
        except Exception as error:  # isolate the job: the report says what to look at
            log.exception("job_broke", job=task.task_id, resource=task.resource_type)
            reason = error.reason if isinstance(error, LabtrawlError) else "failed"
            said = f"{type(error).__name__}: {error}"
            figures = Figures(requests=tally.requests, retries=tally.retries)
            await line.fail(line.failure(said, reason, False, None, figures))
        finally:
            ended = self._tallies.pop(task.task_id)
            self._finished += ended.requests
            self._retried += ended.retries

    def _line(self, running: Running) -> Line:
        task = running.task
        return Line(
            task.task_id,
            task.lease.epoch,
            self.send_event,
            self.send_state,
            self.tools.clock.now_ms,
            running.settle,
            told=Figures(task.processed_items),
        )

    async def _run(self, running: Running, line: Line, tally: Tally) -> None:
        task = running.task
        if not running.token.reveal():
            # Without a token GitLab would answer, with what everybody sees.
            await line.fail(line.failure(BARE_TASK, "failed", True, None, Figures()))
            return

        def stopping() -> bool:
            return running.paused or self.tools.stopping()

        gitlab = GitLab(
            self.tools.http_of(task.gitlab_api_url),
            lambda: running.token,
            self.tools.clock,
            self.tools.retry,
            self.tools.jitter,
            tally,
            self._meter(task.account_id, line, stopping),
            lambda refused: ask_newer(self.ask, running, refused),
        )
        cursor = decode_cursor(task.custom_parameters.resume_state)
        if task.command == catalog.DISCOVERY:
            scope, known = self.tools.scope, task.known_areas
            discovery = Discovery(gitlab, line, scope, stopping, cursor, task.full_path, known)
            await discovery.run()
        else:
            await self._read(task, gitlab, line, stopping)

    def _meter(self, account_id: str, line: Line, stopping: Callable[[], bool]) -> Meter:
        spender = Spender(account_id, stopping, line.tell_wait)
        return Meter(
            take=lambda class_: self.purse.take(spender, class_),
            told=lambda class_, limits: self.purse.told(spender, class_, limits),
            refused=lambda class_, seconds: self.purse.refused(spender, class_, seconds),
            blocked=lambda: self.purse.blocked(spender),
        )

    async def _read(
        self, task: Task, gitlab: GitLab, line: Line, stopping: Callable[[], bool]
    ) -> None:
        prefix = prefix_of(task)
        resource = catalog.find(prefix.area_kind, task.command)
        if resource is None:
            raise BadMessage(f"this crawler knows no resource {task.command!r}; update it")
        reader = Reader(
            gitlab,
            resource,
            prefix.gitlab_id,
            task.gitlab_version,
            catalog.version_of(task.gitlab_version),
            since_of(task) or self.tools.since,
            self.tools.width,
            self._learnt_of(task),
            rows_a_page(task.attempt),
            task.policy,
        )
        visit = Visit(task.mode, task.missing, may_pass_over(resource), task.account_id)
        if resource.watches:
            await Watch(reader, line, stopping, visit).run()
        else:
            await self._job_run(task, prefix, reader, line, stopping, visit).run()

    def _learnt_of(self, task: Task) -> Learnt | None:
        if not self.tools.graphql:
            return None
        return self._learnt.setdefault((task.gitlab_api_url, task.account_id), Learnt())

    def _job_run(
        self,
        task: Task,
        prefix: SegmentPrefix,
        reader: Reader,
        line: Line,
        stopping: Callable[[], bool],
        visit: Visit,
    ) -> JobRun:
        tools = self.tools
        gate = policy_of(task)
        if isinstance(gate, Study):
            line.withheld = gate.counted
        known = Known(lambda: load(self.ask, task.task_id, task.lease.epoch, tools.dataset_root))
        return JobRun(
            reader=replace(reader, known=known.ids, full_path=task.full_path),
            sink=self._sink(task, prefix),
            line=line,
            policy=gate,
            clock=tools.clock,
            checkpoint_seconds=tools.segment.max_seconds,
            stopping=stopping,
            visit=visit,
            known=known,
            cursor=decode_cursor(task.custom_parameters.resume_state),
        )

    def _sink(self, task: Task, prefix: SegmentPrefix) -> Sink:
        tools = self.tools
        return Sink(
            tools.disk,
            tools.dataset_root,
            prefix,
            task.segments.next,
            tools.segment,
            tools.clock.monotonic,
            self._folders,
            self._compressor,
        )


def policy_of(task: Task) -> Policy:
    """Return what each record of a task passes; ConfigError where a study's key is missing."""
    if task.policy != Study.name:
        return task.policy
    try:
        return Study(bytes.fromhex(task.credentials.policy_key), task.provider_id)
    except ValueError:
        raise ConfigError(f"task {task.task_id} of a study came without its key") from None


def since_of(task: Task) -> datetime | None:
    """Return the instant from which on changes are asked for; BadMessage for what is none."""
    if task.mode != CHANGES or task.since is None:
        return None
    try:
        return datetime.fromisoformat(task.since).astimezone(UTC)
    except ValueError as error:
        raise BadMessage(f"task {task.task_id} has no instant to begin at: {error}") from error


def prefix_of(task: Task) -> SegmentPrefix:
    """Read the place of a task's segments; BadMessage where it is none of ours."""
    prefix = parse_segment_prefix(task.segments.prefix)
    if prefix is None or (str(prefix.job_id), prefix.fence) != (task.task_id, task.lease.epoch):
        raise BadMessage(f"task {task.task_id} names no place of its own for its segments")
    return prefix
