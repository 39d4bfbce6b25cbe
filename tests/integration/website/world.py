"""A believable crawl in a database: groups, projects, jobs in all states, a ledger with gaps."""

import random
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.domain.failure import GapReason
from labtrawl.domain.job import HoldReason
from labtrawl.store import accounts, areas, jobs, leases, ledger, manifest, people
from labtrawl.store.engine import NOW_MS

GROUP = ("group", "members", "inherited_members", "labels", "milestones")
PROJECT = (
    *("project", "members", "inherited_members", "labels", "milestones", "issues"),
    *("issue_discussions", "merge_requests", "merge_request_discussions", "commits", "branches"),
    *("tags", "pipelines", "ci_jobs", "releases", "events"),
)
TEAMS = (
    *("lighthouse", "lighthouse/platform", "lighthouse/apps", "harbour", "harbour/tools"),
    *("research", "research/field-notes", "research/archive", "mariners", "kelp", "kelp/labs"),
    "tide-tables",
)
NAMES = ("beacon", "foghorn", "lamp-room", "rigging", "chartroom", "logbook", "ropewalk", "winch")
HOSTILE = "<script>alert(1)</script> \u202egnp.exe \x00 " + "long" * 60


@dataclass(frozen=True, slots=True)
class World:
    """The ids that tests ask for."""

    account_id: int
    instance_id: int
    root_job: int


def found(kind: AreaKind, gitlab_id: int, path: str, name: str = "") -> FoundArea:
    parent, _, last = path.rpartition("/")
    return FoundArea(
        kind,
        gitlab_id,
        path,
        name or last.replace("-", " ").capitalize(),
        f"https://gitlab.example/{path}",
        parent,
        40,
    )


def first_account(connection: Connection) -> tuple[int, int]:
    return accounts.record(
        connection,
        accounts.VerifiedAccount(
            "example", "https://gitlab.example", "19.3.0", 7, "ada.marin", ("read_api",), "secret"
        ),
    )


def participant(connection: Connection, number: int) -> int:
    """A person with an account at a GitLab called main; return the person."""
    found = accounts.VerifiedAccount(
        "main", "http://g", "19", number, f"user{number}", (), f"t{number}"
    )
    accounts.record(connection, found)
    who = people.Identified("main", "http://g", number, f"user{number}")
    return people.record(connection, who)


def one_job(connection: Connection, resource: str = "issues", path: str = "kelp/labs") -> int:
    """Plan one job of one project; return its id."""
    instance_id, account_id = first_account(connection)
    area_id = areas.record(connection, instance_id, found(AreaKind.PROJECT, 99, path))
    areas.grant(connection, area_id, account_id, 40)
    job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, resource))
    assert job_id is not None
    ledger.open_row(connection, area_id, resource, job_id)
    return job_id


def start(connection: Connection, limit: int = 1, holder: str = "crawler-1") -> list[int]:
    claimed = leases.claim(connection, holder, f"claim-{random.random()}", limit, 60.0)
    return [each.job_id for each in claimed]


def build(connection: Connection, projects: int = 48) -> World:
    """Make the whole: 12 groups, `projects` projects, jobs in every state."""
    rng = random.Random(3)
    instance_id, account_id = first_account(connection)
    root = areas.record(connection, instance_id, FoundArea(AreaKind.USER, 7, "@ann", "ann"))
    areas.grant(connection, root, account_id, 0)
    root_job = jobs.enqueue(connection, jobs.PlannedJob(root, "discovery"))
    assert root_job is not None
    for number, path in enumerate(TEAMS):
        area = areas.record(connection, instance_id, found(AreaKind.GROUP, 10 + number, path))
        _plan(connection, area, account_id, GROUP, root_job)
    for number in range(projects):
        team, name = TEAMS[number % len(TEAMS)], NAMES[(number // 7 + number) % len(NAMES)]
        path = f"{team}/{name}-{number}"
        area = areas.record(connection, instance_id, found(AreaKind.PROJECT, 100 + number, path))
        _plan(connection, area, account_id, PROJECT, root_job)
    _work(connection, rng)
    _spread(connection)
    return World(account_id, instance_id, root_job)


def _plan(
    connection: Connection, area: int, account_id: int, resources: tuple[str, ...], parent: int
) -> None:
    areas.grant(connection, area, account_id, 30 if area % 3 else 50)
    for resource in resources:
        job_id = jobs.enqueue(connection, jobs.PlannedJob(area, resource, parent_id=parent))
        ledger.open_row(connection, area, resource, job_id)


def _work(connection: Connection, rng: random.Random) -> None:
    total = connection.exec_driver_sql("SELECT COUNT(*) FROM job").scalar_one()
    claimed = leases.claim(connection, "crawler-1", "first", int(total * 0.62), 60.0)
    for each in claimed[:-9]:
        _finish(connection, each, rng)
    for each in claimed[-9:]:
        total_items = rng.randrange(300, 2000)
        done = rng.randrange(20, 300)
        known = total_items if each.job_id % 3 else None
        report = jobs.Progress(done, known, done // 50 + 2, 0, "page 3")
        jobs.progress(connection, each.job_id, report)
        area = jobs.place_of(connection, each.job_id).area_id
        ledger.count(connection, area, each.resource, done)
        jobs.step(
            connection, each.job_id, jobs.Step(cursor='{"page": 3, "after": 4711}', segments=1)
        )
    rest = connection.exec_driver_sql("SELECT id FROM job WHERE state = 'queued'").scalars().all()
    for job_id in rest[::19]:
        jobs.hold(connection, job_id, HoldReason.CREDENTIAL, "401 from GitLab")
    for job_id in leases.claim(connection, "crawler-2", "later", 7, 60.0):
        jobs.retry_later(connection, job_id.job_id, "502 Bad Gateway from /projects/7/issues", 900)
    connection.exec_driver_sql(
        "UPDATE job SET state = 'cancelled' WHERE id IN (?, ?)", tuple(rest[1:3])
    )


def _finish(connection: Connection, job: leases.ClaimedJob, rng: random.Random) -> None:
    area = jobs.place_of(connection, job.job_id).area_id
    number = int(rng.paretovariate(0.9) * 9) % 4000
    chance = rng.random()
    if job.full_path.startswith("research/archive") and job.resource != "group":
        message = HOSTILE if job.job_id % 2 else "403 Forbidden: insufficient permissions"
        jobs.fail(connection, job.job_id, "forbidden", message)
        ledger.explain(
            connection, area, job.resource, ledger.Entry(reason=GapReason.FORBIDDEN, detail="403")
        )
        return
    if chance < 0.02:
        jobs.fail(connection, job.job_id, "unavailable", "500 Internal Server Error, 5 times")
        entry = ledger.Entry(reason=GapReason.FAILED, detail="500 at every try")
        ledger.explain(connection, area, job.resource, entry)
        return
    if job.resource in {"pipelines", "ci_jobs", "releases"} and area % 5 == 0:
        entry = ledger.Entry(0, "feature", GapReason.FEATURE_OFF, "")
        ledger.close_row(connection, area, job.resource, entry)
        jobs.step(connection, job.job_id, jobs.Step(is_end=True))
        return
    number = 1 if job.resource in {"group", "project"} else 0 if chance > 0.9 else number
    expected = number if chance < 0.6 else None
    if 0.3 < chance < 0.36 and number > 10:
        expected = int(number * rng.uniform(1.05, 3))
    report = jobs.Progress(number, expected, number // 90 + 1)
    jobs.progress(connection, job.job_id, report)
    ledger.count(connection, area, job.resource, number)
    reason = GapReason.CHANGED if expected and expected > number * 2 else None
    entry = ledger.Entry(expected, "x-total" if expected is not None else "", reason, "")
    ledger.close_row(connection, area, job.resource, entry)
    if number:
        name = f"example/{area}/{job.resource}/{job.job_id:06}-1-1.jsonl.zst"
        new = manifest.ClosedSegment(name, number * 211, "0" * 64, number)
        manifest.commit(connection, job.job_id, job.fence, [new])
    jobs.step(connection, job.job_id, jobs.Step(is_end=True))


def _spread(connection: Connection) -> None:
    """Let it have taken twenty minutes."""
    ago = "(SELECT MAX(id) FROM job) - id"
    connection.exec_driver_sql(
        f"UPDATE job SET created_at = {NOW_MS} - 1300000 + id,"
        f" started_at = CASE WHEN started_at IS NULL THEN NULL ELSE {NOW_MS} - 1000 * ({ago}) END,"
        f" finished_at = CASE WHEN finished_at IS NULL THEN NULL"
        f" ELSE {NOW_MS} - 1000 * ({ago}) + 2700 END, updated_at = {NOW_MS} - 1000 * ({ago}) + 2700"
    )
    connection.exec_driver_sql(
        f"UPDATE segment SET created_at = {NOW_MS} - 300 * ((SELECT MAX(id) FROM segment) - id)"
    )
