"""What the end of a visit does: when the list is read again, and which others are now."""

import functools

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import HoldReason
from labtrawl.domain.visit import Mode, Pace, Schedule
from labtrawl.gitlab import catalog
from labtrawl.gitlab.graphql_plans import NAMES
from labtrawl.gitlab.wanted import is_wanted
from labtrawl.protocol.messages import ProgressUpdate
from labtrawl.store import accounts, areas, jobs, leases, ledger, visits, watches
from labtrawl.store.engine import Connection

# A watch is looked at so many times in the interval of a list, but not more often than this.
WATCHES = 5
LEAST_WATCH_MS = 60_000
# How many sweeps of other lists go by for one of a list that costs a request for each item: what it
# holds changes with its items, which tell.
COSTLY_SWEEPS = 7


def begin_watch(
    connection: Connection,
    area_id: int,
    resource: catalog.Resource,
    watermark: int | None,
    schedule: Schedule,
) -> None:
    """Watch a group from now on: there is nothing to read at first, its lists are read themselves.

    A group below one that is watched needs none: that list tells of its changes too.
    """
    if watches.is_below(connection, area_id, resource.name):
        return
    if not jobs.is_known(connection, area_id, resource.name):
        jobs.add_completed(connection, jobs.PlannedJob(area_id, resource.name, resource.priority))
        visits.begin(connection, area_id, resource.name, watermark, _watch_every(schedule))


def _watch_every(schedule: Schedule) -> int | None:
    """One request of a watch stands for those of many lists: it is sent more often than they are."""
    every = schedule.every or schedule.discover_every
    return None if every is None else min(every, max(every // WATCHES, LEAST_WATCH_MS))


def completed(
    connection: Connection,
    work: leases.AtWork,
    records: int,
    update: ProgressUpdate,
    schedule: Schedule,
) -> None:
    """Schedule the next visit of a job that has just completed, and tell who depends on it.

    `records` are what its last report committed, beside what the job committed before.
    """
    place = work.place
    reason = update.ledger.reason if update.ledger else None
    is_whole = reason not in ledger.MENDABLE
    changed = max(update.changed, work.changed_items + records)
    reading = visits.Reading(update.watermark, changed, is_whole)
    pace = _pace(connection, place, schedule)
    done = visits.finish(connection, work, reading, schedule, pace)
    if place.resource == catalog.DISCOVERY:
        if reason is None:
            _lose(connection, place.account_id, done.began_at)
        if not accounts.is_refused(connection, place.account_id):
            # What it found may have waited for an account that sees it.
            jobs.resume(connection, HoldReason.CREDENTIAL, place.account_id)
    elif done.changed:
        _tell_nested(connection, place)
        if place.mode == Mode.CHANGES:
            _tell(connection, place, _moved(place.area_kind, place.resource))


def failed(connection: Connection, job_id: int, place: jobs.JobPlace, schedule: Schedule) -> None:
    """Let a job that has just failed be tried again some day; what it told of goes by itself."""
    visits.fail(connection, job_id, schedule, _pace(connection, place, schedule))
    if place.resource in watches.WATCHED:
        watches.ended(connection, place.area_id)


def given_up(connection: Connection, job_id: int, schedule: Schedule) -> None:
    """Do as `failed` for a job of which no report said so."""
    failed(connection, job_id, jobs.place_of(connection, job_id), schedule)


def _pace(connection: Connection, place: jobs.JobPlace, schedule: Schedule) -> Pace:
    if place.resource == catalog.DISCOVERY:
        return Pace(schedule.discover_every, is_adaptive=False)
    resource = catalog.find(place.area_kind, place.resource)
    if resource is None:
        return Pace(is_driven=True)
    if resource.watches:
        return Pace(_watch_every(schedule), is_adaptive=False)
    if not (resource.changes or resource.parent):
        return Pace(is_driven=True)  # read as a whole, when its sweep is due
    return Pace(
        schedule.every,
        is_driven=_is_driven(connection, place, resource, schedule),
        sweep_factor=COSTLY_SWEEPS if _is_costly(resource) else 1,
    )


def _is_costly(resource: catalog.Resource) -> bool:
    """Say whether a whole reading asks once for each item: GraphQL cannot read several of it."""
    return bool(resource.parent) and resource.name not in NAMES


def _is_driven(
    connection: Connection, place: jobs.JobPlace, resource: catalog.Resource, schedule: Schedule
) -> bool:
    return _is_driven_in(connection, place.area_id, place.area_kind, resource, schedule)


def _is_driven_in(
    connection: Connection,
    area_id: int,
    area_kind: str,
    resource: catalog.Resource,
    schedule: Schedule,
) -> bool:
    """Say whether something else tells when a list has changed: its parent, or a group's list."""
    if resource.parent:
        parent = catalog.find(area_kind, resource.parent)
        return parent is not None and is_wanted(schedule, parent)
    return area_kind == AreaKind.PROJECT and any(
        is_wanted(schedule, watch) and watches.is_below(connection, area_id, watch.name)
        for watch in catalog.resources_of(AreaKind.GROUP)
        if watch.watches == resource.name
    )


def _tell_nested(connection: Connection, place: jobs.JobPlace) -> None:
    """Open what belongs to the objects of a list that has changed."""
    _tell(connection, place, _nested(place.area_kind, place.resource))


def _tell(connection: Connection, place: jobs.JobPlace, names: tuple[str, ...]) -> None:
    if names:
        for name in visits.begun(connection, place.area_id, names):
            visits.tell(connection, place.area_id, name)


@functools.cache
def _nested(area_kind: str, parent: str) -> tuple[str, ...]:
    found = catalog.resources_of(AreaKind(area_kind))
    return tuple(resource.name for resource in found if resource.parent == parent)


@functools.cache
def _moved(area_kind: str, by: str) -> tuple[str, ...]:
    found = catalog.resources_of(AreaKind(area_kind))
    return tuple(resource.name for resource in found if resource.moved_by == by)


def _lose(connection: Connection, account_id: int, began_at: int) -> None:
    """A discovery came to its end: what it did not find, its account does not see any more.

    A group that nobody sees is not watched: what is seen below it is due by itself. What only
    accounts see that may not be used waits for them.
    """
    lost = areas.lose(connection, account_id, began_at)
    for area_id in lost.unseen:
        ledger.explain_unseen(connection, area_id)
        watches.ended(connection, area_id)
    if lost.number:
        jobs.hold_unseen(connection)


def seen_again(connection: Connection, area_id: int) -> None:
    """An area is there that nobody saw for a while: its lists are read whole."""
    jobs.resume_area(connection, area_id)
    for resource in ledger.forget_unseen(connection, area_id):
        visits.sweep_now(connection, area_id, resource, anew=True)


def seen_with(connection: Connection, area_id: int, role: int, schedule: Schedule) -> None:
    """An account sees an area with a role: what was read by a lower one is read whole again."""
    for resource in visits.read_by_less(connection, area_id, role):
        if schedule.has(resource):
            visits.sweep_now(connection, area_id, resource, anew=True)


def open_all(connection: Connection, schedule: Schedule) -> None:
    """Open what was completed for its changes, and as a whole what failed or is due to be swept.

    Lists of which something else tells are opened by it; those of which GitLab tells no changes
    wait for their sweep.
    """
    for row in visits.ended(connection):
        if not _is_chosen(row, schedule):
            continue
        if row.is_failed or row.is_sweep_due:
            visits.sweep_now(connection, row.area_id, row.resource)
        elif _tells_changes(connection, row, schedule):
            visits.tell(connection, row.area_id, row.resource)


def _is_chosen(row: visits.Ended, schedule: Schedule) -> bool:
    resource = catalog.find(row.area_kind, row.resource)
    return resource is None or is_wanted(schedule, resource)


def _tells_changes(connection: Connection, row: visits.Ended, schedule: Schedule) -> bool:
    if row.resource == catalog.DISCOVERY:
        return True
    resource = catalog.find(row.area_kind, row.resource)
    if resource is None or not resource.changes:
        return False
    return not _is_driven_in(connection, row.area_id, row.area_kind, resource, schedule)
