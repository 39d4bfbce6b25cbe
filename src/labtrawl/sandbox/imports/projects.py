"""One project of an export tree: its files, in the order in which they refer to each other.

Entered by `import_trees`.
"""

from pathlib import Path

from labtrawl.sandbox.imports import code, planning
from labtrawl.sandbox.imports.planning import Place
from labtrawl.sandbox.imports.reading import Record, read_lines, read_object
from labtrawl.sandbox.imports.register import Register
from labtrawl.sandbox.model import (
    FEATURES,
    Commit,
    Event,
    Group,
    Issue,
    Job,
    MergeRequest,
    Pipeline,
    Project,
)

_VISIBILITY = {0: "private", 10: "private", 20: "public"}
_LEVELS = {0: "disabled", 10: "private"}
_BORN = "2016-01-01T00:00:00.000Z"
_Targets = dict[tuple[str, int], tuple[int, int, str]]


def visibility(row: Record, register: Register, what: str) -> str:
    """The visibility in words. ``internal`` becomes ``private``: the sandbox knows no third."""
    level = row.optional_number("visibility_level")
    if level == 10:
        register.invent(f"visibility private of {what}", "internal places are kept private here")
    return _VISIBILITY.get(level or 0, "private")


def import_project(register: Register, tree: Path, home: Group, path: str) -> tuple[Project, Place]:
    """The project of a tree, below the group `home`; and what it says of that group."""
    row = read_object(tree / "project.json")
    folder = tree / "project"
    number = register.number("project", row.optional_number("id"), f"project {path}")
    register.invent(f"path {path} of project {number}", "trees hold no path")
    place = Place(home.id, number)
    register.keep(read_lines(folder, "labels"), lambda r: planning.add_label(register, place, r))
    register.keep(
        read_lines(folder, "milestones"), lambda r: planning.add_milestone(register, place, r)
    )
    issue_rows = list(read_lines(folder, "issues"))
    request_rows = list(read_lines(folder, "merge_requests"))
    issues = register.keep(issue_rows, lambda r: planning.to_issue(register, place, r))
    requests = register.keep(request_rows, lambda r: code.to_merge_request(register, place, r))
    threads: list[Issue | MergeRequest] = [*issues, *requests]
    born_at = min((item.created_at for item in threads), default=_BORN)
    register.invent(f"creation date of project {path}", "trees hold none")
    commits = code.to_commits(register, request_rows, born_at, path)
    by_sha = {commit.sha: commit for commit in commits}
    releases = register.keep(
        read_lines(folder, "releases"), lambda r: code.to_release(register, place, by_sha, r)
    )
    pipelines, jobs = _builds(register, folder, by_sha)
    events = _events(register, [*issue_rows, *request_rows], issues, requests)
    commits = sorted(by_sha.values(), key=lambda c: (c.committed_date, c.sha))
    last = max((item.updated_at for item in threads), default=born_at)
    name = row.optional_text("name") or path.replace("-", " ").capitalize()
    project = Project(
        id=number,
        namespace_id=home.id,
        path=path,
        full_path=f"{home.full_path}/{path}",
        name=name,
        name_with_namespace=f"{home.full_name} / {name}",
        description=row.optional_text("description"),
        visibility=visibility(row, register, path),
        created_at=born_at,
        updated_at=last,
        last_activity_at=last,
        creator=register.user(row.optional_number("creator_id")),
        archived=row.is_set("archived"),
        features=_features(folder),
        has_readme=False,
        members=tuple(planning.to_members(register, list(read_lines(folder, "project_members")))),
        labels=tuple(place.labels.values()),
        milestones=place.own_milestones(of_group=False),
        issues=tuple(sorted(issues, key=lambda issue: issue.id)),
        merge_requests=tuple(sorted(requests, key=lambda request: request.id)),
        commits=tuple(commits),
        branches=tuple(code.to_branches(register, requests, commits, path)),
        tags=tuple(code.to_tag(register, release, commits[-1]) for release in releases),
        pipelines=tuple(pipelines),
        jobs=tuple(jobs),
        releases=tuple(releases),
        events=tuple(events),
    )
    return project, place


def _features(folder: Path) -> dict[str, str]:
    levels: dict[str, str] = dict.fromkeys(FEATURES, "enabled")
    for row in read_lines(folder, "project_feature"):
        for name in FEATURES:
            level = row.fields.get(f"{name}_access_level")
            if isinstance(level, int):
                levels[name] = _LEVELS.get(level, "enabled")
    return levels


def _builds(
    register: Register, folder: Path, commits: dict[str, Commit]
) -> tuple[list[Pipeline], list[Job]]:
    pipelines: list[Pipeline] = []
    jobs: list[Job] = []
    for row in read_lines(folder, "ci_pipelines"):
        turn = len(pipelines) + 1
        made = register.keep([row], lambda r, turn=turn: code.to_pipeline(register, turn, r))  # type: ignore[misc]
        for pipeline in made:
            pipelines.append(pipeline)
            for stage, record in code.job_records(row):
                jobs += register.keep(
                    [record],
                    lambda r, p=pipeline, s=stage: code.to_job(register, p, s, commits, r),  # type: ignore[misc]
                )
    return pipelines, jobs


def _events(
    register: Register,
    rows: list[Record],
    issues: list[Issue],
    requests: list[MergeRequest],
) -> list[Event]:
    targets: _Targets = {("Issue", i.id): (i.id, i.iid, i.title) for i in issues}
    targets |= {("MergeRequest", r.id): (r.id, r.iid, r.title) for r in requests}
    told: dict[object, Record] = {}
    for row in rows:
        for source in (row, *row.many("notes"), *(m for m in [row.one("milestone")] if m)):
            for event in source.many("events"):
                told.setdefault(event.fields.get("id"), event)
    events = register.keep(told.values(), lambda r: code.to_event(register, targets, r))
    return sorted(events, key=lambda event: event.id)
