"""Some items of a project with the list of each, by one request where that is enough.

Entered by `batched`. What GraphQL leaves open of an item is asked for: the rest of a long list by
the cursor, a row that came cut short and a list that is null by REST.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from labtrawl.crawler.ahead import ahead
from labtrawl.crawler.paging import MOST_AGAIN, Seen, ask, refuse_circle, shrinks
from labtrawl.crawler.reader import Reader
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.errors import Forbidden, GitLabError, NotFound, UnexpectedReply
from labtrawl.gitlab import graphql_plans
from labtrawl.gitlab.client import PagingRefused, TooMuch
from labtrawl.gitlab.graphql import NotInSchema, Reply, query
from labtrawl.gitlab.graphql_pace import EVERYTHING, Pace
from labtrawl.gitlab.graphql_plans import Edition, Plan, edition_of
from labtrawl.gitlab.graphql_shapes import Found, Node
from labtrawl.gitlab.pages import Page

# Digits: no project has more items, and the number fits everywhere.
LONGEST_IID = 15


class NotByGraphQL(GitLabError):
    """It is not to be had so, here or at all; `refused` names what this whole GitLab refuses."""

    reason = "forbidden"

    def __init__(self, message: str, refused: str = "") -> None:
        super().__init__(message)
        self.refused = refused


class PageEnd(msgspec.Struct, frozen=True, rename="camel"):
    """Where a page ends; the cursor is there on the last page too."""

    has_next_page: bool
    end_cursor: str | None


class Items(msgspec.Struct, frozen=True, rename="camel"):
    """A page of the project's items; what the account may not see is null among them."""

    page_info: PageEnd
    nodes: list[Node | None]

    @property
    def after(self) -> str | None:
        """Return where the next page begins; None on the last one."""
        if not self.page_info.has_next_page:
            return None
        if self.page_info.end_cursor is None:
            raise UnexpectedReply("GitLab's GraphQL names a next page without a cursor")
        return self.page_info.end_cursor

    def shown(self) -> list[Node]:
        """Return the items that the account may see."""
        return [node for node in self.nodes if node is not None]


class Newest(msgspec.Struct, frozen=True):
    """How many items there are, and the one that was made last."""

    count: int
    nodes: list[Node | None]


class Project(msgspec.Struct, frozen=True):
    """What an answer says of the project; null is forbidden or missing, never empty."""

    items: Items | None = None
    newest: Newest | None = None


class _Projects(msgspec.Struct, frozen=True):
    nodes: list[Project | None] | None


class _Tree(msgspec.Struct, frozen=True):
    projects: _Projects | None


@dataclass(frozen=True, slots=True)
class Part:
    """What some items gave: `seen` are there, `gone` were and are no longer."""

    records: list[FetchedRecord] = field(default_factory=list)
    seen: int = 0
    gone: int = 0


def joined(parts: Iterable[Part]) -> Part:
    """Return many parts as one, in their order."""
    known = list(parts)
    return Part(
        [record for part in known for record in part.records],
        sum(part.seen for part in known),
        sum(part.gone for part in known),
    )


async def read_all(calls: Iterable[Callable[[], Awaitable[Part]]], width: int) -> Part:
    """Return what the calls give, in their order, with at most `width` of them under way."""
    async with aclosing(ahead(calls, width)) as parts:
        return joined([part async for part in parts])


@dataclass(frozen=True, slots=True)
class Sheet:
    """Reads items of one project for one resource, as large a block at once as `pace` says."""

    reader: Reader
    plan: Plan
    pace: Pace
    _asked: set[tuple[str, str | None]] = field(default_factory=set)

    @property
    def edition(self) -> Edition:
        """Whose schema the documents are for."""
        return edition_of(self.reader.gitlab_version, self.reader.version)

    def saves_requests(self) -> bool:
        """Say whether this GitLab limits them, and remember it for the next reading."""
        learnt = self.reader.learnt
        if learnt is None:
            return True
        learnt.is_limited = learnt.is_limited or self.reader.gitlab.tally.is_limited
        return learnt.is_limited

    async def items(self, iids: list[int]) -> Part:
        """Read some items by their iids, in halves where that is too much for one request."""
        try:
            reply = await self._ask(graphql_plans.block(self.plan, self.edition), _named(iids))
            nodes = _all_of(reply)
        except TooMuch:
            self.pace.refused(len(iids))
        else:
            self.pace.took(len(iids), reply)
            return await self.part(reply, nodes)
        if len(iids) == 1:
            return await self.by_rest(iids[0])
        half = len(iids) // 2
        return joined([await self.items(iids[:half]), await self.items(iids[half:])])

    async def opening(self, iids: list[int]) -> tuple[Project, Part]:
        """Read some items, and what the project says of all of them."""
        document = graphql_plans.opening(self.plan, self.edition)
        reply = await self._ask(document, _named(iids))
        nodes = _all_of(reply)
        self.pace.took(len(iids), reply)
        return project_of(reply), await self.part(reply, nodes)

    async def newest(self) -> Project:
        """Read only what the project says of all items."""
        return project_of(await self._ask(graphql_plans.newest(self.plan, self.edition), {}))

    async def page(self, document: str, after: str | None, **variables: str) -> tuple[Reply, Items]:
        """Read a page of a connection, a smaller one where that is too much.

        Raises GitLabError where its next one was read before: it would be asked for for ever.
        """
        size = self.pace.size if "$nested" in document else graphql_plans.PAGE
        while True:
            try:
                reply = await self._ask(document, {**variables, "after": after, "first": size})
            except TooMuch:
                self.pace.refused(size)
                if size == 1:
                    raise
                size //= 2
            else:
                found = items_of(reply)
                self._asked.add((document, after))
                if found.after is not None and (document, found.after) in self._asked:
                    raise GitLabError("GitLab's pages go in a circle: a cursor was named before")
                return reply, found

    async def part(self, reply: Reply, nodes: list[Node]) -> Part:
        """Return the lists of the items that an answer holds, those that it cuts short finished."""
        parts: list[Part] = []
        calls: list[Callable[[], Awaitable[Part]]] = []
        for node in nodes:
            iid, found = self._shaped(node)
            begun = Part(self._records(reply, found, iid), seen=1)
            if found.unread:
                calls.append(partial(self.by_rest, iid))
            elif found.cut or found.after is not None:
                calls.append(partial(self._more, iid, found, begun))
            else:
                parts.append(begun)
        return joined([*parts, await read_all(calls, self.reader.width)])

    async def _more(self, iid: int, found: Found, begun: Part) -> Part:
        """Finish the list of one item that has begun; where that is too much, REST reads all of it.

        What was told of it by then is dropped: REST tells it again.
        """
        document = graphql_plans.block(self.plan, self.edition)
        parts = [begun, *[await self._whole(iid, id_) for id_ in found.cut]]
        seen: set[str] = set()
        while (after := found.after) is not None:
            asked = {**_named([iid]), "nested": self.plan.further, "from": after}
            try:
                reply = await self._ask(document, asked)
            except TooMuch:
                return await self.by_rest(iid)
            nodes = items_of(reply).shown()
            if not nodes:
                parts.append(Part(gone=1))
                break
            seen.add(after)
            _, found = self._shaped(nodes[0])
            if found.unread or found.after in seen:
                return await self.by_rest(iid)
            parts.append(Part(self._records(reply, found, iid)))
            parts += [await self._whole(iid, id_) for id_ in found.cut]
        return joined(parts)

    async def _whole(self, iid: int, id_: str) -> Part:
        """Read one row of an item's list by REST: it holds more than came along."""
        path = f"{self.reader.path(self.reader.resource, iid)}/{id_}"
        try:
            page = await self.reader.gitlab.single(path)
        except NotFound:
            return Part()
        return Part(self.reader.records(page, iid))

    async def by_rest(self, iid: int) -> Part:
        """Read the list of one item by REST, whatever that says of it."""
        try:
            pages = await self._pages(iid)
            parts = [Part(self.reader.records(page, iid)) for page in pages]
        except NotFound as error:
            if "Project Not Found" in str(error):
                raise
            return Part(seen=1, gone=1)
        return joined([Part(seen=1), *parts])

    async def _pages(self, iid: int) -> list[Page]:
        """Return the pages of an item's list, read again where it got shorter meanwhile."""
        reader = self.reader
        path, query = reader.path(reader.resource, iid), reader.item_query()
        if reader.resource.single:
            return [await reader.gitlab.single(path, query)]
        pages = await self._numbered(path, query)
        for _ in range(MOST_AGAIN):
            if not shrinks(pages):
                break
            pages = await self._numbered(path, query)
        return pages

    async def _numbered(self, path: str, query: str) -> list[Page]:
        pages: list[Page] = []
        seen: Seen = set()
        while query:
            asked = await ask(self.reader, path, query)
            refuse_circle(seen, asked, may_shift=True)
            pages.append(asked.page)
            query = asked.page.next_query or ""
        return pages

    async def _ask(self, document: str, variables: dict[str, Any]) -> Reply:
        """Ask for the project; NotByGraphQL for what no smaller question would change."""
        asked = {"ids": [f"gid://gitlab/Project/{self.reader.gitlab_id}"], **variables}
        if "$nested" in document:
            asked = {"nested": self.plan.nested, **asked}
        try:
            return await query(self.reader.gitlab, document, asked)
        except NotInSchema as error:
            raise NotByGraphQL(str(error), self.plan.name) from error
        except (NotFound, Forbidden, PagingRefused) as error:
            raise NotByGraphQL(str(error), EVERYTHING) from error
        except GitLabError as error:
            if type(error) is GitLabError:
                raise NotByGraphQL(str(error)) from error
            raise

    def rows(self, reply: Reply, nodes: list[Node]) -> Part:
        """Return the rows of a flat list."""
        found = Found([row for node in nodes for row in self._found(node).rows])
        return Part(self._records(reply, found, None))

    def _shaped(self, node: Node) -> tuple[int, Found]:
        return iid_of(node), self._found(node)

    def _found(self, node: Node) -> Found:
        try:
            return self.plan.shape(node, self.reader.gitlab_id)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            said = f"GitLab answered {self.plan.name} in another shape: {error!r}"
            raise UnexpectedReply(said) from error

    def _records(self, reply: Reply, found: Found, iid: int | None) -> list[FetchedRecord]:
        rows = [msgspec.Raw(msgspec.json.encode(row)) for row in found.rows]
        request = f"/api/graphql#{self.plan.name}"
        page = Page(rows, None, None, request, reply.sha256, reply.fetched_at)
        return self.reader.records(page, iid)


def project_of(reply: Reply) -> Project:
    """Return the project. Raises NotByGraphQL where there is none for this account."""
    try:
        projects = msgspec.convert(reply.tree, _Tree).projects
    except msgspec.ValidationError as error:
        raise UnexpectedReply(f"GitLab's GraphQL answered in another shape: {error}") from error
    for project in (projects and projects.nodes) or ():
        if project is not None:
            return project
    raise NotByGraphQL("GitLab's GraphQL shows no such project")


def items_of(reply: Reply) -> Items:
    """Return the project's items. Raises NotByGraphQL where the list is null."""
    items = project_of(reply).items
    if items is None:
        raise NotByGraphQL("GitLab's GraphQL shows no such list of this project")
    return items


def _all_of(reply: Reply) -> list[Node]:
    """Return the items that were named; TooMuch where GitLab gives fewer at once than that."""
    items = items_of(reply)
    if items.after is not None:
        raise TooMuch("GitLab's GraphQL gives fewer items at once than it was asked for")
    return items.shown()


def iid_of(node: Node) -> int:
    """Read an item's iid, which GraphQL writes as text. Raises UnexpectedReply without one."""
    text = str(node.get("iid", ""))
    if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_IID):
        raise UnexpectedReply("GitLab's GraphQL names an item by something other than a number")
    return int(text)


def _named(iids: list[int]) -> dict[str, Any]:
    return {"iids": [str(iid) for iid in iids], "first": len(iids)}
