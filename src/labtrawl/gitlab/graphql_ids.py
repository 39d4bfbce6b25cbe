"""The ids of many lists by few requests: what waits while one is under way goes with the next.

A list of ids is small, and a request costs as much as one of whole objects does. So lists of many
projects share one, as many as GitLab's complexity and time allow.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from labtrawl.errors import Forbidden, UnexpectedReply
from labtrawl.gitlab.client import GitLab, TooMuch
from labtrawl.gitlab.graphql import Reply, query
from labtrawl.gitlab.graphql_plans import cost_of_ids, ids
from labtrawl.gitlab.graphql_shapes import number

# Each brings up to a hundred rows, and GitLab has half a minute for all of them.
MOST_LISTS: Final = 40
# What one without an account may ask for; a GitLab says what it allows (doc/api/graphql, "Limits").
LEAST_LIMIT: Final = 200
# Of the complexity, for what is asked beside the lists.
MARGIN: Final = 10


class Wanted(NamedTuple):
    """A page of one project's list: the connection, and GitLab's cursor of it (None: the first)."""

    project: int
    connection: str
    after: str | None = None


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """One object: its global id, and when it changed where GitLab says that."""

    id: str
    updated_at: str | None


class _PageEnd(msgspec.Struct, frozen=True, rename="camel"):
    has_next_page: bool
    end_cursor: str | None


class _Items(msgspec.Struct, frozen=True, rename="camel"):
    page_info: _PageEnd
    nodes: list[Row | None]


class _Project(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    full_path: str
    items: _Items | None


class _Group(msgspec.Struct, frozen=True):
    nodes: list[_Project | None] | None


@dataclass(frozen=True, slots=True)
class Told:
    """A page of ids: what changed when, by id, and where it goes on; `served_at` by GitLab's clock.

    `path` is the project's by now: every row of its lists shows it.
    """

    path: str
    changed_at: dict[int, str | None]
    after: str | None
    served_at: int | None


@dataclass(slots=True)
class Pool:
    """Asks for the ids of whoever waits, all with the account of whose turn it is."""

    size: int = MOST_LISTS
    _limit: int = LEAST_LIMIT
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: dict[Wanted, None] = field(default_factory=dict)
    _told: dict[Wanted, Told | None] = field(default_factory=dict)

    async def page(self, gitlab: GitLab, wanted: Wanted) -> Told:
        """Return a page of a list's ids. Raises GitLabError; Forbidden for a list that is null.

        An error belongs to whose turn it was: the others ask for themselves.
        """
        self._waiting[wanted] = None
        try:
            async with self._turn:
                while wanted not in self._told:
                    await self._ask(gitlab, self._chosen(wanted))
                told = self._told[wanted]
        finally:
            self._waiting.pop(wanted, None)
            self._told.pop(wanted, None)
        if told is None:
            raise Forbidden(f"GitLab's GraphQL shows no {wanted.connection} of this project")
        return told

    def _chosen(self, wanted: Wanted) -> dict[tuple[str, str | None], list[int]]:
        """Return what one request asks for: projects by connection and cursor."""
        groups: dict[tuple[str, str | None], list[int]] = {}
        others = (one for one in self._waiting if one != wanted and one not in self._told)
        for one in [wanted, *others][: self.size]:
            group = groups.setdefault((one.connection, one.after), [])
            group.append(one.project)
            if _cost(groups) > self._limit - MARGIN and len(groups) > 1:
                group.pop()
                break
        return {key: projects for key, projects in groups.items() if projects}

    async def _ask(self, gitlab: GitLab, groups: dict[tuple[str, str | None], list[int]]) -> None:
        count = sum(map(len, groups.values()))
        try:
            reply = await query(gitlab, ids([name for name, _ in groups]), _variables(groups))
        except TooMuch:
            if count == 1:
                raise
            self.size = count // 2
            return
        self._limit = reply.limit or self._limit
        self.size = min(MOST_LISTS, self.size + 1)
        told = dict(_read(reply, groups))
        self._told |= {wanted: told[wanted] for wanted in told if wanted in self._waiting}


def _cost(groups: dict[tuple[str, str | None], list[int]]) -> int:
    return sum(cost_of_ids(len(projects)) for projects in groups.values())


def _variables(groups: dict[tuple[str, str | None], list[int]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for at, ((_, after), projects) in enumerate(groups.items()):
        told[f"p{at}"] = [f"gid://gitlab/Project/{project}" for project in projects]
        told[f"n{at}"], told[f"a{at}"] = len(projects), after
    return told


def _read(
    reply: Reply, groups: dict[tuple[str, str | None], list[int]]
) -> Iterator[tuple[Wanted, Told | None]]:
    """Yield each page that was asked for; None for a list, or a project, that is null."""
    for at, ((name, after), projects) in enumerate(groups.items()):
        found = _projects(reply.tree.get(f"g{at}"))
        for project in projects:
            one = found.get(project)
            items = None if one is None else one.items
            told = None if one is None or items is None else _told(one.full_path, items, reply)
            yield Wanted(project, name, after), told


def _projects(tree: object) -> dict[int, _Project]:
    try:
        nodes = msgspec.convert(tree, _Group).nodes or ()
        return {number(node.id): node for node in nodes if node is not None}
    except (msgspec.ValidationError, LookupError, ValueError) as error:
        raise UnexpectedReply(f"GitLab's GraphQL told ids in another shape: {error!r}") from error


def _told(path: str, items: _Items, reply: Reply) -> Told:
    """Read a page; a row that the account may not see is left out."""
    try:
        rows = {number(row.id): row.updated_at for row in items.nodes if row is not None}
    except (LookupError, ValueError) as error:
        raise UnexpectedReply(f"GitLab's GraphQL told no ids: {error!r}") from error
    after = items.page_info.end_cursor if items.page_info.has_next_page else None
    if items.page_info.has_next_page and not after:
        raise UnexpectedReply("GitLab's GraphQL names a next page without a cursor")
    return Told(path, rows, after, reply.served_at)
