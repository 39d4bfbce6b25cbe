"""Where the builds of a generated world went: environments, deployments, and what a project weighs.

Entered by `world.generate`, after the builds.
"""

import random
import re
from typing import Any

from labtrawl.sandbox.estate import Draft, quotas
from labtrawl.sandbox.instants import DAY_MS, instant_ms, instant_text
from labtrawl.sandbox.model import Deployment, Environment, Statistics
from labtrawl.sandbox.stage import Stage

_PLACES = (("production", "production"), ("staging", "staging"), ("bench", "testing"))
_LANGUAGES = (
    ("C", 61.5, "Python", 30.25, "CMake", 8.25),
    ("Python", 88.9, "Jupyter Notebook", 9.6, "Dockerfile", 1.5),
    ("Fortran", 52.04, "Python", 41.6, "Shell", 6.36),
    ("TypeScript", 70.12, "HTML", 22.38, "CSS", 7.5),
    ("Rust", 97.75, "Shell", 2.25),
)
_OUTCOMES = ("success",) * 8 + ("failed", "canceled")


def write_deliveries(drafts: list[Draft], stage: Stage) -> None:
    """Fill environments and deployments, in the order of time so that ids rise with it."""
    rng = stage.chance("deliveries")
    for draft, count in zip(drafts, quotas(stage.plan, drafts, "environments"), strict=True):
        draft.environments = tuple(_environment(draft, turn, stage) for turn in range(count))
    slots: list[tuple[int, int, Draft]] = []
    counts = quotas(stage.plan, drafts, "deployments")
    for index, (draft, count) in enumerate(zip(drafts, counts, strict=True)):
        if draft.environments and draft.pipelines:
            born = [instant_ms(p.created_at) for p in draft.pipelines]
            slots += [(rng.choice(born), index, draft) for _ in range(count)]
    slots.sort(key=lambda slot: slot[:2])
    last_jobs = {job.pipeline.id: job.id for draft in drafts for job in draft.jobs}
    made: dict[int, list[Deployment]] = {}
    for ms, _, draft in slots:
        of_draft = made.setdefault(draft.id, [])
        of_draft.append(_deployment(draft, len(of_draft) + 1, ms, last_jobs, stage, rng))
    for draft in drafts:
        draft.deployments = tuple(made.get(draft.id, ()))
        _weigh(draft)


def _environment(draft: Draft, turn: int, stage: Stage) -> Environment:
    name, tier = _PLACES[turn] if turn < len(_PLACES) else _review_place(draft, turn)
    slug = re.sub(r"[^a-z0-9]+", "-", name)[:24].strip("-")
    created = draft.born_ms + (turn + 1) * DAY_MS
    stopped = tier == "development" and turn % 2 == 0
    ended = min(created + 20 * DAY_MS, stage.rhythm.end_ms)
    at = instant_text(min(created, stage.rhythm.end_ms))
    return Environment(
        id=stage.ids.take("environment"),
        name=name,
        slug=slug,
        created_at=at,
        updated_at=instant_text(ended) if stopped else at,
        state="stopped" if stopped else "available",
        tier=tier,
        external_url=f"https://{slug}.{draft.path}.fjordlab.example" if turn != 2 else None,
        auto_stop_at=None,
    )


def _review_place(draft: Draft, turn: int) -> tuple[str, str]:
    branches = [branch.name for branch in draft.branches] or ["main"]
    return f"review/{turn}-{branches[turn % len(branches)]}", "development"


def _deployment(
    draft: Draft, iid: int, ms: int, jobs: dict[int, int], stage: Stage, rng: random.Random
) -> Deployment:
    pipeline = rng.choice(draft.pipelines)
    status = rng.choice(_OUTCOMES)
    end = min(ms + 90_000, stage.rhythm.end_ms)
    at: dict[str, Any] = {"created_at": instant_text(ms), "updated_at": instant_text(end)}
    return Deployment(
        id=stage.ids.take("deployment"),
        iid=iid,
        ref=pipeline.ref,
        sha=pipeline.sha,
        status=status,
        environment=draft.environments[rng.randrange(len(draft.environments))],
        user=pipeline.user,
        job_id=jobs.get(pipeline.id),
        tag=pipeline.tag,
        finished_at=instant_text(end) if status == "success" else None,
        **at,
    )


def _weigh(draft: Draft) -> None:
    """Languages and sizes of the project."""
    if draft.empty:
        return
    row = _LANGUAGES[draft.id % len(_LANGUAGES)]
    names, shares = row[::2], row[1::2]
    draft.languages = {str(n): float(share) for n, share in zip(names, shares, strict=True)}
    draft.statistics = Statistics(
        commit_count=len(draft.commits),
        repository_size=21_000 * len(draft.commits),
        wiki_size=4096 * (draft.id % 5),
        job_artifacts_size=1_700 * len(draft.jobs),
        uploads_size=800 * len(draft.issues),
    )
