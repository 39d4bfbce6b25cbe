"""Hands out jobs and keeps leases: `request_jobs` and `renew_leases`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from labtrawl import logs
from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.dispatch import quiet, reports
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.legacy import task_in_full
from labtrawl.errors import BadMessage, ConfigError, GitLabError
from labtrawl.gitlab.catalog import DISCOVERY
from labtrawl.gitlab.limits import REST
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.store import areas, commands, jobs, leases
from labtrawl.store.commands import Wanted
from labtrawl.store.engine import Connection

log = logs.get("backend.direct-communication-manager")

# How long an empty answer is kept back: a job that appears meanwhile starts at once.
HOLD_SECONDS = 2.0
MOST_JOBS = 100
AS_IS = "as_is"
NO_POLICY = (
    "this is a study, and a crawler of dialect 1 knows no policy: it would write names and texts as"
    " they are; use labtrawl's own crawlers"
)
# How long a renewal waits for a newer token; a crawler waits 5 s for its answer.
TOKEN_SECONDS = 0.5
# Digits of the largest number of a job that fits the database (2^63).
LONGEST_NUMBER = 18
# Characters of a name that a peer gives a message; it is kept in the database.
LONGEST_ID = 128


def task_number(task_id: str) -> int:
    """Return the job's number; BadMessage for what is none."""
    if not (task_id.isascii() and task_id.isdecimal() and len(task_id) <= LONGEST_NUMBER):
        raise BadMessage(f"{task_id[:64]!r} is not the id of a job")
    return int(task_id)


async def request_jobs(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Lease due jobs to the caller; waits a little where there are none."""
    asked = msgspec.json.decode(envelope.payload, type=wire.RequestJobs)
    if caller.dialect == 1 and desk.policy != AS_IS:
        raise BadMessage(NO_POLICY)
    # A peer of dialect 1 gets what it has in hand, by whatever name it asks.
    claim_id = asked.request_id or envelope.id or ("unnamed" if caller.dialect == 1 else "")
    if not claim_id or len(claim_id) > LONGEST_ID:
        raise BadMessage(
            f"a request for jobs needs an id of 1 to {LONGEST_ID} characters, or its answer could"
            " not be repeated"
        )
    seconds = desk.lease_seconds if caller.dialect > 1 else desk.legacy_lease_seconds
    limit = min(asked.limit, MOST_JOBS)
    claim = _Claim(caller.name, claim_id, limit, asked.resource, seconds, caller.dialect == 1)
    claimed = await _claim(desk, claim) if limit > 0 else []
    _believe(desk, caller, claimed)
    tokens = await _tokens(desk, caller, {job.account_id for job in claimed})
    made = [await _task(desk, caller, job, tokens[job.account_id]) for job in claimed]
    tasks = [task for task in made if task is not None]
    body = [task_in_full(task) for task in tasks] if caller.dialect == 1 else tasks
    return Reply("jobResponse", "jobs_available", body)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who claims what; a peer of dialect 1 gets the jobs it has until they end."""

    holder: str
    id: str
    limit: int
    resource: str | None
    lease_seconds: float
    is_legacy: bool

    def may_find(self, connection: Connection) -> bool:
        """Say whether `make` would find something; changes nothing."""
        if self.is_legacy and leases.in_hand(connection, self.holder):
            return True
        return _may_work(connection, self.holder) and leases.has_due(
            connection, self.holder, self.id, self.resource
        )

    def make(self, connection: Connection) -> list[leases.ClaimedJob]:
        """Claim, unless the crawler is to take nothing more."""
        if self.is_legacy and (had := leases.in_hand(connection, self.holder)):
            return had
        if not _may_work(connection, self.holder):
            return []
        return leases.claim(
            connection, self.holder, self.id, self.limit, self.lease_seconds, self.resource
        )


def _may_work(connection: Connection, name: str) -> bool:
    return commands.wanted_of(connection, name) is Wanted.RUN


async def _claim(desk: Desk, wanted: _Claim) -> list[leases.ClaimedJob]:
    """Claim, or wait a little until there is something to claim."""
    end = desk.clock.monotonic() + HOLD_SECONDS
    while True:
        ticket = desk.store.changes.ticket()
        await quiet.put_off(desk.store, desk.quiet, desk.clock.now_ms())
        if wanted.holder in desk.busy or await desk.store.read(wanted.may_find):
            claimed = await desk.store.write(wanted.make)
            if claimed:
                desk.busy.add(wanted.holder)
                return claimed
            desk.busy.discard(wanted.holder)
        if not await _woken(ticket, end - desk.clock.monotonic()):
            return []


def _believe(desk: Desk, caller: Caller, claimed: Sequence[leases.ClaimedJob]) -> None:
    """The database gave these leases just now: what is told first under them needs no look."""
    now = desk.clock.monotonic()
    for job in claimed:
        desk.shown.confirm(job.job_id, jobs.Origin(caller.name, "", job.fence), now)


async def _woken(ticket: asyncio.Event, seconds: float) -> bool:
    """Say whether something was committed within `seconds`."""
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await ticket.wait()
    except TimeoutError:
        return False
    return True


_Token = str | ConfigError | GitLabError
"""What an account has: a token, "" where its crawler knows it, or the reason why there is none."""


async def _token(desk: Desk, caller: Caller, account_id: int) -> _Token:
    if desk.is_handed_over(caller.name, account_id):
        return ""
    try:
        return (await desk.credentials.access_token(account_id)).reveal()
    except (ConfigError, GitLabError) as error:
        log.error("token_unusable", account=account_id, error=str(error))
        return error


async def _tokens(desk: Desk, caller: Caller, accounts: set[int]) -> dict[int, _Token]:
    """Ask once for each account, for all of them at a time: one may have to wait for its GitLab."""
    found = await asyncio.gather(*(_token(desk, caller, each) for each in accounts))
    return dict(zip(accounts, found, strict=True))


async def _task(
    desk: Desk, caller: Caller, job: leases.ClaimedJob, token: _Token
) -> wire.Task | None:
    """Build what a crawler gets; a job without a usable token waits for one, its neighbours go on."""
    if not isinstance(token, str):
        said = str(token)
        await desk.store.write(lambda c: _put_off(c, caller.name, job, said))
        return None
    known = await _known_areas(desk, job)
    key = desk.policy_key.reveal() if desk.policy_key else ""
    credentials = wire.Credentials(access_token=token, policy_key=key)
    task = _task_of(job, credentials, _charged(desk, caller, job), known)
    return msgspec.structs.replace(task, policy=desk.policy)


def _task_of(
    job: leases.ClaimedJob,
    credentials: wire.Credentials,
    rate: int,
    known: list[wire.KnownArea],
) -> wire.Task:
    return wire.Task(
        task_id=str(job.job_id),
        command=job.resource,
        gitlab_api_url=job.instance_url,
        credentials=credentials,
        resource_type=job.area_kind,
        resource_id=str(job.gitlab_id),
        full_path=job.full_path,
        data_types=[job.resource],
        custom_parameters=wire.CustomParameters(resume_state=job.cursor),
        lease=wire.Lease(epoch=job.fence, expires_at=job.lease_expires_at),
        priority=job.priority,
        attempt=job.attempt,
        account_id=str(job.account_id),
        provider_id=str(job.instance_id),
        segments=_segments(job),
        gitlab_version=job.gitlab_version,
        processed_items=job.processed_items,
        mode=job.mode,
        since=None if job.since is None else _iso(job.since),
        missing=job.missing,
        known_areas=known,
        rate_limits=wire.RateLimits(max_requests_per_minute=rate),
    )


async def _known_areas(desk: Desk, job: leases.ClaimedJob) -> list[wire.KnownArea]:
    """Say of a discovery what is known of the paths that were named: groups may be renamed since."""
    if job.resource != DISCOVERY or not desk.include:
        return []

    def find(connection: Connection) -> list[wire.KnownArea]:
        found = [(p, areas.known_as(connection, job.instance_id, p)) for p in desk.include]
        return [
            wire.KnownArea(full_path=path, type=area[0], gitlab_id=area[1])
            for path, area in found
            if area is not None
        ]

    return await desk.store.read(find)


def _iso(ms: int) -> str:
    """Write an instant as GitLab takes it in a query: a `+` there would be a blank."""
    instant = datetime.fromtimestamp(ms / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _put_off(connection: Connection, holder: str, job: leases.ClaimedJob, why: str) -> None:
    """Let a job wait for a token, unless it is another's by now: asking for the token took time."""
    if jobs.is_held_by(connection, job.job_id, holder, job.fence):
        reports.without_credential(connection, job.job_id, why)


def _segments(job: leases.ClaimedJob) -> wire.Segments:
    """Say where the job's part of the dataset goes, and with which number it goes on."""
    prefix = SegmentPrefix(
        job.instance_id, job.area_kind, job.gitlab_id, job.resource, job.job_id, job.fence
    )
    return wire.Segments(prefix=prefix.text, next=job.next_segment)


def _charged(desk: Desk, caller: Caller, job: leases.ClaimedJob) -> int:
    """Return the rate of a peer that asks for no budget, and count all of it as used; else 0."""
    if caller.dialect > 1:
        return 0
    now, account = desk.clock.now_ms(), job.account_id
    rate = desk.budget.limit_of(account, REST, now)
    desk.budget.charge(account, REST, str(job.job_id), rate, now)
    return rate


async def renew_leases(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Prolong what is still the caller's; the answer names what is lost and what is wanted."""
    asked = msgspec.json.decode(envelope.payload, type=wire.RenewLeases)
    held = [(task_number(one.task_id), one.epoch) for one in asked.leases]

    def renew(connection: Connection) -> tuple[Wanted, Sequence[leases.Renewal]]:
        wanted = commands.wanted_of(connection, caller.name)
        return wanted, leases.renew(connection, caller.name, held, desk.lease_seconds)

    wanted, renewed = await desk.store.write(renew)
    accounts = {one.account_id for one in renewed if one.account_id is not None}
    tokens = await _tokens_in_time(desk, caller, accounts)
    answers = [_renewed(one, wanted, tokens) for one in renewed]
    return Reply("jobResponse", "leases_renewed", wire.LeasesRenewed(leases=answers))


async def _tokens_in_time(desk: Desk, caller: Caller, accounts: set[int]) -> dict[int, str]:
    """Return the tokens that can be had at once: a lease goes on with the one that the crawler has.

    A GitLab that answers slowly must not keep a crawler from hearing that its leases live.
    """
    asked = {each: asyncio.ensure_future(_token(desk, caller, each)) for each in accounts}
    if asked:
        _, late = await asyncio.wait(asked.values(), timeout=TOKEN_SECONDS)
        for one in late:
            one.cancel()
    done = {each: one.result() for each, one in asked.items() if one.done()}
    return {each: token for each, token in done.items() if isinstance(token, str)}


def _renewed(renewal: leases.Renewal, wanted: Wanted, tokens: dict[int, str]) -> wire.RenewedLease:
    task_id = str(renewal.job_id)
    if renewal.account_id is None:
        gone = "cancel" if renewal.wanted == "cancel" else "run"
        return wire.RenewedLease(task_id=task_id, lost=True, wanted=gone)
    return wire.RenewedLease(
        task_id=task_id,
        expires_at=renewal.expires_at,
        wanted="pause" if wanted is Wanted.PAUSE else renewal.wanted,
        access_token=tokens.get(renewal.account_id) or None,
    )
