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
    "commits": "repository/commits?all=true&",
    "branches": "repository/branches?",
    "tags": "repository/tags?pagination=keyset&",
    "pipelines": "pipelines?",
    "ci_jobs": "jobs?pagination=keyset&",
    "releases": "releases?",
    "events": "events?",
}
_NATURAL = {"branches": "name", "tags": "name", "releases": "tag_name"}


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
        await self._one("project", number, "")
        for resource, path in PROJECT_LISTS.items():
            rows = await self._list("project", number, resource, path)
            notes = {"issues": "issue_notes", "merge_requests": "merge_request_notes"}
            for row in rows if resource in notes else []:
                of_one = f"{resource}/{row['iid']}/notes?"
                await self._list("project", number, notes[resource], of_one)

    async def _one(self, kind: str, number: int, query: str) -> None:
        answer = await self._caller.get(f"{kind}s/{number}{query}")
        if answer.status == 200:
            self.records[kind, number, kind, number] = answer.json
        else:
            self.refused[kind, number, kind] = answer.status

    async def _list(self, kind: str, number: int, resource: str, path: str) -> list[Any]:
        rows = await self._caller.rows(f"{kind}s/{number}/{path}{self._page}")
        if isinstance(rows, int):
            self.refused[kind, number, resource] = rows
            return []
        for row in rows:
            key = (kind, number, resource, row[_NATURAL.get(resource, "id")])
            assert key not in self.records
            self.records[key] = row
        return rows
