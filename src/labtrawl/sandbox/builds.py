"""Pipelines and CI jobs of a generated world, with one project whose tests are flaky.

Entered by `world.generate`, after the history.
"""

import random

from labtrawl.sandbox import vocabulary as words
from labtrawl.sandbox.estate import Draft, quotas
from labtrawl.sandbox.history import Line
from labtrawl.sandbox.instants import instant_text
from labtrawl.sandbox.model import Commit, Job, Pipeline
from labtrawl.sandbox.rhythm import apportion
from labtrawl.sandbox.stage import Stage

FLAKY = "wave-buoy-firmware"
_SOURCES = ("push", "push", "push", "merge_request_event", "merge_request_event", "schedule", "web")
_JOBS = tuple((stage, name) for stage, names in words.STAGES for name in names)
_FLAKY_JOB = "hardware-in-loop"


def write_builds(drafts: list[Draft], lines: dict[int, Line], stage: Stage) -> None:
    """Fill pipelines and jobs, in the order of time so that ids rise with it."""
    rng = stage.chance("builds")
    quota = zip(
        drafts,
        quotas(stage.plan, drafts, "pipelines"),
        quotas(stage.plan, drafts, "ci_jobs"),
        strict=True,
    )
    slots: list[tuple[int, int, int, Draft]] = []
    for index, (draft, pipelines, jobs) in enumerate(quota):
        if pipelines and draft.id in lines:
            shares = apportion(jobs, [0.6 + rng.random() for _ in range(pipelines)])
            slots += [
                (stage.rhythm.draw(rng, draft.born_ms), index, share, draft) for share in shares
            ]
    slots.sort(key=lambda slot: slot[:3])
    for ms, _, share, draft in slots:
        commit = lines[draft.id].at(ms)
        pipeline = _pipeline(draft, commit, ms, stage, rng)
        draft.pipelines.append(pipeline)
        draft.jobs += _jobs(draft, pipeline, commit, ms, share, stage, rng)


def _outcome(draft: Draft, ms: int, stage: Stage, rng: random.Random) -> str:
    if ms > stage.rhythm.end_ms - 3_600_000:
        return "running"
    dice = rng.random()
    failing = 0.42 if draft.path == FLAKY else 0.13
    if dice < failing:
        return "failed"
    return "canceled" if dice < failing + 0.04 else "success"


def _pipeline(draft: Draft, commit: Commit, ms: int, stage: Stage, rng: random.Random) -> Pipeline:
    status = _outcome(draft, ms, stage, rng)
    source = rng.choice(_SOURCES)
    iid = len(draft.pipelines) + 1
    duration = rng.randint(40, 1500)
    done = status != "running"
    end = min(ms + (duration + 7) * 1000, stage.rhythm.end_ms)
    ref = "main"
    if source == "merge_request_event" and draft.merge_requests:
        ref = f"refs/merge-requests/{rng.randint(1, len(draft.merge_requests))}/head"
    elif source == "push" and rng.random() < 0.4:
        ref = rng.choice(draft.branches).name
    return Pipeline(
        id=stage.ids.take("pipeline"),
        iid=iid,
        sha=commit.sha,
        ref=ref,
        status=status,
        source=source,
        created_at=instant_text(ms),
        updated_at=instant_text(end),
        user=rng.choice(draft.team),
        before_sha=commit.parents[0] if commit.parents else "0" * 40,
        started_at=instant_text(ms + 7000),
        finished_at=instant_text(end) if done else None,
        duration=duration if done else None,
        queued_duration=7,
        coverage=round(60 + rng.random() * 35, 2) if status == "success" else None,
        name="Nightly" if source == "schedule" else None,
    )


def _jobs(
    draft: Draft,
    pipeline: Pipeline,
    commit: Commit,
    ms: int,
    count: int,
    stage: Stage,
    rng: random.Random,
) -> list[Job]:
    """`count` jobs of a pipeline; on the flaky project some were retried after a failure."""
    names = list(_JOBS[: max(count, 1)]) if count <= len(_JOBS) else [*_JOBS]
    while len(names) < count:
        names.append(("test", f"{_FLAKY_JOB} {len(names) - len(_JOBS) + 2}/9"))
    retried_at = None
    if draft.path == FLAKY and count > 2 and rng.random() < 0.6:
        names[2] = ("test", _FLAKY_JOB)
        names[1] = ("test", _FLAKY_JOB)
        retried_at = 1
    jobs = []
    for turn, (part, name) in enumerate(names[:count]):
        start = min(ms + (8 + turn * 30) * 1000, stage.rhythm.end_ms)
        status = _job_status(pipeline.status, turn, count, retried_at)
        jobs.append(
            _job(pipeline, commit, part, name, status, start, turn == retried_at, stage, rng)
        )
    return jobs


def _job_status(outcome: str, turn: int, count: int, retried_at: int | None) -> str:
    if turn == retried_at:
        return "failed"
    last = turn == count - 1
    if outcome in ("failed", "canceled", "running") and last:
        return outcome
    return "success"


def _job(
    pipeline: Pipeline,
    commit: Commit,
    part: str,
    name: str,
    status: str,
    start: int,
    retried: bool,
    stage: Stage,
    rng: random.Random,
) -> Job:
    duration = round(rng.random() * 300 + 4, 6)
    ended = status not in ("running",)
    end = min(start + int(duration * 1000), stage.rhythm.end_ms)
    return Job(
        id=stage.ids.take("job"),
        pipeline=pipeline,
        name=name,
        stage=part,
        status=status,
        created_at=pipeline.created_at,
        user=pipeline.user,
        commit=commit,
        started_at=instant_text(start),
        finished_at=instant_text(end) if ended else None,
        duration=duration if ended else None,
        queued_duration=round(rng.random() * 8, 6),
        allow_failure=name == "lint",
        coverage=pipeline.coverage if name == "unit" else None,
        failure_reason="script_failure" if status == "failed" else None,
        retried=retried,
        tags=("bench",) if name.startswith(_FLAKY_JOB) else (),
    )
