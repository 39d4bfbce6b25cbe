"""One project of an export tree: its files, in the order in which they refer to each other.

Entered by `import_trees`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from labtrawl.sandbox.imports import code, labels, planning
from labtrawl.sandbox.imports.labels import Place
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
    Statistics,
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


@dataclass(frozen=True, slots=True)
class Threads:
    """Issues and merge requests of a tree, with the records they came from."""

    issues: list[Issue]
    requests: list[MergeRequest]
    issue_rows: list[Record]
    request_rows: list[Record]

    def born_at(self) -> str:
        """When the first of them was made."""
        return min((item.created_at for item in self._all()), default=_BORN)

    def changed_at(self) -> str:
        """When the last of them was changed."""
        return max((item.updated_at for item in self._all()), default=_BORN)

    def _all(self) -> list[Issue | MergeRequest]:
        return [*self.issues, *self.requests]


def import_project(register: Register, tree: Path, home: Group, path: str) -> tuple[Project, Place]:
    """The project of a tree, below the group `home`; and what it says of that group."""
    row = read_object(tree / "project.json")
    folder = tree / "project"
    number = register.number("project", row.optional_number("id"), f"project {path}")
    register.invent(f"path {path} of project {number}", "trees hold no path")
    register.invent(f"creation date of project {path}", "trees hold none")
    place = Place(home.id, number)
    threads = _threads(register, place, folder)
    name = row.optional_text("name") or path.replace("-", " ").capitalize()
    bare = Project(
        id=number,
        namespace_id=home.id,
        path=path,
        full_path=f"{home.full_path}/{path}",
        name=name,
        name_with_namespace=f"{home.full_name} / {name}",
        description=row.optional_text("description"),
        visibility=visibility(row, register, path),
        created_at=threads.born_at(),
        updated_at=threads.changed_at(),
        last_activity_at=threads.changed_at(),
        creator=register.user(row.optional_number("creator_id")),
        archived=row.is_set("archived"),
        features=_features(folder),
        has_readme=False,
    )
    planned = _with_planning(register, bare, place, threads, folder)
    return _with_code(register, planned, place, threads, folder), place


def _threads(register: Register, place: Place, folder: Path) -> Threads:
    register.keep(read_lines(folder, "labels"), lambda r: labels.add_label(register, place, r))
    register.keep(
        read_lines(folder, "milestones"), lambda r: labels.add_milestone(register, place, r)
    )
    issue_rows = list(read_lines(folder, "issues"))
    request_rows = list(read_lines(folder, "merge_requests"))
    return Threads(
        issues=register.keep(issue_rows, lambda r: planning.to_issue(register, place, r)),
        requests=register.keep(request_rows, lambda r: code.to_merge_request(register, place, r)),
        issue_rows=issue_rows,
        request_rows=request_rows,
    )


def _with_planning(
    register: Register, bare: Project, place: Place, threads: Threads, folder: Path
) -> Project:
    members = planning.to_members(register, list(read_lines(folder, "project_members")))
    return msgspec.structs.replace(
        bare,
        members=tuple(members),
        labels=tuple(place.labels.values()),
        milestones=place.own_milestones(of_group=False),
        issues=tuple(sorted(threads.issues, key=lambda issue: issue.id)),
        merge_requests=tuple(sorted(threads.requests, key=lambda request: request.id)),
        events=tuple(_events(register, threads)),
    )


def _with_code(
    register: Register, planned: Project, place: Place, threads: Threads, folder: Path
) -> Project:
    path = planned.path
    commits = code.to_commits(register, threads.request_rows, planned.created_at, path)
    by_sha = {commit.sha: commit for commit in commits}
    releases = register.keep(
        read_lines(folder, "releases"), lambda r: code.to_release(register, place, by_sha, r)
    )
    pipelines, jobs = _builds(register, folder, by_sha)
    code.add_comments(register, by_sha, _comments(folder))
    commits = sorted(by_sha.values(), key=lambda commit: (commit.committed_date, commit.sha))
    return msgspec.structs.replace(
        planned,
        commits=tuple(commits),
        branches=tuple(code.to_branches(register, threads.requests, commits, path)),
        tags=tuple(code.to_tag(register, release, commits[-1]) for release in releases),
        pipelines=tuple(pipelines),
        jobs=tuple(jobs),
        releases=tuple(releases),
        merge_requests=_with_pipelines(planned.merge_requests, pipelines, folder),
        statistics=Statistics(commit_count=len(commits)),
    )


def _comments(folder: Path) -> list[Record]:
    """Notes on commits, from the two places where trees hold them."""
    nested = [note for row in read_lines(folder, "ci_pipelines") for note in row.many("notes")]
    return [*nested, *read_lines(folder, "commit_notes")]


def _with_pipelines(
    requests: tuple[MergeRequest, ...], pipelines: list[Pipeline], folder: Path
) -> tuple[MergeRequest, ...]:
    """The merge requests with the pipelines that name them, the newest first."""
    known = {pipeline.id for pipeline in pipelines}
    found: dict[object, list[int]] = {}
    for row in read_lines(folder, "ci_pipelines"):
        number = row.fields.get("id")
        if row.fields.get("merge_request_id") is not None and number in known:
            found.setdefault(row.fields["merge_request_id"], []).insert(0, number)
    return tuple(
        msgspec.structs.replace(request, pipelines=tuple(found.get(request.id, ())))
        for request in requests
    )


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
        to_pipeline = partial(code.to_pipeline, register, len(pipelines) + 1)
        for pipeline in register.keep([row], to_pipeline):
            pipelines.append(pipeline)
            for stage, record in code.job_records(row):
                to_job = partial(code.to_job, register, pipeline, stage, commits)
                jobs += register.keep([record], to_job)
    return pipelines, jobs


def _events(register: Register, threads: Threads) -> list[Event]:
    targets: _Targets = {("Issue", i.id): (i.id, i.iid, i.title) for i in threads.issues}
    targets |= {("MergeRequest", r.id): (r.id, r.iid, r.title) for r in threads.requests}
    told: dict[object, Record] = {}
    for row in (*threads.issue_rows, *threads.request_rows):
        for source in (row, *row.many("notes"), *(m for m in [row.one("milestone")] if m)):
            for event in source.many("events"):
                told.setdefault(event.fields.get("id"), event)
    events = register.keep(told.values(), lambda r: code.to_event(register, targets, r))
    return sorted(events, key=lambda event: event.id)
