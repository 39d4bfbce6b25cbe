"""Generated worlds: the same for the same seed, as large as asked, and believable."""

from collections import Counter
from typing import cast

import pytest

from labtrawl.sandbox import PRESETS as KNOWN
from labtrawl.sandbox import UnknownWorld, World, build_world, generate, truth
from labtrawl.sandbox.instants import instant_ms
from labtrawl.sandbox.plan import PRESETS, plan_for


@pytest.fixture(scope="module")
def default() -> World:
    return build_world("default")


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_same_seed_gives_the_same_world(preset: str) -> None:
    assert build_world(preset, 7, {"issues": 60}) == build_world(preset, 7, {"issues": 60})


def test_other_seed_gives_another_world() -> None:
    assert build_world("small", 1) != build_world("small", 2)


def test_default_world_holds_what_its_plan_says(default: World) -> None:
    plan, counts = PRESETS["default"], truth(default).counts()
    exact = (
        *("issues", "merge_requests", "commits", "pipelines", "ci_jobs"),
        *("environments", "deployments", "timelogs"),
    )
    assert {name: counts[name] for name in exact} == {name: getattr(plan, name) for name in exact}
    assert 50_000 < counts["total"] < 60_000


def test_notes_of_default_world_are_those_of_its_plan(default: World) -> None:
    found = truth(default)
    notes = [
        note["id"]
        for _, _, resource, _, body in found.items()
        if resource.endswith("_discussions")
        for note in cast("list[dict[str, int]]", body["notes"])
    ]
    assert len(notes) == len(set(notes)) == PRESETS["default"].notes


def test_small_world_holds_about_3000_records_in_4_projects() -> None:
    counts = truth(build_world("small")).counts()
    assert (counts["project"], counts["issues"]) == (4, 600)
    assert 2_500 < counts["total"] < 3_500


def test_sizes_are_adjustable() -> None:
    counts = truth(build_world("small", 1, {"projects": 2, "issues": 30})).counts()
    assert (counts["project"], counts["issues"]) == (2, 30)


@pytest.mark.parametrize("size", [{"issues": -1}, {"projects": 0}, {"whales": 3}])
def test_wrong_size_is_refused_in_one_sentence(size: dict[str, int]) -> None:
    with pytest.raises(UnknownWorld, match=next(iter(size))):
        build_world("small", 1, size)


def test_unknown_world_names_the_known_ones() -> None:
    with pytest.raises(UnknownWorld) as caught:
        build_world("moon")
    known = ", ".join(KNOWN)
    assert str(caught.value) == f"no such world: moon; there are: {known}"
    assert set(PRESETS) < set(KNOWN)


def test_ids_are_unique_by_kind_over_the_instance(default: World) -> None:
    kinds: dict[str, list[int]] = {
        "group": [g.id for g in default.groups],
        "project": [p.id for p in default.projects],
        "user": [u.id for u in default.users],
        "issue": [i.id for p in default.projects for i in p.issues],
        "merge_request": [r.id for p in default.projects for r in p.merge_requests],
        "note": [
            note.id
            for project in default.projects
            for notes in (
                *(issue.notes for issue in project.issues),
                *(request.notes for request in project.merge_requests),
            )
            for note in notes
        ],
        "pipeline": [x.id for p in default.projects for x in p.pipelines],
        "job": [x.id for p in default.projects for x in p.jobs],
        "event": [x.id for p in default.projects for x in p.events],
        "label": [
            *(label.id for project in default.projects for label in project.labels),
            *(label.id for group in default.groups for label in group.labels),
        ],
        "milestone": [
            *(found.id for project in default.projects for found in project.milestones),
            *(found.id for group in default.groups for found in group.milestones),
        ],
    }
    assert {kind: len(ids) - len(set(ids)) for kind, ids in kinds.items()} == dict.fromkeys(
        kinds, 0
    )


def test_iids_count_up_within_each_project(default: World) -> None:
    for project in default.projects:
        assert [issue.iid for issue in project.issues] == [*range(1, len(project.issues) + 1)]


def test_nothing_happens_after_the_end_of_the_world(default: World) -> None:
    last = max(
        text
        for project in default.projects
        for text in (
            *(issue.updated_at for issue in project.issues),
            *(request.updated_at for request in project.merge_requests),
            *(pipeline.updated_at for pipeline in project.pipelines),
            *(commit.committed_date for commit in project.commits),
            *(event.created_at for event in project.events),
        )
    )
    assert instant_ms(last) <= instant_ms(default.ends_at)


def test_commits_follow_weekdays_and_a_release_crunch(default: World) -> None:
    days = Counter(
        instant_ms(commit.committed_date) // 86_400_000
        for project in default.projects
        for commit in project.commits
    )
    weekend = sum(count for day, count in days.items() if (day + 3) % 7 >= 5)
    release = instant_ms("2026-11-12T18:00:00Z") // 86_400_000
    crunch = sum(days[day] for day in range(release - 8, release + 1)) / 9
    assert weekend / days.total() < 0.08
    assert crunch > 2 * days.total() / len(days)


def test_flaky_project_has_failed_and_retried_jobs(default: World) -> None:
    flaky = next(p for p in default.projects if p.path == "wave-buoy-firmware")
    failed = sum(pipeline.status == "failed" for pipeline in flaky.pipelines)
    assert failed / len(flaky.pipelines) > 0.3
    assert any(job.retried for job in flaky.jobs)


def test_hostile_and_long_texts_are_there(default: World) -> None:
    texts = [i.description or "" for p in default.projects for i in p.issues]
    bodies = [n.body for p in default.projects for i in p.issues for n in i.notes]
    assert max(len(text) for text in texts) == 10_000
    assert any("<script>" in text for text in texts + bodies)
    assert any("\u202e" in text for text in texts + bodies)


def test_every_commit_has_known_parents(default: World) -> None:
    for project in default.projects:
        known = {commit.sha for commit in project.commits}
        assert {parent for commit in project.commits for parent in commit.parents} <= known


def test_end_of_the_world_is_part_of_the_plan() -> None:
    plan = plan_for("small", 1, {"issues": 5})
    assert generate(plan).ends_at == "2026-11-20T18:00:00Z"


def test_merge_requests_end_as_their_last_note_says(default: World) -> None:
    endings = {
        (request.state, request.notes[-1].body)
        for project in default.projects
        for request in project.merge_requests
        if request.state != "opened" and request.notes and request.notes[-1].system
        and request.notes[-1].created_at in (request.merged_at, request.closed_at)
    }  # fmt: skip
    assert endings == {("merged", "merged"), ("closed", "closed")}


def test_merged_requests_have_merge_commits_of_their_branch(default: World) -> None:
    project = max(default.projects, key=lambda p: len(p.commits))
    titles = {commit.sha: commit.title for commit in project.commits}
    named = [
        titles[request.merge_commit_sha or ""]
        == f"Merge branch '{request.source_branch}' into 'main'"
        for request in project.merge_requests
        if request.state == "merged"
    ]
    assert sum(named) / len(named) > 0.5


KINDS = (
    *("issues", "merge_requests", "notes", "commits", "pipelines", "ci_jobs", "events"),
    *("milestones", "releases", "branches", "environments", "deployments", "timelogs", "links"),
)
ZERO = dict.fromkeys(KINDS, 0)


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize(
    "sizes",
    [
        ZERO,
        {"users": 1, "accounts": 1},
        {"groups": 1},
        {"groups": 2, "projects": 1},
        {"groups": 20, "projects": 90},
        {"months": 1},
        {"accounts": 5},
        {"commits": 1},
        ZERO | {"commits": 3, "releases": 4},
    ],
)
def test_odd_sizes_still_make_a_world(preset: str, sizes: dict[str, int]) -> None:
    few = {"issues": 40, "merge_requests": 20, "notes": 60, "commits": 90, "pipelines": 30}
    world = build_world(preset, 1, few | {"ci_jobs": 60, "events": 50} | sizes)
    assert all(truth(world, account.username).counts()["total"] for account in world.accounts)
