"""From a task as it came over the wire to a run: its GitLab, its sink, its line.

Everything of a job is made here for that job alone: no token, cursor or tally is shared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.crawler.cursor import decode_cursor
from labtrawl.crawler.discovery import Discovery, Scope
from labtrawl.crawler.engine import Running
from labtrawl.crawler.line import Figures, Line, SendEvent, SendState
from labtrawl.crawler.lists import Reader
from labtrawl.crawler.purse import Ask, Purse, Spender
from labtrawl.crawler.run import JobRun
from labtrawl.crawler.token import ask_newer
from labtrawl.dataset.disk import Disk
from labtrawl.dataset.layout import SegmentPrefix, parse_segment_prefix
from labtrawl.dataset.sink import SegmentLimits, Sink
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import BadMessage, LabtrawlError, LeaseLost
from labtrawl.gitlab import catalog
from labtrawl.gitlab.client import GitLab, Tally
from labtrawl.gitlab.limits import REST, Meter
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

    def requests(self) -> int:
        """Return how many requests went out so far."""
        return self._finished + sum(tally.requests for tally in self._tallies.values())

    async def run(self, running: Running) -> None:
        """Run one task to its end; an unforeseen fault ends this job, never its neighbours."""
        task = running.task
        line = self._line(task)
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
            self._finished += self._tallies.pop(task.task_id).requests

    def _line(self, task: Task) -> Line:
        return Line(
            task.task_id,
            task.lease.epoch,
            self.send_event,
            self.send_state,
            self.tools.clock.now_ms,
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
            discovery = Discovery(gitlab, line, self.tools.scope, stopping, cursor, task.full_path)
            await discovery.run()
        else:
            await self._job_run(task, gitlab, line, stopping).run()

    def _meter(self, account_id: str, line: Line, stopping: Callable[[], bool]) -> Meter:
        def waits() -> None:
            line.tell_wait("waits for budget")

        spender = Spender(account_id, REST, stopping, waits)
        return Meter(
            take=lambda: self.purse.take(spender),
            told=lambda limits: self.purse.told(spender, limits),
            refused=lambda seconds: self.purse.refused(spender, seconds),
        )

    def _job_run(
        self, task: Task, gitlab: GitLab, line: Line, stopping: Callable[[], bool]
    ) -> JobRun:
        prefix = prefix_of(task)
        resource = catalog.find(prefix.area_kind, task.command)
        if resource is None:
            raise BadMessage(f"this crawler knows no resource {task.command!r}; update it")
        version = catalog.version_of(task.gitlab_version)
        return JobRun(
            reader=Reader(gitlab, resource, prefix.gitlab_id, task.gitlab_version, version),
            sink=Sink(
                self.tools.disk,
                self.tools.dataset_root,
                prefix,
                task.segments.next,
                self.tools.segment,
                self.tools.clock.monotonic,
            ),
            line=line,
            policy_name=task.policy,
            clock=self.tools.clock,
            checkpoint_seconds=self.tools.segment.max_seconds,
            stopping=stopping,
            cursor=decode_cursor(task.custom_parameters.resume_state),
        )


def prefix_of(task: Task) -> SegmentPrefix:
    """Read the place of a task's segments; BadMessage where it is none of ours."""
    prefix = parse_segment_prefix(task.segments.prefix)
    if prefix is None or (str(prefix.job_id), prefix.fence) != (task.task_id, task.lease.epoch):
        raise BadMessage(f"task {task.task_id} names no place of its own for its segments")
    return prefix
