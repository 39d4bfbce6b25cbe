"""A GitLab that answers by GraphQL and by REST of the same items; a test can change and break it.

It does not parse: it looks at the words that our own documents have. That these are valid for real
schemas is shown in tests/unit/gitlab/test_graphql_plans.py.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labtrawl.http import Answer

JSON = {"content-type": "application/json"}
WHEN = "2026-01-02T03:04:05Z"
Threads = list[list[str]]
"""The discussions of an item, each a list of what its notes say."""


@dataclass(slots=True)
class Desk:
    """Issues with threads, by iid; those in `hidden` have a list that is null.

    `before` hears each question and may answer it itself. `order` is that of creation; `objectives`
    are work items and no issues. Above `most` items it gives up on time; `cap` is how many it gives
    at once, whatever it is asked for.
    """

    items: dict[int, Threads]
    hidden: set[int] = field(default_factory=set)
    order: list[int] | None = None
    objectives: set[int] = field(default_factory=set)
    changed: list[int] = field(default_factory=list)
    most: int = 100
    cap: int = 100
    before: Callable[["Desk", dict[str, Any]], Answer | None] = lambda _desk, _asked: None
    asked: list[dict[str, Any]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    async def request(
        self, _method: str, path: str, _headers: dict[str, str], body: bytes
    ) -> Answer:
        assert path == "/api/graphql"
        question = json.loads(body)
        asked = {"document": question["query"], **question["variables"]}
        self.asked.append(asked)
        told = self.before(self, asked)
        if told is not None:
            return told
        if asked["ids"] != ["gid://gitlab/Project/7"]:
            return said({"projects": {"nodes": []}})
        if asked.get("first", 1) > self.most:
            return broken("Timeout on Issue.discussions", {"projects": {"nodes": [None]}})
        return said({"queryComplexity": None, "projects": {"nodes": [self.project(asked)]}})

    def project(self, asked: dict[str, Any]) -> dict[str, Any]:
        project: dict[str, Any] = {}
        if "newest:" in asked["document"]:
            named = self._named(asked["document"].partition("newest:")[2])
            newest = [{"iid": str(iid)} for iid in named[-1:]]
            project["newest"] = {"count": len(named), "nodes": newest}
        if "items:" in asked["document"]:
            found = self._found(asked)
            nodes = [self._node(iid, asked) for iid in found]
            project["items"] = page(nodes, min(asked["first"], self.cap), asked.get("after"))
        return project

    def _order(self) -> list[int]:
        return [iid for iid in self.order or sorted(self.items) if iid in self.items]

    def _found(self, asked: dict[str, Any]) -> list[int]:
        if "since" in asked:
            return [iid for iid in self.changed if iid in self.items]
        if "iids" in asked:
            return [iid for iid in reversed(self._order()) if str(iid) in asked["iids"]]
        return self._named(asked["document"].partition("items:")[2])

    def _named(self, connection: str) -> list[int]:
        """The items that a connection shows: objectives are work items and no issues."""
        is_all = connection.startswith("workItems")
        return [iid for iid in self._order() if is_all or iid not in self.objectives]

    def _node(self, iid: int, asked: dict[str, Any]) -> dict[str, Any]:
        node: dict[str, Any] = {"iid": str(iid), "id": f"gid://gitlab/Issue/{1000 + iid}"}
        if "discussions" in asked["document"]:
            rows = [thread(iid, place, notes) for place, notes in enumerate(self.items[iid])]
            is_hidden = iid in self.hidden
            found = None if is_hidden else page(rows, asked.get("nested"), asked.get("from"))
            node["discussions"] = found
        if "widgets" in asked["document"]:
            emoji = [{"name": "tada"}] if self.items[iid] else []
            node["widgets"] = [{}, {"awardEmoji": page(emoji, 1, None)}]
        return node

    async def get(self, request: str, _headers: dict[str, str]) -> Answer:
        self.rest.append(request)
        words = request.partition("?")[0].removeprefix("/api/v4/projects/7/issues").split("/")
        if words == [""]:
            rows = [{"id": 1000 + iid, "iid": iid} for iid in self._order()]
            return Answer(200, {**JSON, "x-total": str(len(rows))}, json.dumps(rows).encode(), "/")
        iid = int(words[1])
        if iid not in self.items:
            return Answer(404, JSON, b'{"message":"404 Issue Not Found"}', "/")
        if words[2] == "award_emoji":
            return Answer(200, JSON, json.dumps([{"id": iid}]).encode(), "/")
        ids = [f"{iid}x{place}" for place in range(len(self.items[iid]))]
        told: Any = [{"id": id_, "by": "rest"} for id_ in ids]
        if len(words) > 3:
            told = {"id": words[3], "by": "rest"}
        return Answer(200, JSON, json.dumps(told).encode(), "/")


def said(data: dict[str, Any]) -> Answer:
    return Answer(200, JSON, json.dumps({"data": data}).encode(), "/")


def broken(message: str, data: object = None, status: int = 200, **error: Any) -> Answer:
    body = {"errors": [{"message": message, **error}]} | ({"data": data} if data else {})
    return Answer(status, JSON, json.dumps(body).encode(), "/")


def page(nodes: list[Any], first: int | None, after: str | None) -> dict[str, Any]:
    start = int(after or 0)
    end = start + (first or len(nodes))
    info = {"endCursor": str(end), "hasNextPage": end < len(nodes)}
    return {"pageInfo": info, "nodes": nodes[start:end]}


def thread(iid: int, place: int, notes: list[str]) -> dict[str, Any]:
    """A discussion as GraphQL gives it, with at most fifty notes."""
    found = [note(1000 * iid + 10 * place + at, text) for at, text in enumerate(notes)]
    told = {"id": f"gid://gitlab/Discussion/{iid}x{place}", "resolvable": False, "resolved": False}
    return {**told, "notes": page(found, 50, None)}


def note(id_: int, text: str) -> dict[str, Any]:
    return {
        "id": f"gid://gitlab/Note/{id_}",
        "body": text,
        "system": False,
        "internal": False,
        "createdAt": WHEN,
        "updatedAt": WHEN,
        "resolvable": False,
        "resolved": False,
        "resolvedAt": None,
        "resolvedBy": None,
        "author": None,
    }
