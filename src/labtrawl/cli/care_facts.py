"""From the settings to what the checks and the pages of care are told. For website and doctor."""

from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

from labtrawl.cli.origins import http_to, user_agent
from labtrawl.cli.study import study_key_path
from labtrawl.clock import Clock
from labtrawl.config import Instance, Settings
from labtrawl.domain.quiet import Window, next_quiet, parse_window
from labtrawl.errors import LabtrawlError
from labtrawl.http import Limits, open_http
from labtrawl.store.secrets import key_path
from labtrawl.supervisor.control import StatusWanted, ask
from labtrawl.supervisor.instance import holder_of
from labtrawl.website.given.care import AboutCrawl, BackupPlan
from labtrawl.website.given.facts import GitLabFacts, ProgramFacts

ANSWER_SECONDS = 3.0
_LIMITS = Limits(connections=1, connect_seconds=5, total_seconds=10, body_bytes=1 << 16)
# Every GitLab answers it without a token, from a file of its own (public/robots.txt).
_LOOK = "/robots.txt"


def plan_of(settings: Settings) -> BackupPlan:
    """Return how backups are made, and how old the newest may be."""
    chosen = settings.backup
    most = settings.notices.backup_hours or 2 * chosen.every_hours
    return BackupPlan(chosen.path, chosen.every_hours, chosen.keep, most)


def about_of(settings: Settings) -> AboutCrawl:
    """Return what the administrators of a GitLab may know."""
    common = settings.budget.quiet_hours
    own = [text for each in settings.instances for text in each.quiet_hours]
    return AboutCrawl(
        contact=settings.contact,
        basis=settings.basis,
        user_agent=user_agent(settings),
        requests_per_minute=settings.budget.requests_per_minute,
        reserved_share=settings.budget.reserved_share,
        crawlers=settings.crawler.count,
        requests_at_once=settings.crawler.requests,
        quiet_hours=tuple(dict.fromkeys((*common, *own))),
    )


def secret_files_of(settings: Settings) -> tuple[Path, ...]:
    """Return the files that nobody else may read."""
    keys = (key_path(settings.data_dir), study_key_path(settings.data_dir))
    return tuple(each for each in (settings.file, *keys) if each is not None)


async def programs_of(data_dir: Path) -> Sequence[ProgramFacts] | None:
    """Ask the supervisor how its programs are; None where none runs on the data folder."""
    holder = holder_of(data_dir)
    if holder is None:
        return None
    try:
        status = (await ask(Path(holder.control), StatusWanted(), ANSWER_SECONDS)).status
    except LabtrawlError as error:
        return [ProgramFacts("supervisor", "failed", 0, str(error))]
    assert status is not None, "a status is answered with the status"
    return [
        ProgramFacts(each.name, each.state.value, each.crashes, each.reason)
        for each in status.programs
    ]


async def look_at(settings: Settings, instance: Instance, clock: Clock) -> GitLabFacts:
    """Ask a GitLab one small thing, without a token: whether it answers, and what time it has.

    In its quiet hours it is not asked.
    """
    quiet = next_quiet(_windows(settings, instance), clock.now())
    if quiet is not None and quiet.begins_at <= clock.now():
        return GitLabFacts(instance.name, None, is_quiet=True)
    try:
        async with open_http(http_to(instance), _LIMITS, user_agent(settings)) as http:
            answer = await http.get(_LOOK, {})
    except LabtrawlError as error:
        return GitLabFacts(instance.name, clock.now_ms(), str(error))
    problem = f"it answers with {answer.status}" if answer.status >= 500 else ""
    return GitLabFacts(
        instance.name, clock.now_ms(), problem, _offset(answer.headers.get("date", ""), clock)
    )


def _windows(settings: Settings, instance: Instance) -> list[Window]:
    texts = (*settings.budget.quiet_hours, *instance.quiet_hours)
    return [parse_window(text) for text in texts]


def _offset(date: str, clock: Clock) -> int | None:
    """Return by how many ms the sender's clock is ahead; whole seconds, None without a date."""
    try:
        told = parsedate_to_datetime(date)
    except ValueError:
        return None
    return int((told.astimezone(UTC) - clock.now()).total_seconds() * 1000)
