"""Every answer has GitLab 19.3's fields and types, and no others."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from labtrawl.gitlab.catalog import RESOURCES
from labtrawl.sandbox import World, build_world, import_trees, running, truth
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.openapi import OpenApi

pytestmark = [pytest.mark.truth, pytest.mark.long]

LISTS = {
    "group/group": "groups/{id}",
    "group/members": "groups/{id}/members",
    "group/inherited_members": "groups/{id}/members/all",
    "group/labels": "groups/{id}/labels",
    "group/milestones": "groups/{id}/milestones",
    "project/project": "projects/{id}",
    "project/members": "projects/{id}/members",
    "project/inherited_members": "projects/{id}/members/all",
    "project/labels": "projects/{id}/labels",
    "project/milestones": "projects/{id}/milestones",
    "project/issues": "projects/{id}/issues",
    "project/merge_requests": "projects/{id}/merge_requests",
    "project/commits": "projects/{id}/repository/commits",
    "project/branches": "projects/{id}/repository/branches",
    "project/tags": "projects/{id}/repository/tags",
    "project/pipelines": "projects/{id}/pipelines",
    "project/ci_jobs": "projects/{id}/jobs",
    "project/releases": "projects/{id}/releases",
    "project/events": "projects/{id}/events",
    "project/environments": "projects/{id}/environments",
    "project/deployments": "projects/{id}/deployments",
    "project/issue_links": "projects/{id}/issues/{issue_iid}/links",
    "project/commit_discussions": "projects/{id}/repository/commits/{noteable_id}/discussions",
    **{
        f"project/merge_request_{name}": f"projects/{{id}}/merge_requests/{{merge_request_iid}}/{name}"
        for name in ("approvals", "reviewers", "versions", "commits", "pipelines")
    },
    **{
        f"project/{item}_{name}": f"projects/{{id}}/{item}s/{{{place}}}/{path}"
        for item in ("issue", "merge_request")
        for name, place, path in (
            ("discussions", "noteable_id", "discussions"),
            ("award_emoji", f"{item}_iid", "award_emoji"),
            ("label_events", "eventable_id", "resource_label_events"),
            ("state_events", "eventable_id", "resource_state_events"),
            ("milestone_events", "eventable_id", "resource_milestone_events"),
        )
    },
}
# What the document does not describe: its `languages` is an object without properties, and REST
# has no working times at all (GraphQL's Project.timelogs).
NOT_DESCRIBED = {"project/languages", "project/timelogs"}
# Where the document is wrong. doc/api/commits.md "List repository commits": `with_stats` adds
# `stats`, which the document knows of single commits alone; doc/api/merge_request_approvals.md: an
# Enterprise Edition tells of the merge request itself, which the document, of the other, leaves out.
OF_ENTERPRISE = (
    *("id", "iid", "project_id", "title", "state", "created_at", "updated_at"),
    *("approvals_required", "approvals_left"),
)
KNOWN_FAULTS = {
    "project/commits": {"$.stats is unknown"},
    "project/merge_request_approvals": {f"$.{name} is unknown" for name in OF_ENTERPRISE},
}
# The document says date-time; GitLab writes the day alone (doc/api/personal_access_tokens.md,
# doc/api/users.md).
DAYS = ("$.expires_at is no date-time", "$.last_activity_on is no date-time")
STRICT = {
    "commits": "commit/with_stats",
    "merge_request_commits": "commit/basic",
    "pipelines": "pipeline/basic",
    "merge_request_pipelines": "pipeline/basic",
    "environments": "environment",
    "issues": "issue",
    "issue_links": "related_issues",
    "merge_requests": "merge_request",
    "members": "members",
    "issue_discussions": "notes",
}
# These describe whole lists.
OF_LISTS = ("members", "notes", "related_issues")
# Two schemas name their parts from the root of GitLab's repository.
FROM_ROOT = "/spec/fixtures/api/schemas/"


@pytest.fixture(scope="module")
def real() -> Path:
    root = Path(__file__).resolve().parents[3]
    folder = root / os.environ.get("GITLAB_TRUTH", "../shared/gitlab-truth")
    if not folder.is_dir():
        pytest.skip(f"no GitLab truth in {folder}: the OpenAPI document of GitLab is not here")
    return folder


@pytest.fixture(scope="module")
def openapi(real: Path) -> OpenApi:
    return OpenApi(real / "openapi" / "gitlab-19.3-openapi_v3.yaml")


def faults_of(world: World, openapi: OpenApi) -> list[str]:
    """Faults of all rows, without those that are the document's own."""
    return [
        f"{kind}/{resource} {natural}: {fault}"
        for kind, _, resource, natural, body in truth(world, commit_discussions=True).items()
        if f"{kind}/{resource}" not in NOT_DESCRIBED
        for fault in openapi.faults(body, openapi.answer_schema(LISTS[f"{kind}/{resource}"]))
        if fault not in KNOWN_FAULTS.get(f"{kind}/{resource}", set())
    ]


def test_all_rows_of_default_world_have_gitlabs_fields(openapi: OpenApi) -> None:
    assert faults_of(build_world("default"), openapi) == []


def test_all_rows_of_imported_trees_have_gitlabs_fields(openapi: OpenApi, real: Path) -> None:
    trees = real / "export-trees"
    names = ("complex", "group_exports/complex", "light", "group")
    assert faults_of(import_trees([trees / name for name in names]), openapi) == []


def test_every_resource_of_the_catalog_is_checked() -> None:
    collected = {f"{resource.area_kind}/{resource.name}" for resource in RESOURCES}
    # Lists of groups that tell what changed; asked below with the single answers.
    watches = {f"group/{resource.name}" for resource in RESOURCES if resource.watches}
    assert collected - watches == set(LISTS) | NOT_DESCRIBED


def test_faults_of_the_document_are_still_there(openapi: OpenApi) -> None:
    bodies = {f"{kind}/{name}": body for kind, _, name, _, body in truth(build_world()).items()}
    assert {
        name: set(openapi.faults(bodies[name], openapi.answer_schema(LISTS[name])))
        for name in KNOWN_FAULTS
    } == KNOWN_FAULTS


def test_field_gitlab_does_not_have_is_found(openapi: OpenApi) -> None:
    schema = openapi.answer_schema("projects/{id}/issues")
    assert openapi.faults([{"id": "x", "colour": 1}], schema) != []


async def test_single_answers_have_gitlabs_fields(openapi: OpenApi) -> None:
    world = build_world("default", 1, {"issues": 80, "notes": 50})
    project = next(p for p in world.projects if p.issues and p.merge_requests and p.pipelines)
    home = f"projects/{project.id}"
    paths = {
        "version": "version",
        "metadata": "metadata",
        "user": "user",
        f"users/{world.users[1].id}": "users/{id}",
        "personal_access_tokens/self": "personal_access_tokens/self",
        "groups": "groups",
        f"groups/{world.groups[0].id}": "groups/{id}",
        f"groups/{world.groups[0].id}/subgroups": "groups/{id}/subgroups",
        f"groups/{world.groups[0].id}/descendant_groups": "groups/{id}/descendant_groups",
        f"groups/{world.groups[0].id}/projects": "groups/{id}/projects",
        f"groups/{world.groups[0].id}/issues": "groups/{id}/issues",
        f"groups/{world.groups[0].id}/merge_requests": "groups/{id}/merge_requests",
        "projects?simple=true": "projects",
        f"{home}/issues/1/notes": "projects/{id}/issues/{noteable_id}/notes",
        f"{home}/merge_requests/1/notes": "projects/{id}/merge_requests/{noteable_id}/notes",
        f"users/{world.users[0].id}/projects?simple=true": "users/{user_id}/projects",
        f"{home}/merge_requests/1": "projects/{id}/merge_requests/{merge_request_iid}",
        f"{home}/pipelines/{project.pipelines[0].id}": "projects/{id}/pipelines/{pipeline_id}",
        f"{home}/pipelines/{project.pipelines[0].id}/jobs": (
            "projects/{id}/pipelines/{pipeline_id}/jobs"
        ),
        f"{home}/repository/commits/{project.commits[0].sha}": (
            "projects/{id}/repository/commits/{sha}"
        ),
    }
    found = {}
    async with running(world) as server, Caller(server.url, world.accounts[0].token) as caller:
        for path, documented in paths.items():
            answer = await caller.get(path)
            faults = openapi.faults(answer.json, openapi.answer_schema(documented))
            found[path] = [fault for fault in faults if not fault.startswith(DAYS)]
            assert answer.status == 200
    assert found == {path: [] for path in paths}


def strict(real: Path, name: str) -> Draft4Validator:
    folder = real / "json-schemas" / "public_api" / "v4"

    def load(uri: str) -> Resource[Any]:
        path = Path(unquote(uri.removeprefix("file://")))
        if FROM_ROOT in str(path):
            path = real / "json-schemas" / str(path).partition(FROM_ROOT)[2]
        return Resource.from_contents(json.loads(path.read_text()), DRAFT4)

    uri = (folder / f"{name}.json").as_uri()
    return Draft4Validator({"$ref": uri}, registry=Registry(retrieve=load))  # type: ignore[call-arg]


@pytest.mark.parametrize("resource", sorted(STRICT))
def test_rows_pass_gitlabs_own_test_schema(resource: str, real: Path) -> None:
    validator = strict(real, STRICT[resource])
    world = build_world("shared", 1, {"issues": 60, "notes": 120})
    faults = []
    for _, _, name, natural, body in truth(world).items():
        if name == resource:
            row = body["notes"] if resource.endswith("_discussions") else [body]
            checked = row if STRICT[resource] in OF_LISTS else body
            faults += [f"{natural}: {error.message}" for error in validator.iter_errors(checked)]
    assert faults[:5] == []
