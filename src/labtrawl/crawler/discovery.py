"""Finding what an account is a member of, and proposing a job for each list of each area.

Groups: `/groups?min_access_level=10` gives the groups of which the user is a member with all their
descendants (app/finders/groups_finder.rb). Projects: `/projects?membership=true`, by keyset.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.growth import heard, least
from labtrawl.crawler.line import Ending, Figures, Line
from labtrawl.crawler.paging import Asked, Seen, has_shrunk, refuse_circle
from labtrawl.crawler.purse import Stopped
from labtrawl.crawler.visit import CHANGES, FULL, MOST_PASSES, Visit
from labtrawl.domain.area import AreaKind
from labtrawl.domain.visit import Schedule
from labtrawl.errors import Forbidden, GitLabError, NotFound, RateLimited, UnexpectedReply
from labtrawl.gitlab.catalog import FEATURES, Resource, gap_of, resources_of
from labtrawl.gitlab.client import GitLab, Moved
from labtrawl.gitlab.pages import Page
from labtrawl.gitlab.wanted import is_wanted
from labtrawl.protocol.messages import PART, DiscoveredArea, DiscoveredJob, KnownArea, LedgerReport

GROUPS = "min_access_level=10&order_by=id&sort=asc&per_page=100"
PROJECTS = "membership=true&order_by=id&sort=asc&pagination=keyset&per_page=100"
GROUP = "with_projects=false"
INSIDE = "order_by=id&sort=asc&per_page=100"
# A member, of a level that the answer does not tell; below all of GitLab's real levels but none.
SOME_MEMBER = 1


@dataclass(frozen=True, slots=True)
class Scope:
    """Path patterns beyond membership: `include` adds (public ones too), `exclude` wins.

    Without `members` only what is included counts. Of an area `resources` (patterns, as a schedule
    has them) get a job; None proposes all, and leaves the choice to the website.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    members: bool = True
    resources: tuple[str, ...] | None = None

    def holds(self, full_path: str) -> bool:
        """Say whether an area that was found is to be collected."""
        return not any(fnmatchcase(full_path, pattern) for pattern in self.exclude)

    def wanted(self, kind: AreaKind) -> list[Resource]:
        """Return what an area of a kind gets jobs for, as far as it can hold it."""
        every = resources_of(kind)
        if self.resources is None:
            return [*every]
        schedule = Schedule(resources=self.resources)
        return [resource for resource in every if is_wanted(schedule, resource)]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of areas: where it is, what it holds; `page` is its only one, where it was read."""

    stage: str
    kind: AreaKind
    path: str
    query: str
    page: Page | None = None


@dataclass(slots=True)
class Discovery:
    """The run of one account's discovery job."""

    gitlab: GitLab
    line: Line
    scope: Scope
    stopping: Callable[[], bool]
    cursor: Cursor
    username: str
    # What the paths of `scope.include` stood for before.
    known: Sequence[KnownArea] = ()
    # First pages that were asked for while another list was read.
    _asked: dict[str, asyncio.Task[Page]] = field(default_factory=dict)

    async def run(self) -> None:
        """Report areas and jobs page by page; each page is a checkpoint."""
        try:
            await self._run()
        finally:
            for task in self._asked.values():
                task.cancel()
            await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _run(self) -> None:
        try:
            async for listing in self._listings():
                if not await self._read(listing):
                    await self.line.give_back(self._figures())
                    return
            done = replace(self.cursor, stage="done", query=None, ended=True)
            ending = Ending(LedgerReport(expected_by="end of list"), Visit().watermark(done))
            await self.line.complete(done.encode(), None, self._figures(), ending)
        except Stopped:
            await self.line.give_back(self._figures())
        except GitLabError as error:
            wait = error.retry_after if isinstance(error, RateLimited) else None
            figures = self._figures()
            await self.line.fail(
                self.line.failure(str(error), error.reason, error.retryable, wait, figures)
            )

    async def _listings(self) -> AsyncIterator[Listing]:
        """Yield the lists from the cursor's stage on."""
        listings = [
            Listing("groups", AreaKind.GROUP, "groups", GROUPS),
            Listing("projects", AreaKind.PROJECT, "projects", PROJECTS),
        ][: None if self.scope.members else 0]
        names = [listing.stage for listing in listings]
        start = names.index(self.cursor.stage) if self.cursor.stage in names else 0
        if self.cursor.stage.startswith("include:"):
            start = len(listings)
        for listing in listings[start + 1 :]:
            page = self.gitlab.page(listing.path, listing.query)
            self._asked[listing.stage] = asyncio.ensure_future(page)
        for listing in listings[start:]:
            yield listing
        for pattern in self.scope.include:
            for listing in await self._included(pattern):
                yield listing

    async def _included(self, path: str) -> list[Listing]:
        """Find a group (with all below it) or a project that the operator named."""
        encoded, stage = quote(path, safe=""), f"include:{path}"
        group = await self._group(path)
        if group is None:
            return [Listing(stage, AreaKind.PROJECT, "", "", await self._project(encoded))]
        base = f"groups/{_whole(_decode(group)[0], 'id')}"
        return [
            Listing(stage, AreaKind.GROUP, "", "", group),
            Listing(f"{stage}:groups", AreaKind.GROUP, f"{base}/descendant_groups", INSIDE),
            Listing(
                f"{stage}:projects",
                AreaKind.PROJECT,
                f"{base}/projects",
                f"include_subgroups=true&with_shared=false&{INSIDE}",
            ),
        ]

    async def _group(self, path: str) -> Page | None:
        """Ask for a group by its path, else by the id that it had: GitLab tells no new path of it.

        None where neither finds one (lib/api/helpers.rb, `find_group`).
        """
        known = [str(one.gitlab_id) for one in self.known if _is_group_at(one, path)]
        for name in (quote(path, safe=""), *known):
            with suppress(NotFound, Forbidden):
                return await self.gitlab.single(f"groups/{name}", GROUP)
        return None

    async def _project(self, encoded_path: str) -> Page:
        """Ask for a project by its path; an old path of a renamed one leads to its id."""
        try:
            return await self.gitlab.single(f"projects/{encoded_path}")
        except Moved as error:
            if error.project_id is None:
                raise
            return await self.gitlab.single(f"projects/{error.project_id}")

    async def _read(self, listing: Listing) -> bool:
        """Read a list to its end, again where it got shorter; False when the crawler stops first.

        By page numbers an area that vanishes pushes another one past the reader, which would then
        count as one that the account does not see any more. Raises GitLabError where no reading of
        it stands still.
        """
        if listing.page is not None:
            await self._report(listing, listing.page)
            self.cursor = replace(self.cursor, stage=listing.stage)
            return True
        for _ in range(MOST_PASSES):
            if not await self._read_pages(listing):
                return False
            if not self.cursor.changed:
                return True
            self.cursor = replace(self.cursor, expected=None, changed=False, grown=None)
        raise UnexpectedReply(f"GitLab's list of {listing.path} got shorter each time it was read")

    async def _read_pages(self, listing: Listing) -> bool:
        """Read a list once, from the cursor on; False when the crawler stops first."""
        if self.cursor.stage != listing.stage:
            self.cursor = replace(self.cursor, query=None, expected=None, changed=False, grown=None)
        query: str | None = self.cursor.query or listing.query
        seen: Seen = set()
        while query is not None:
            if self.stopping():
                return False
            asked = self._asked.pop(listing.stage, None) if query == listing.query else None
            page = await (asked or self.gitlab.page(listing.path, query))
            refuse_circle(seen, Asked(query, page), may_shift=True)
            await self._report(listing, page)
            query = page.next_query
            self.cursor = replace(_counted(self.cursor, page), stage=listing.stage, query=query)
            if query is not None:
                await self.line.checkpoint(self.cursor.encode(), None, self._figures())
            self.line.check()
        return True

    async def _report(self, listing: Listing, page: Page) -> None:
        found = [_area(listing.kind, row, self.username) for row in _decode(page)]
        areas = [area for area in found if self.scope.holds(area.full_path)]
        items = self.cursor.items + len(areas)
        self.cursor = replace(self.cursor, items=items, started_at=self._started_at())
        # A page brings up to half a megabyte: what is on its way is one page at most.
        await self.line.settle()
        if areas:
            await self.line.areas(areas, self._figures())
        watermark = Visit().watermark(self.cursor)
        wanted = self.scope.wanted(listing.kind)
        jobs = [job for area in areas for job in _jobs_of(area, wanted, watermark)]
        for start in range(0, len(jobs), PART):
            await self.line.jobs(jobs[start : start + PART])

    def _started_at(self) -> int | None:
        known = [self.cursor.started_at, self.gitlab.tally.first_served_at]
        return min((each for each in known if each is not None), default=None)

    def _figures(self) -> Figures:
        tally = self.gitlab.tally
        return Figures(self.cursor.items, None, tally.requests, tally.retries)


def _counted(cursor: Cursor, page: Page) -> Cursor:
    """Note by GitLab's total, where it tells one, whether the list has less than it had.

    Or less than it had with what was made since.
    """
    if page.total is None:
        return cursor
    grown = heard(cursor.grown, page)
    is_less = has_shrunk(cursor.expected, least(grown), page)
    most = max(page.total, cursor.expected or 0)
    return replace(cursor, expected=most, changed=cursor.changed or is_less, grown=grown)


def _is_group_at(known: KnownArea, path: str) -> bool:
    return known.type == AreaKind.GROUP and known.full_path == path


def _jobs_of(
    area: DiscoveredArea, wanted: Sequence[Resource], watermark: int | None
) -> list[DiscoveredJob]:
    """Propose a job for each list of an area that can hold something.

    A watch begins with what changes after the discovery did: before it, all is read anyhow.
    """
    return [
        DiscoveredJob(
            command=resource.name,
            area_type=area.type,
            full_path=area.full_path,
            gitlab_id=area.gitlab_id,
            priority=resource.priority,
            mode=CHANGES if resource.watches else FULL,
            watermark=watermark if resource.watches else None,
        )
        for resource in wanted
        if gap_of(resource, area.features, area.empty_repository) is None
    ]


def _decode(page: Page) -> list[dict[str, Any]]:
    try:
        return [msgspec.json.decode(row, type=dict[str, Any]) for row in page.rows]
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row is no object: {error} ({page.request})") from error


def _area(kind: AreaKind, row: dict[str, Any], username: str) -> DiscoveredArea:
    path = "full_path" if kind is AreaKind.GROUP else "path_with_namespace"
    try:
        full_path = str(row[path])
        return DiscoveredArea(
            type=kind,
            name=str(row["name"]),
            gitlab_id=_whole(row, "id"),
            full_path=full_path,
            web_url=str(row.get("web_url") or ""),
            parent_path=full_path.rpartition("/")[0],
            discovered_by=username,
            role=_role(row),
            features={name: str(row[name]) for name in FEATURES if row.get(name) is not None},
            empty_repository=bool(row.get("empty_repo", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedReply(f"GitLab listed a {kind} without {error}") from error


def _whole(row: dict[str, Any], name: str) -> int:
    """Read an id: a positive whole number that fits the database, nothing that merely looks so."""
    number = row.get(name)
    if type(number) is not int or not 0 < number < 2**63:
        raise UnexpectedReply(f"GitLab listed an area whose {name} is no id")
    return number


def _role(row: dict[str, Any]) -> int:
    """The highest access level that a project's own answer tells; groups do not tell it."""
    permissions = row.get("permissions")
    if not isinstance(permissions, dict):
        return SOME_MEMBER
    accesses = (permissions.get("project_access"), permissions.get("group_access"))
    levels = [access.get("access_level") for access in accesses if isinstance(access, dict)]
    return max([0, *(level for level in levels if type(level) is int)])
