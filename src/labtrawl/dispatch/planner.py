"""From what a crawler discovered to rows: areas, who sees them, ledger rows, jobs that nobody had."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from labtrawl.dispatch import visiting
from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.domain.failure import GapReason
from labtrawl.domain.job import HoldReason
from labtrawl.domain.visit import Mode, Schedule
from labtrawl.errors import BadMessage
from labtrawl.gitlab import catalog
from labtrawl.gitlab.wanted import is_wanted
from labtrawl.protocol.messages import DiscoveredArea, DiscoveredJob
from labtrawl.store import accounts, areas, choices, jobs, ledger, visits
from labtrawl.store.accounts import VerifiedAccount
from labtrawl.store.engine import Connection

DISCOVERY_PRIORITY = 10
NO_SCHEDULE = Schedule()


def plan_account(connection: Connection, account: VerifiedAccount) -> int:
    """Record an account that its GitLab accepted and queue its discovery once; return its id.

    In a study only where its owner has agreed.
    """
    was_refused = accounts.was_refused(connection, account)
    instance_id, account_id = accounts.record(connection, account)
    area_id = areas.record(
        connection,
        instance_id,
        FoundArea(AreaKind.USER, account.gitlab_user_id, f"@{account.username}", account.username),
    )
    if not areas.grant(connection, area_id, account_id, 0):
        return account_id  # a participant who has not agreed: nothing is planned
    jobs.resume(connection, HoldReason.CREDENTIAL, account_id)
    if was_refused:
        visits.due_again(connection, account_id)
    jobs.enqueue_first(
        connection, jobs.PlannedJob(area_id, catalog.DISCOVERY, priority=DISCOVERY_PRIORITY)
    )
    jobs.hold_unseen(connection)  # an admin may have switched it off
    return account_id


def refuse_account(connection: Connection, source_sha256: str) -> None:
    """GitLab refused a token at the start: what only its account sees waits for a new one."""
    accounts.refuse_source(connection, source_sha256)
    jobs.hold_unseen(connection)


def record_area(
    connection: Connection,
    instance_id: int,
    account_id: int,
    found: DiscoveredArea,
    schedule: Schedule = NO_SCHEDULE,
) -> None:
    """Store an area, the account's role in it, and a ledger row for each of its resources.

    What was read with a lower role, or before nobody saw the area, is opened to be read again.
    """
    if found.type not in (AreaKind.GROUP, AreaKind.PROJECT):
        raise BadMessage(f"{found.type[:64]!r} is no kind of area that can be discovered")
    kind = AreaKind(found.type)
    area_id = areas.record(
        connection,
        instance_id,
        FoundArea(
            kind, found.gitlab_id, found.full_path, found.name, found.web_url, found.parent_path
        ),
    )
    if not _grant(connection, area_id, account_id, found.role):
        return
    if areas.seen_again(connection, area_id):
        visiting.seen_again(connection, area_id)
    visiting.seen_with(connection, area_id, found.role, schedule)
    _open_ledger(connection, area_id, kind, found, schedule)


def _grant(connection: Connection, area_id: int, account_id: int, role: int) -> bool:
    """Let an account read an area; say whether it may: a participant may leave areas out."""
    if areas.grant(connection, area_id, account_id, role, may_be_read=False):
        return True
    if not areas.is_of_study(connection, account_id):
        return False
    may_be_read = choices.found(connection, account_id, area_id, role)
    return areas.grant(connection, area_id, account_id, role, may_be_read)


def _open_ledger(
    connection: Connection,
    area_id: int,
    kind: AreaKind,
    found: DiscoveredArea,
    schedule: Schedule,
) -> None:
    """Open a row for each resource, with the reason of what the area cannot have (any more)."""
    wanted = [
        resource
        for resource in catalog.resources_of(kind)
        if resource.kind and is_wanted(schedule, resource)
    ]
    ledger.open_rows(connection, area_id, [resource.name for resource in wanted])
    off = ledger.switched_off(connection, area_id)
    for resource in wanted:
        reason = catalog.gap_of(resource, found.features, found.empty_repository)
        entry = ledger.Entry(expected_by="project settings", reason=reason)
        if reason is GapReason.FEATURE_OFF and resource.name not in off:
            ledger.explain(connection, area_id, resource.name, entry)
        elif reason is GapReason.EMPTY_REPOSITORY:
            ledger.explain_if_empty(connection, area_id, resource.name, entry)
        elif reason is None and resource.name in off and found.features:
            ledger.switched_on(connection, area_id, resource.name)
            if not visits.sweep_now(connection, area_id, resource.name, anew=True):
                visits.sweep_soon(connection, area_id, resource.name)


def queue_jobs(
    connection: Connection,
    instance_id: int,
    parent_id: int,
    proposed: Sequence[DiscoveredJob],
    schedule: Schedule = NO_SCHEDULE,
) -> int:
    """Queue the proposed jobs of which that (area, resource) never had one; return how many.

    A proposal in the mode "changes" opens a finished one again, which counts as well.
    """
    new: list[jobs.PlannedJob] = []
    opened = 0
    places = _Places(connection, instance_id)
    for found in proposed:
        resource = catalog.find(found.area_type, found.command)
        if resource is None or not is_wanted(schedule, resource):
            continue
        area_id = places.find(found.area_type, found.gitlab_id)
        if area_id is None:
            continue
        if resource.watches:
            visiting.begin_watch(connection, area_id, resource, found.watermark, schedule)
        elif found.mode == Mode.CHANGES and jobs.is_known(connection, area_id, found.command):
            opened += visits.tell(connection, area_id, found.command)
        else:
            new.append(jobs.PlannedJob(area_id, found.command, found.priority, parent_id))
    return opened + _queue(connection, new)


def _queue(connection: Connection, new: Sequence[jobs.PlannedJob]) -> int:
    """Queue what never had a job, and let its row of the ledger name it."""
    queued = jobs.enqueue_new(connection, new)
    if queued:
        ledger.name_jobs(connection, [(one.area_id, one.resource) for one in new])
    return queued


@dataclass(slots=True)
class _Places:
    """The areas that one message names: many of its jobs are of the same one."""

    connection: Connection
    instance_id: int
    _known: dict[tuple[str, int], int | None] = field(default_factory=dict)

    def find(self, kind: str, gitlab_id: int) -> int | None:
        """Return the id of an area; None for one that nobody told of."""
        key = (kind, gitlab_id)
        if key not in self._known:
            self._known[key] = areas.find(self.connection, self.instance_id, kind, gitlab_id)
        return self._known[key]
