"""What a generated world shall hold: the presets and their sizes.

Entered by `world.generate` and by whoever offers worlds to a user (`presets.build_world`).
"""

from dataclasses import dataclass, fields, replace

from labtrawl.sandbox.instants import instant_ms

DEFAULT_END = "2026-11-20T18:00:00Z"


class UnknownWorld(ValueError):
    """No preset has this name, or a size is none of the plan's."""


@dataclass(frozen=True, slots=True)
class WorldPlan:
    """Sizes count what the main account may read; a size of 0 leaves the kind out.

    `traces`: issues and merge requests have emoji, reviews, versions, and events of what happened
    to them.
    """

    name: str = "default"
    seed: int = 1
    groups: int = 12
    projects: int = 60
    users: int = 42
    issues: int = 2_400
    merge_requests: int = 1_200
    notes: int = 8_500
    commits: int = 6_000
    pipelines: int = 2_200
    ci_jobs: int = 5_500
    events: int = 3_000
    milestones: int = 90
    releases: int = 60
    branches: int = 190
    environments: int = 120
    deployments: int = 1_500
    timelogs: int = 1_200
    links: int = 200
    accounts: int = 3
    same_scope: bool = False
    specials: bool = True
    traces: bool = True
    months: int = 27
    ends_at: str = DEFAULT_END

    def __post_init__(self) -> None:
        instant_ms(self.ends_at)
        for name in SIZES:
            if getattr(self, name) < (1 if name in _AT_LEAST_ONE else 0):
                raise UnknownWorld(f"size {name} is too small: {getattr(self, name)}")


_AT_LEAST_ONE = ("groups", "projects", "users", "accounts", "months")
SIZES = tuple(f.name for f in fields(WorldPlan) if f.type in (int, "int") and f.name != "seed")

PRESETS = {
    "default": WorldPlan(),
    "small": WorldPlan(
        name="small",
        groups=1,
        projects=4,
        users=8,
        issues=600,
        merge_requests=0,
        notes=0,
        commits=20,
        pipelines=0,
        ci_jobs=0,
        events=8,
        milestones=4,
        releases=0,
        branches=4,
        environments=0,
        deployments=0,
        timelogs=0,
        links=0,
        accounts=1,
        specials=False,
        months=12,
    ),
    "shared": WorldPlan(
        name="shared",
        groups=3,
        projects=20,
        users=14,
        issues=500,
        merge_requests=200,
        notes=800,
        commits=600,
        pipelines=150,
        ci_jobs=400,
        events=200,
        milestones=20,
        releases=10,
        branches=40,
        environments=30,
        deployments=200,
        timelogs=150,
        links=40,
        accounts=3,
        same_scope=True,
        specials=False,
        months=12,
    ),
}


def plan_for(preset: str, seed: int, sizes: dict[str, int]) -> WorldPlan:
    """The preset with another seed and sizes. Raises UnknownWorld with one clear sentence."""
    if preset not in PRESETS:
        raise UnknownWorld(f"no such world: {preset}; there are: {', '.join(PRESETS)}")
    return sized(PRESETS[preset], seed, sizes)


def sized(plan: WorldPlan, seed: int, sizes: dict[str, int]) -> WorldPlan:
    """The plan with another seed and sizes. Raises UnknownWorld with one clear sentence."""
    for name in sizes:
        if name not in SIZES:
            raise UnknownWorld(f"no such size: {name}; there are: {', '.join(SIZES)}")
    return replace(plan, seed=seed, **sizes)  # type: ignore[arg-type]
