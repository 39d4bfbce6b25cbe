"""Worlds for benchmarks: the workloads that crawlers are compared on, in any size.

Entered by `presets`. A name may carry a factor: ``w3@0.1`` is a tenth of ``w3``, ``w3@10`` ten
times as much. Each is made in seconds; memory grows with the factor.
"""

import gc
import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from labtrawl.sandbox.instants import HOUR_MS, instant_ms, instant_text
from labtrawl.sandbox.model import Issue, Note, Project, User, World
from labtrawl.sandbox.plan import UnknownWorld, WorldPlan, sized
from labtrawl.sandbox.planning import discussion_id
from labtrawl.sandbox.world import generate

_NOTHING = WorldPlan(
    name="nothing",
    groups=1,
    projects=1,
    users=40,
    issues=0,
    merge_requests=0,
    notes=0,
    commits=20,
    pipelines=0,
    ci_jobs=0,
    events=0,
    milestones=4,
    releases=0,
    branches=1,
    environments=0,
    deployments=0,
    timelogs=0,
    links=0,
    accounts=1,
    specials=False,
    traces=False,
    months=24,
)
_W3 = replace(
    _NOTHING,
    name="w3",
    groups=20,
    projects=200,
    users=60,
    issues=40_000,
    merge_requests=16_000,
    commits=20_000,
    pipelines=8_000,
    milestones=2_000,
    branches=2_400,
)
# w1: one long list. w2: a thousand short ones. w3: twenty groups of ten projects, eight lists of
# each (issues, merge requests, commits, branches, labels, milestones, pipelines, members), some
# 90,000 rows; w3n has notes and discussions, too.
PLANS = {
    "w1": replace(_NOTHING, name="w1", issues=20_000),
    "w2": replace(_NOTHING, name="w2", issues=1_000),
    "w3": _W3,
    "w3n": replace(_W3, name="w3n", notes=120_000),
}
_GROWING = ("issues", "merge_requests", "notes", "commits", "pipelines", "milestones", "branches")
# Lines of padding that make a row of w1 some 2.9 kB, as in the workloads of old.
_W1_PADDING = 12
_W2_NOTES = 5
_FIRST_NOTE = 120_001
_Rewrite = Callable[[Project, Issue, int], Issue]


def large_plan(name: str, factor: str, seed: int, sizes: dict[str, int]) -> WorldPlan:
    """The plan, `factor` times as large (an empty text: as it is), with other `sizes` over it.

    Raises UnknownWorld for a factor that is no positive number, and for an unknown size.
    """
    try:
        times = float(factor) if factor else 1.0
    except ValueError:
        times = 0.0
    if not (0 < times < math.inf):
        raise UnknownWorld(f"no such factor: {factor}; write {name}@0.1 or {name}@10")
    plan = PLANS[name]
    grown = {kind: math.ceil(getattr(plan, kind) * times) for kind in _GROWING}
    if plan.projects > 1:
        grown |= {
            kind: max(round(getattr(plan, kind) * times), 1) for kind in ("groups", "projects")
        }
    return sized(plan, seed, grown | sizes)


def large_world(plan: WorldPlan) -> World:
    """The world of a plan of this room."""
    with _undisturbed():
        world = generate(plan)
        if plan.name == "w1":
            return _each_issue(world, _lengthened)
        return _each_issue(world, _commented) if plan.name == "w2" else world


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without the collector of garbage: a hundred thousand new objects and none to give up."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _each_issue(world: World, changed: _Rewrite) -> World:
    projects = []
    for project in world.projects:
        issues = tuple(changed(project, issue, index) for index, issue in enumerate(project.issues))
        projects.append(msgspec.structs.replace(project, issues=issues))
    return msgspec.structs.replace(world, projects=tuple(projects))


def _lengthened(_project: Project, issue: Issue, index: int) -> Issue:
    number = hashlib.sha256(str(index).encode()).hexdigest()
    # Digits, so that the text is no easier to compress than what people write.
    padding = f"\n\nLog {number}\n" + f"reading {number[:9]} at {number[9:20]}; " * _W1_PADDING
    return msgspec.structs.replace(issue, description=f"{issue.description or ''}{padding}")


def _commented(project: Project, issue: Issue, index: int) -> Issue:
    team = [member.user for member in project.members] or [issue.author]
    notes = tuple(_note(issue, team, index, turn) for turn in range(_W2_NOTES))
    return msgspec.structs.replace(issue, notes=notes, updated_at=notes[-1].created_at)


def _note(issue: Issue, team: list[User], index: int, turn: int) -> Note:
    number = _FIRST_NOTE + index * _W2_NOTES + turn
    at = instant_text(instant_ms(issue.created_at) + (turn + 1) * HOUR_MS)
    return Note(
        id=number,
        body=f"Remark {turn + 1} on #{issue.iid}: the sensor agrees with the log book again.",
        author=team[(index + turn) % len(team)],
        created_at=at,
        updated_at=at,
        discussion_id=discussion_id(number),
    )
