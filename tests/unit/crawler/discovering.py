"""A discovery of a GitLab whose answers a test writes down; what it told is kept in order."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.discovery import Discovery, Scope
from labtrawl.crawler.line import Line
from labtrawl.http import Answer
from labtrawl.protocol.messages import (
    DiscoveredArea,
    JobsDiscovered,
    KnownArea,
    ProgressUpdate,
    Record,
)
from tests.unit.crawler.shelf import gitlab_of

API = "/api/v4/"
JSON = {"content-type": "application/json"}
GROUPS = "groups?min_access_level=10&order_by=id&sort=asc&per_page=100"
PROJECTS = "projects?membership=true&order_by=id&sort=asc&pagination=keyset&per_page=100"


def group(number: int, path: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "name": path, "full_path": path} | fields


def project(number: int, path: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "name": path, "path_with_namespace": path} | fields


@dataclass(slots=True)
class Site:
    """Answers by request; a list's pages are chained by `x-next-page`."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, request: str, _headers: dict[str, str]) -> Answer:
        asked = request.removeprefix(API)
        self.asked.append(asked)
        missing = Answer(404, JSON, b'{"message": "404 Not Found"}', "/")
        return self.answers.get(asked, missing)

    def put(self, request: str, body: object, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[request] = Answer(status, {**JSON, **named}, json.dumps(body).encode(), "/")


@dataclass(slots=True)
class Told:
    """What came over the line, in order."""

    updates: list[Record] = field(default_factory=list)

    async def send(self, _key: str, payload: Record, _task: str) -> Any:
        self.updates.append(payload)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        answer.set_result({})
        return answer

    def progress(self) -> list[ProgressUpdate]:
        return [one for one in self.updates if isinstance(one, ProgressUpdate)]

    def areas(self) -> list[DiscoveredArea]:
        return [area for one in self.progress() for area in one.areas]

    def paths(self) -> list[str]:
        return [area.full_path for area in self.areas()]

    def jobs(self) -> list[tuple[str, str]]:
        return [
            (job.full_path, job.command)
            for one in self.updates
            if isinstance(one, JobsDiscovered)
            for job in one.jobs
        ]


def site_of(groups: list[dict[str, Any]], projects: list[dict[str, Any]]) -> Site:
    site = Site()
    site.put(GROUPS, groups)
    site.put(PROJECTS, projects)
    return site


async def discover(
    site: Site,
    scope: Scope | None = None,
    cursor: Cursor | None = None,
    stop: bool = False,
    known: tuple[KnownArea, ...] = (),
    told: Told | None = None,
) -> Told:
    told = told or Told()
    line = Line("1", 1, told.send, lambda *_: None, lambda: 0)
    discovery = Discovery(
        gitlab_of(site), line, scope or Scope(), lambda: stop, cursor or Cursor(), "ann", known
    )
    await discovery.run()
    return told
