"""Which projects a generated world holds, and how much of everything goes into each.

Entered by `world.generate`; the other generator rooms fill the drafts made here.
"""

import random
from dataclasses import dataclass, field

from labtrawl.sandbox import vocabulary as words
from labtrawl.sandbox.instants import DAY_MS, instant_text
from labtrawl.sandbox.model import (
    FEATURES,
    GUEST,
    Branch,
    Commit,
    Deployment,
    Environment,
    Event,
    Group,
    Issue,
    Job,
    Label,
    Membership,
    MergeRequest,
    Milestone,
    Pipeline,
    Project,
    Release,
    Statistics,
    Tag,
    User,
)
from labtrawl.sandbox.plan import WorldPlan
from labtrawl.sandbox.rhythm import apportion

FIRST_PROJECT_ID = 2011
FIRST_USER_NAMESPACE_ID = 50_000
CODE_KINDS = (
    "merge_requests",
    "commits",
    "pipelines",
    "ci_jobs",
    "branches",
    "releases",
    "environments",
    "deployments",
    "timelogs",
)
_OUTSIDE_QUOTA = {
    "issues": 12,
    "merge_requests": 4,
    "commits": 30,
    "pipelines": 5,
    "ci_jobs": 12,
    "events": 9,
    "milestones": 1,
    "branches": 3,
    "releases": 1,
    "environments": 1,
    "deployments": 4,
    "timelogs": 2,
    "links": 1,
}
_FEATURE_OF = {
    "pipelines": "builds",
    "ci_jobs": "builds",
    "environments": "builds",
    "deployments": "builds",
    "timelogs": "issues",
    "links": "issues",
}


@dataclass(slots=True, kw_only=True)
class Draft:
    """A project in the making. `counted` = the main account reads it, so its rows are budgeted."""

    id: int
    group: Group | None
    owner: User | None
    path: str
    born_ms: int
    weight: float
    counted: bool = True
    guest_only: bool = False
    visibility: str = "private"
    disabled: frozenset[str] = frozenset()
    empty: bool = False
    archived: bool = False
    former_paths: tuple[str, ...] = ()
    team: tuple[User, ...] = ()
    members: tuple[Membership, ...] = ()
    labels: tuple[Label, ...] = ()
    known_labels: dict[str, Label] = field(default_factory=dict)
    milestones: tuple[Milestone, ...] = ()
    all_milestones: tuple[Milestone, ...] = ()
    issues: list[Issue] = field(default_factory=list)
    merge_requests: list[MergeRequest] = field(default_factory=list)
    commits: tuple[Commit, ...] = ()
    branches: tuple[Branch, ...] = ()
    tags: tuple[Tag, ...] = ()
    pipelines: list[Pipeline] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    releases: tuple[Release, ...] = ()
    events: tuple[Event, ...] = ()
    environments: tuple[Environment, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    languages: dict[str, float] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels that the draft can use, its own first."""
        return tuple(self.known_labels)

    @property
    def full_path(self) -> str:
        """Path with namespace."""
        space = self.group.full_path if self.group else self.owner.username if self.owner else ""
        return f"{space}/{self.path}"


def make_drafts(
    plan: WorldPlan,
    groups: dict[str, Group],
    people: tuple[User, ...],
    span_ms: tuple[int, int],
    rng: random.Random,
) -> list[Draft]:
    """All projects, unfilled: those of the account's scope first, then those outside it."""
    inside = _inside_places(plan, groups, people)
    outside = _outside_places(groups, people) if plan.specials else []
    drafts = []
    for index, (group, owner, path) in enumerate(inside + outside):
        counted = index < len(inside) and not (group and group.forbidden)
        draft = Draft(
            id=FIRST_PROJECT_ID + index * 13,
            group=group,
            owner=owner,
            path=path,
            born_ms=_birth(span_ms, index, len(inside), rng),
            weight=0.35 + rng.paretovariate(1.3),
            counted=counted,
            guest_only=group is not None and group.full_path == "city-council",
            visibility=group.visibility if group else "public" if not counted else "private",
        )
        draft.empty = plan.commits == 0
        _staff(draft, groups, people, rng)
        if plan.specials:
            _make_special(draft)
        drafts.append(draft)
    return drafts


def _birth(span_ms: tuple[int, int], index: int, count: int, rng: random.Random) -> int:
    start, end = span_ms
    share = min(index / max(count, 1), 1.0) * 0.45
    return int(start + (end - start) * share + rng.random() * 5 * DAY_MS)


def _inside_places(
    plan: WorldPlan, groups: dict[str, Group], people: tuple[User, ...]
) -> list[tuple[Group | None, User | None, str]]:
    special: list[tuple[Group | None, User | None, str]] = []
    forbidden = groups.get(words.FORBIDDEN_GROUP[0])
    if plan.specials:
        special.append((None, people[0], "dotfiles"))
        special.append((groups["city-council"], None, "flood-committee"))
    if forbidden:
        special += [(forbidden, None, path) for path in words.PROJECTS["coastguard-data"]]
    outside = {row[0] for row in words.OUTSIDE_GROUPS}
    homes = [g for g in groups.values() if not g.forbidden and g.full_path not in outside]
    wanted = max(plan.projects - len(special), 0)
    return (_regular_places(homes, wanted) + special)[: plan.projects]


def _regular_places(homes: list[Group], wanted: int) -> list[tuple[Group | None, User | None, str]]:
    places: list[tuple[Group | None, User | None, str]] = []
    turn = 0
    while len(places) < wanted:
        for group in homes:
            names = words.PROJECTS.get(group.path, ())
            if turn < len(names):
                places.append((group, None, names[turn]))
            elif turn >= 8:
                places.append((group, None, f"{group.path}-study-{turn - 7}"))
        turn += 1
    return places[:wanted]


def _outside_places(
    groups: dict[str, Group], people: tuple[User, ...]
) -> list[tuple[Group | None, User | None, str]]:
    places: list[tuple[Group | None, User | None, str]] = []
    for home in ("common-cartography", "harbour-office"):
        places += [(groups[home], None, path) for path in words.PROJECTS[home]]
    places.append((None, people[-1], "map-notes"))
    return places


def _staff(
    draft: Draft, groups: dict[str, Group], people: tuple[User, ...], rng: random.Random
) -> None:
    """Give the draft its direct members and its team (who writes issues, code and notes)."""
    created_at = instant_text(draft.born_ms)
    if draft.owner:
        draft.members = (Membership(user=draft.owner, access_level=50, created_at=created_at),)
        draft.team = (draft.owner, *rng.sample(people, min(2, len(people))))
        return
    guests = [(people[0], GUEST)] if draft.guest_only else []
    pool = people[min(3, len(people) - 1) :]
    extra = rng.sample(pool, min(rng.randint(1, 3), len(pool)))
    levels = guests + [(user, rng.choice((20, 30, 30, 40))) for user in extra]
    draft.members = tuple(
        Membership(user=user, access_level=level, created_at=created_at, created_by=extra[0])
        for user, level in levels
    )
    team = {user.id: user for user in extra}
    for member in draft.group.members if draft.group else ():
        team.setdefault(member.user.id, member.user)
    root = groups.get(draft.full_path.split("/")[0])
    for member in rng.sample(root.members, min(5, len(root.members))) if root else ():
        team.setdefault(member.user.id, member.user)
    draft.team = tuple(team.values())


def _make_special(draft: Draft) -> None:
    if draft.path == "boat-log":
        draft.disabled = frozenset({"merge_requests", "builds"})
    elif draft.path == "backup-jobs":
        draft.disabled = frozenset({"issues"})
    elif draft.path == "mooring-design":
        draft.empty = True
    elif draft.path == "swash":
        draft.former_paths = ("fjordlab/models/shoreline",)
    elif draft.path == "battery-study":
        draft.archived = True


def quotas(plan: WorldPlan, drafts: list[Draft], kind: str) -> list[int]:
    """How many rows of `kind` each draft gets.

    The plan's number is spread over the counted drafts; the others get a small fixed number.
    """
    weights = [
        draft.weight if draft.counted and _takes(draft, kind, counted=True) else 0.0
        for draft in drafts
    ]
    counts = apportion(getattr(plan, kind), weights)
    for index, draft in enumerate(drafts):
        dark = not draft.counted or (draft.guest_only and kind in CODE_KINDS)
        if dark and plan.specials and _takes(draft, kind, counted=False):
            counts[index] = _OUTSIDE_QUOTA[kind]
    return counts


def _takes(draft: Draft, kind: str, *, counted: bool) -> bool:
    if counted and draft.guest_only and kind in CODE_KINDS:
        return False
    if draft.empty and kind in CODE_KINDS:
        return False
    return _FEATURE_OF.get(kind, kind) not in draft.disabled


def finished(draft: Draft) -> Project:
    """The draft as a project of the world."""
    namespace = draft.group.full_name if draft.group else draft.owner.name if draft.owner else ""
    name = draft.path.replace("-", " ").capitalize()
    last = max((event.created_at for event in draft.events), default=instant_text(draft.born_ms))
    creator = draft.owner or draft.team[0]
    return Project(
        id=draft.id,
        namespace_id=draft.group.id if draft.group else FIRST_USER_NAMESPACE_ID + creator.id,
        path=draft.path,
        full_path=draft.full_path,
        name=name,
        name_with_namespace=f"{namespace} / {name}",
        description=f"{name} of {namespace.split(' / ')[0]}.",
        visibility=draft.visibility,
        created_at=instant_text(draft.born_ms),
        updated_at=last,
        last_activity_at=last,
        creator=creator,
        owner=draft.owner,
        default_branch=None if draft.empty else "main",
        archived=draft.archived,
        empty_repo=draft.empty,
        former_paths=draft.former_paths,
        topics=tuple(sorted({draft.full_path.split("/")[0], "sensing"})),
        features={name: "disabled" if name in draft.disabled else "enabled" for name in FEATURES},
        has_readme=not draft.empty,
        members=draft.members,
        labels=draft.labels,
        milestones=draft.milestones,
        issues=tuple(draft.issues),
        merge_requests=tuple(draft.merge_requests),
        commits=draft.commits,
        branches=draft.branches,
        tags=draft.tags,
        pipelines=tuple(draft.pipelines),
        jobs=tuple(draft.jobs),
        releases=draft.releases,
        events=draft.events,
        environments=draft.environments,
        deployments=draft.deployments,
        languages=draft.languages,
        statistics=draft.statistics,
    )
