"""Pipelines and CI jobs of a generated world, with one project whose tests are flaky.

Entered by `world.generate`, after the history.
"""

import random

import msgspec

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
    names, retried_at = _job_names(draft, count, rng)
    jobs = []
    for turn, (part, name) in enumerate(names[:count]):
        start = min(ms + (8 + turn * 30) * 1000, stage.rhythm.end_ms)
        job = Job(
            id=stage.ids.take("job"),
            pipeline=pipeline,
            name=name,
            stage=part,
            status=_job_status(pipeline.status, turn, count, retried_at),
            created_at=pipeline.created_at,
            user=pipeline.user,
            commit=commit,
            started_at=instant_text(start),
            allow_failure=name == "lint",
            coverage=pipeline.coverage if name == "unit" else None,
            retried=turn == retried_at,
            tags=("bench",) if name.startswith(_FLAKY_JOB) else (),
        )
        jobs.append(_timed(job, start, stage, rng))
    return jobs


def _job_names(
    draft: Draft, count: int, rng: random.Random
) -> tuple[list[tuple[str, str]], int | None]:
    """Stage and name of each job, and which of them was retried (the one after it is the retry)."""
    names = list(_JOBS[:count])
    while len(names) < count:
        names.append(("test", f"{_FLAKY_JOB} {len(names) - len(_JOBS) + 2}/9"))
    if draft.path == FLAKY and count > 2 and rng.random() < 0.6:
        names[1] = names[2] = ("test", _FLAKY_JOB)
        return names, 1
    return names, None


def _job_status(outcome: str, turn: int, count: int, retried_at: int | None) -> str:
    if turn == retried_at:
        return "failed"
    last = turn == count - 1
    return outcome if last and outcome in ("failed", "canceled", "running") else "success"


def _timed(job: Job, start: int, stage: Stage, rng: random.Random) -> Job:
    """The job with its durations (seconds), end and reason of failure."""
    duration = round(rng.random() * 300 + 4, 6)
    ended = job.status != "running"
    end = min(start + int(duration * 1000), stage.rhythm.end_ms)
    return msgspec.structs.replace(
        job,
        finished_at=instant_text(end) if ended else None,
        duration=duration if ended else None,
        queued_duration=round(rng.random() * 8, 6),
        failure_reason="script_failure" if job.status == "failed" else None,
    )
