"""A GitLab's answers to the few questions of `init`, served byte by byte."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.integration.http.wire import Reply, ok

TOKEN = "glpat-CANARY-0123456789abcdef"
JSON = "Content-Type: application/json"


def said(body: Any, *headers: str, status: str = "200 OK") -> Reply:
    return ok(json.dumps(body).encode(), JSON, *headers, status=status)


UNAUTHORIZED = said({"message": "401 Unauthorized"}, status="401 Unauthorized")
NOT_FOUND = said({"message": "404 Not Found"}, status="404 Not Found")


@dataclass(slots=True)
class FakeGitLab:
    """Answers like a GitLab below `base`; `changed` replaces what a path answers to the token."""

    base: str = ""
    token: str = TOKEN
    user_id: int = 7
    scopes: Sequence[str] = ("read_api",)
    groups: int = 12
    projects: int = 60
    changed: dict[str, Reply] = field(default_factory=dict)

    def __call__(self, head: str) -> Reply:
        lines = head.split("\r\n")
        path = lines[0].split(" ")[1].removeprefix(self.base)
        if not path.startswith("/api/v4/") or not lines[0].split(" ")[1].startswith(self.base):
            return self.changed.get(path, ok(b"<html>404</html>", status="404 Not Found"))
        if f"authorization: bearer {self.token}".lower() not in head.lower():
            return self.changed.get("anonymous", UNAUTHORIZED)
        name = path.removeprefix("/api/v4/").split("?")[0]
        return self.changed.get(name) or self._answers().get(name, NOT_FOUND)

    def _answers(self) -> dict[str, Reply]:
        token = {"id": 5, "scopes": list(self.scopes), "expires_at": "2027-03-04", "active": True}
        return {
            "version": said({"version": "19.3.0-ee", "revision": "abc", "enterprise": True}),
            "user": said({"id": self.user_id, "username": "ada", "name": "Ada [b]Lovelace[/b]"}),
            "personal_access_tokens/self": said(token),
            "groups": said([], f"X-Total: {self.groups}"),
            "projects": said([], f"X-Total: {self.projects}"),
        }
