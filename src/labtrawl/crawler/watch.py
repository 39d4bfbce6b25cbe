"""A group's list of what changed: it tells which projects below it are to be visited.

One request finds out that nothing changed in any project of a group, however many there are
(doc/api/issues.md, "List group issues"; subgroups are included).
"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import msgspec

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.line import Ending, Figures, Line
from labtrawl.crawler.paging import BY_CHANGE, advancing
from labtrawl.crawler.purse import Stopped
from labtrawl.crawler.reader import Reader
from labtrawl.crawler.run import reason_of
from labtrawl.crawler.visit import CHANGES, Visit
from labtrawl.domain.area import AreaKind
from labtrawl.errors import GitLabError, RateLimited, UnexpectedReply
from labtrawl.gitlab.pages import Page
from labtrawl.protocol.messages import PART, DiscoveredJob


class _Row(msgspec.Struct, frozen=True):
    project_id: int


_ROW: Final = msgspec.json.Decoder(_Row)


@dataclass(slots=True)
class Watch:
    """The run of a watch: it writes no records, and proposes a visit of each project that changed.

    It begins anew after a stop: what it proposed twice is one visit.
    """

    reader: Reader
    line: Line
    stopping: Callable[[], bool]
    visit: Visit
    items: int = 0
    _told: set[int] = field(default_factory=set)

    async def run(self) -> None:
        """Read to the end, or give the job back when the crawler stops."""
        try:
            if await self._read():
                ending = Ending(None, self.visit.watermark(self._cursor()), len(self._told))
                cursor = self._cursor().encode()
                await self.line.complete(cursor, None, self._figures(), ending)
            else:
                await self.line.give_back(self._figures())
        except Stopped:
            await self.line.give_back(self._figures())
        except GitLabError as error:
            wait = error.retry_after if isinstance(error, RateLimited) else None
            figures = self._figures()
            await self.line.fail(
                self.line.failure(str(error), reason_of(error), error.retryable, wait, figures)
            )

    async def _read(self) -> bool:
        resource = self.reader.resource
        path = self.reader.path(resource)
        pages = advancing(self.reader, path, None, resource, BY_CHANGE)
        async with aclosing(pages) as asked:
            async for one in asked:
                self.items += len(one.page.rows)
                await self._propose(_projects(one.page) - self._told)
                self.line.check()
                if self.stopping() and one.page.next_query is not None:
                    return False
        return True

    async def _propose(self, projects: set[int]) -> None:
        self._told |= projects
        jobs = [
            DiscoveredJob(
                command=self.reader.resource.watches,
                area_type=AreaKind.PROJECT,
                full_path="",
                gitlab_id=project_id,
                mode=CHANGES,
            )
            for project_id in sorted(projects)
        ]
        for start in range(0, len(jobs), PART):
            await self.line.jobs(jobs[start : start + PART])

    def _cursor(self) -> Cursor:
        tally = self.reader.gitlab.tally
        return Cursor(items=self.items, started_at=tally.first_served_at, ended=True)

    def _figures(self) -> Figures:
        tally = self.reader.gitlab.tally
        return Figures(self.items, None, tally.requests, tally.retries)


def _projects(page: Page) -> set[int]:
    try:
        return {_ROW.decode(row).project_id for row in page.rows}
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row names no project: {error} ({page.request})") from error
