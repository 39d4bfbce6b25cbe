"""Generated worlds: `generate` turns a plan into a world, the same one for the same seed.

Entered by whoever needs a look-alike GitLab: the command line, tests and benchmarks.
"""

import msgspec

from labtrawl.sandbox import (
    activity,
    builds,
    cast,
    deliveries,
    estate,
    history,
    planning,
    reviews,
    traces,
)
from labtrawl.sandbox.instants import DAY_MS, instant_ms
from labtrawl.sandbox.model import Group, World
from labtrawl.sandbox.plan import WorldPlan
from labtrawl.sandbox.rhythm import Rhythm
from labtrawl.sandbox.stage import Ids, Stage

_RELEASES_BEFORE_END_DAYS = (8, 120, 260, 420, 600)


def generate(plan: WorldPlan) -> World:
    """The world of the plan. Deterministic: no clock is read, chance comes from the seed."""
    end_ms = instant_ms(plan.ends_at)
    start_ms = end_ms - plan.months * 30 * DAY_MS
    stage = _stage(plan, start_ms, end_ms)
    people = cast.make_people(plan, start_ms)
    groups = cast.make_groups(plan, people, start_ms, stage.chance("groups"))
    drafts = estate.make_drafts(plan, groups, people, (start_ms, end_ms), stage.chance("projects"))
    group_labels = planning.label_drafts(drafts, groups, stage)
    group_milestones = planning.milestone_drafts(drafts, groups, stage)
    _fill(drafts, stage)
    accounts, spoilt = cast.make_accounts(plan, people)
    return World(
        name=plan.name,
        seed=plan.seed,
        ends_at=plan.ends_at,
        users=people,
        groups=tuple(
            _with(group, labels=group_labels[path], milestones=group_milestones[path])
            for path, group in groups.items()
        ),
        projects=tuple(estate.finished(draft) for draft in drafts),
        accounts=accounts,
        spoilt_tokens=spoilt,
    )


def _stage(plan: WorldPlan, start_ms: int, end_ms: int) -> Stage:
    releases = tuple(
        end_ms - days * DAY_MS
        for days in _RELEASES_BEFORE_END_DAYS
        if end_ms - days * DAY_MS > start_ms
    )
    return Stage(plan, Rhythm(start_ms, end_ms, releases), Ids(), releases)


def _fill(drafts: list[estate.Draft], stage: Stage) -> None:
    issues = planning.open_threads(drafts, "issues", planning.CLOSED_SHARE, stage)
    requests = planning.open_threads(drafts, "merge_requests", history.ENDED_SHARE, stage)
    kinds = ["issue"] * len(issues) + ["merge_request"] * len(requests)
    planning.write_notes([*issues, *requests], kinds, stage)
    planning.write_issues(issues, stage)
    lines = history.write_history(drafts, requests, stage)
    history.write_merge_requests(requests, lines, stage)
    history.write_tags(drafts, lines, stage)
    builds.write_builds(drafts, lines, stage)
    if stage.plan.traces:
        reviews.write_reviews(drafts, lines, stage)
        traces.write_traces(drafts, stage)
    deliveries.write_deliveries(drafts, stage)
    activity.write_releases(drafts, stage)
    activity.write_events(drafts, stage)


def _with(group: Group, **changes: object) -> Group:
    return msgspec.structs.replace(group, **changes)
