"""Reads all of an account's scope over HTTP, apart from the code under test and from the truth."""

from typing import Any

from tests.integration.sandbox.caller import Caller

Key = tuple[str, int, str, int | str]

GROUP_LISTS = {
    "members": "members?",
    "inherited_members": "members/all?",
    "labels": "labels?include_ancestor_groups=false&only_group_labels=true&",
    "milestones": "milestones?",
}
PROJECT_LISTS = {
    "members": "members?",
    "inherited_members": "members/all?",
    "labels": "labels?include_ancestor_groups=false&",
    "milestones": "milestones?",
    "issues": "issues?pagination=keyset&order_by=id&sort=asc&",
    "merge_requests": "merge_requests?",
    "commits": "repository/commits?all=true&with_stats=true&",
    "branches": "repository/branches?",
    "tags": "repository/tags?pagination=keyset&",
    "pipelines": "pipelines?",
    "ci_jobs": "jobs?pagination=keyset&",
    "releases": "releases?",
    "environments": "environments?",
    "deployments": "deployments?order_by=id&sort=asc&",
    "events": "events?",
}
_OF_BOTH = {
    "discussions": "discussions?",
    "award_emoji": "award_emoji?",
    "label_events": "resource_label_events?",
    "state_events": "resource_state_events?",
    "milestone_events": "resource_milestone_events?",
}
ITEM_LISTS = {
    "issues": {f"issue_{name}": path for name, path in (_OF_BOTH | {"links": "links?"}).items()},
    "merge_requests": {
        f"merge_request_{name}": path
        for name, path in (
            _OF_BOTH
            | {
                "reviewers": "reviewers?",
                "versions": "versions?",
                "commits": "commits?",
                "pipelines": "pipelines?",
            }
        ).items()
    },
}
_NATURAL = {"branches": "name", "tags": "name", "releases": "tag_name"}
_WITHIN_ITEM = {
    "issue_links": lambda row: row["issue_link_id"],
    "merge_request_reviewers": lambda row: row["user"]["id"],
    "merge_request_commits": lambda row: row["id"],
    "merge_request_pipelines": lambda row: row["id"],
}


class Walk:
    """`records` by area, resource and natural id; `refused` lists by area and resource."""

    def __init__(self, caller: Caller, per_page: int) -> None:
        self._caller = caller
        self._page = f"per_page={per_page}"
        self.records: dict[Key, Any] = {}
        self.refused: dict[tuple[str, int, str], int] = {}

    async def run(self) -> None:
        groups = await self._caller.rows(f"groups?min_access_level=10&{self._page}")
        keyset = "projects?membership=true&order_by=id&sort=asc&pagination=keyset"
        projects = await self._caller.rows(f"{keyset}&{self._page}")
        assert isinstance(groups, list)
        assert isinstance(projects, list)
        for group in groups:
            await self._one("group", group["id"], "?with_projects=false")
            for resource, path in GROUP_LISTS.items():
                await self._list("group", group["id"], resource, path)
        for project in projects:
            await self._project(project["id"])

    async def _project(self, number: int) -> None:
        await self._one("project", number, "?statistics=true")
        languages = await self._caller.get(f"projects/{number}/languages")
        if languages.status != 200:
            self.refused["project", number, "languages"] = languages.status
        elif not self.records["project", number, "project", number]["empty_repo"]:
            self.records["project", number, "languages", str(number)] = languages.json
        for resource, path in PROJECT_LISTS.items():
            rows = await self._list("project", number, resource, path)
            for row in rows if resource in ITEM_LISTS else []:
                await self._item(number, resource, row["iid"])

    async def _item(self, number: int, resource: str, iid: int) -> None:
        for name, path in ITEM_LISTS[resource].items():
            await self._list("project", number, name, f"{resource}/{iid}/{path}", f"{number}/{iid}")
        if resource == "merge_requests":
            answer = await self._caller.get(f"projects/{number}/{resource}/{iid}/approvals")
            key = ("project", number, "merge_request_approvals", f"{number}/{iid}")
            self.records[key] = answer.json

    async def _one(self, kind: str, number: int, query: str) -> None:
        answer = await self._caller.get(f"{kind}s/{number}{query}")
        if answer.status == 200:
            self.records[kind, number, kind, number] = answer.json
        else:
            self.refused[kind, number, kind] = answer.status

    async def _list(
        self, kind: str, number: int, resource: str, path: str, item: str = ""
    ) -> list[Any]:
        rows = await self._caller.rows(f"{kind}s/{number}/{path}{self._page}")
        if isinstance(rows, int):
            self.refused[kind, number, resource] = rows
            return []
        for row in rows:
            within = _WITHIN_ITEM.get(resource)
            natural = f"{item}/{within(row)}" if within else row[_NATURAL.get(resource, "id")]
            key = (kind, number, resource, natural)
            assert key not in self.records
            self.records[key] = row
        return rows
