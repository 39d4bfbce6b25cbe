"""A supervisor for a site under test, and the logs that it keeps, written as it writes them."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from labtrawl.errors import Conflict, LabtrawlError
from labtrawl.supervisor.output import Output
from labtrawl.website.given.keeping import BudgetTold
from labtrawl.website.given.programs import Program, Whole

SINCE = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WEBSITE = Program(
    name="website",
    state="ready",
    since=SINCE,
    pid=4700,
    memory_bytes=83 << 20,
    starts=1,
    details={"address": "http://127.0.0.1:4600"},
)
CRAWLER = Program(
    name="crawler-1",
    state="backoff",
    since=SINCE,
    starts=3,
    crashes=2,
    exit_code=-9,
    reason="killed by signal 9",
)


@dataclass
class Kept:
    """Stands for the supervisor: notes what it is asked, and answers as it was told to."""

    programs: tuple[Program, ...] = (WEBSITE, CRAWLER)
    failure: LabtrawlError | None = None
    is_there: bool = True
    restarted: list[str] = field(default_factory=list)

    async def status(self) -> Whole | None:
        if self.failure is not None:
            raise self.failure
        if not self.is_there:
            return None
        return Whole(pid=4699, started_at=SINCE, memory_bytes=31 << 20, programs=self.programs)

    async def restart(self, name: str) -> str:
        if self.failure is not None:
            raise self.failure
        if name not in {each.name for each in self.programs}:
            raise Conflict(f"there is no program {name}; there are: website, crawler-1")
        self.restarted.append(name)
        return f"{name} is ready"


@dataclass
class Journal:
    """Writes logs below a data folder as the supervisor does: masked, as JSON lines."""

    data_dir: Path
    at: datetime = SINCE

    def __post_init__(self) -> None:
        self._output = Output(self.data_dir / "logs", None, "json", now=lambda: self.at)

    def take(self, program: str, line: str) -> None:
        self._output.take(program, line)

    def event(
        self,
        program: str,
        event: str,
        *,
        level: str = "info",
        minute: int = 0,
        logger: str = "",
        **more: object,
    ) -> None:
        told = {
            "timestamp": f"2026-11-22T09:{minute:02}:00.000000Z",
            "level": level,
            "logger": logger or program.partition("-")[0],
            "event": event,
            **more,
        }
        self.take(program, json.dumps(told))


@dataclass
class Keeping:
    """Stands for who keeps the accounts: answers as it was told to."""

    told: dict[int, tuple[BudgetTold, ...]] = field(default_factory=dict)
    answer: str = "example (GitLab 19.3.0) accepts @ada.marin, with the scopes read_api"
    failure: LabtrawlError | None = None
    asked: list[int] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)
    left: str = ""

    def budgets(self, account_id: int) -> tuple[BudgetTold, ...]:
        return self.told.get(account_id, ())

    def is_in_settings(self, instance: str, user_id: int) -> bool:
        return (instance, user_id) == ("example", 7)

    async def verify(self, account_id: int) -> str:
        self.asked.append(account_id)
        if self.failure is not None:
            raise self.failure
        return self.answer

    async def erase(self, account_id: int) -> str:
        self.erased.append(account_id)
        return self.left
