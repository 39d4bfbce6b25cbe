"""The questions before a first crawl: how many groups and projects, issues and merge requests.

They are pages that the crawl begins with, and two counts for each of a few places.
"""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from labtrawl.cli.forecast import Counted, Listed, Seen, Told, is_above, is_below, is_held
from labtrawl.clock import system_clock
from labtrawl.domain.area import AreaKind
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import Forbidden, GitLabError, NotFound
from labtrawl.gitlab.catalog import FEATURES
from labtrawl.gitlab.client import GitLab
from labtrawl.gitlab.limits import Limits, Meter
from labtrawl.gitlab.pages import Page
from labtrawl.http import Http

GROUPS = "min_access_level=10&order_by=id&sort=asc&per_page=100"
PROJECTS = "membership=true&order_by=id&sort=asc&per_page=100"
INSIDE = "order_by=id&sort=asc&per_page=100"
# Archived projects are left out of the issues and kept among the merge requests unless said.
ITEMS = "scope=all&state=all&non_archived=false&per_page=1"
# GitLab gives no total above this (doc/api/rest/_index.md, "Pagination").
MOST_TOLD = 10_000
# Of how many places more is asked: a forecast is not worth more.
MOST_PLACES = 3
SECONDS = 15.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a crawl reads: all that the account is a member of, or not, and what is named."""

    members: bool
    paths: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    # "" or an instant in ISO 8601: only what changed from then on.
    since: str = ""


@dataclass(slots=True)
class Limit:
    """The least limit that an answer told, in requests a minute; None where none did."""

    told: int | None = None

    def hear(self, _class: str, limits: Limits | None) -> None:
        """Take over what an answer says."""
        if limits is not None and limits.limit:
            self.told = min(limits.limit, self.told or limits.limit)


async def _at_once(_class: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Asking:
    """The questions of one account to one GitLab; nothing is asked twice."""

    http: Http
    token: Secret
    scope: Scope
    limit: Limit = field(default_factory=Limit)

    async def told(self) -> Told | None:
        """Ask; None where GitLab does not tell in time, or nothing that is named is there.

        What the crawl itself will be refused is its own to tell.
        """
        try:
            async with asyncio.timeout(SECONDS):
                return await self._told()
        except (TimeoutError, GitLabError):
            return None

    async def _told(self) -> Told | None:
        named = [self._named(path) for path in self.scope.paths[:MOST_PLACES]]
        members = [self._members()] if self.scope.members else []
        found = await _all(*members, *named)
        listed = list(chain.from_iterable(found))
        if not listed:
            return None
        if len(self.scope.paths) > MOST_PLACES or not all(found):
            listed = [replace(each, is_exact=False) for each in listed]
        counted = await _all(*(self._counted(*place) for place in self._places(listed)))
        kept = [each for each in counted if each is not None]
        return Told(listed, kept, self.limit.told, found[0] if self.scope.members else ())

    async def _members(self) -> list[Listed]:
        groups, projects = await _all(
            self._gitlab.page("groups", GROUPS), self._gitlab.page("projects", PROJECTS)
        )
        return [_listed(AreaKind.GROUP, groups), _listed(AreaKind.PROJECT, projects)]

    async def _named(self, path: str) -> list[Listed]:
        """Look at a group with all below it, or at a project; nothing where GitLab shows neither."""
        name = quote(path, safe="")
        try:
            return await self._group(name)
        except (NotFound, Forbidden):
            pass
        try:
            return [_listed(AreaKind.PROJECT, await self._gitlab.single(f"projects/{name}"))]
        except GitLabError:
            return []

    async def _group(self, name: str) -> list[Listed]:
        group = await self._gitlab.single(f"groups/{name}", "with_projects=false")
        below, projects = await _all(
            self._gitlab.page(f"groups/{name}/descendant_groups", INSIDE),
            self._gitlab.page(
                f"groups/{name}/projects", f"include_subgroups=true&with_shared=false&{INSIDE}"
            ),
        )
        top, all_below = _listed(AreaKind.GROUP, group), _listed(AreaKind.GROUP, below)
        groups = Listed(
            AreaKind.GROUP,
            [*top.seen, *all_below.seen],
            top.total + all_below.total,
            all_below.is_exact,
        )
        return [groups, _listed(AreaKind.PROJECT, projects)]

    def _places(self, listed: Sequence[Listed]) -> list[tuple[AreaKind, str]]:
        """Choose what is counted: the groups above all others with the most projects, or projects.

        In a group that the account is a member of, it is a member of every project. Where a pattern
        leaves out anything below a group, or may, its count would be too much.
        """
        seen = [area for each in listed for area in each.seen]
        left_out = [area.path for area in seen if not is_held(area.path, self.scope.exclude)]
        if self.scope.exclude and any(each.total > len(each.seen) for each in listed):
            return []
        kept = [area for area in seen if not is_above(area.path, left_out)]
        groups = [area.path for area in kept if area.kind == AreaKind.GROUP]
        projects = [area.path for area in kept if area.kind == AreaKind.PROJECT]
        tops = {path for path in groups if not is_below(path.rpartition("/")[0], groups)}
        most = sorted(tops, key=lambda top: (-sum(is_below(p, [top]) for p in projects), top))
        found = [(AreaKind.GROUP, path) for path in most]
        found += [(AreaKind.PROJECT, path) for path in projects if not is_below(path, groups)]
        return found[:MOST_PLACES]

    async def _counted(self, kind: AreaKind, path: str) -> Counted | None:
        """Count what a place has; None where GitLab does not say."""
        base = f"{kind}s/{quote(path, safe='')}"
        query = ITEMS + (f"&updated_after={quote(self.scope.since)}" if self.scope.since else "")
        try:
            issues, requests = await _all(
                self._gitlab.page(f"{base}/issues", query),
                self._gitlab.page(f"{base}/merge_requests", query),
            )
        except GitLabError:
            return None
        return Counted(path, {"issues": _total(issues)[0], "merge_requests": _total(requests)[0]})

    @property
    def _gitlab(self) -> GitLab:
        meter = Meter(_at_once, self.limit.hear, lambda _class, _seconds: None, lambda: None)
        once = RetryPolicy(attempts=1)
        return GitLab(
            self.http, lambda: self.token, system_clock(), once, random.random, meter=meter
        )


async def _all(*asked: Coroutine[Any, Any, T]) -> list[T]:
    """Return all answers; the first failure ends the other questions."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in asked]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _listed(kind: AreaKind, page: Page) -> Listed:
    rows = [msgspec.json.decode(row, type=dict[str, Any]) for row in page.rows]
    total, is_exact = _total(page)
    return Listed(kind, [_seen(kind, row) for row in rows], max(total, len(rows)), is_exact)


def _total(page: Page) -> tuple[int, bool]:
    """Return how many rows a list has at least, and whether these are all."""
    if page.total is not None:
        return page.total, True
    return (len(page.rows), True) if page.next_query is None else (MOST_TOLD, False)


def _seen(kind: AreaKind, row: dict[str, Any]) -> Seen:
    issues = row.get("open_issues_count")
    return Seen(
        kind,
        str(row.get("full_path" if kind is AreaKind.GROUP else "path_with_namespace")),
        {name: str(row[name]) for name in FEATURES if row.get(name) is not None},
        bool(row.get("empty_repo")),
        issues if isinstance(issues, int) else 0,
    )
