"""What a perfect crawler gets with an account: the yardstick of a crawl.

Entered by the command line, tests and the demo's verdict.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from labtrawl.sandbox import shelf_builds, shelf_code, shelf_items, truth_items
from labtrawl.sandbox.access import FORBIDDEN, Viewer, in_scope
from labtrawl.sandbox.listing import Row
from labtrawl.sandbox.model import Account, Group, Project, World
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.wire import encode_json

NaturalId = int | str

GROUP_RESOURCES = ("group", "members", "inherited_members", "labels", "milestones")
PROJECT_RESOURCES = (
    "project",
    "members",
    "inherited_members",
    "labels",
    "milestones",
    "issues",
    "merge_requests",
    "commits",
    "branches",
    "tags",
    "pipelines",
    "ci_jobs",
    "releases",
    "environments",
    "deployments",
    "events",
    "languages",
    "timelogs",
    *truth_items.ISSUE_RESOURCES,
    *truth_items.REQUEST_RESOURCES,
)
COMMIT_DISCUSSIONS = "commit_discussions"
_NATURAL = {
    "commits": "sha",
    "branches": "name",
    "tags": "name",
    "releases": "tag_name",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One record: its natural id and the body as the list serves it, encoded."""

    natural_id: NaturalId
    body: bytes


@dataclass(frozen=True, slots=True)
class Cell:
    """A resource of an area: its items, or why there are none (`gap`; empty if there is none)."""

    area_kind: str
    area_id: int
    full_path: str
    resource: str
    items: tuple[Item, ...] = ()
    gap: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """All cells of an account's scope."""

    username: str
    cells: tuple[Cell, ...]

    def counts(self) -> dict[str, int]:
        """Records by resource; ``total`` adds them all up."""
        found: Counter[str] = Counter()
        for cell in self.cells:
            found[cell.resource] += len(cell.items)
        return {**found, "total": found.total()}

    def items(self) -> Iterator[tuple[str, int, str, NaturalId, dict[str, object]]]:
        """Area kind, area id, resource, natural id and decoded body of every record."""
        for cell in self.cells:
            for item in cell.items:
                body = msgspec.json.decode(item.body)
                yield cell.area_kind, cell.area_id, cell.resource, item.natural_id, body

    def gaps(self) -> dict[tuple[str, int, str], str]:
        """Reason by area kind, area id and resource, where nothing may be read."""
        return {(c.area_kind, c.area_id, c.resource): c.gap for c in self.cells if c.gap}

    @property
    def users_seen(self) -> frozenset[int]:
        """Ids of every object with id, username and name inside the records."""
        seen: set[int] = set()
        for _, _, _, _, body in self.items():
            _gather(body, seen)
        return frozenset(seen)


def _gather(value: object, seen: set[int]) -> None:
    if isinstance(value, dict):
        if {"id", "username", "name"} <= value.keys():
            seen.add(value["id"])
        for inner in value.values():
            _gather(inner, seen)
    elif isinstance(value, list):
        for inner in value:
            _gather(inner, seen)


def truth(
    world: World,
    username: str | None = None,
    external_url: str = "",
    *,
    commit_discussions: bool = False,
) -> Truth:
    """The truth for an account (default: the main one), with links under `external_url`.

    `commit_discussions` adds this resource, that a crawl collects only where it is named. Raises KeyError if no account of the world has this username.
    """
    shelf = Shelf(world, external_url.rstrip("/") or "http://127.0.0.1")
    return truth_of(shelf, username, commit_discussions=commit_discussions)


def truth_of(
    shelf: Shelf, username: str | None = None, *, commit_discussions: bool = False
) -> Truth:
    """As `truth`, from the lists that a server keeps: what it answers at this moment."""
    account = _account(shelf.world, username)
    viewer = shelf.access.viewer(account)
    extra = (COMMIT_DISCUSSIONS,) if commit_discussions else ()
    cells: list[Cell] = []
    for group in sorted(shelf.world.groups, key=lambda g: g.id):
        if in_scope(viewer, viewer.group_level(group)):
            cells += _group_cells(shelf, viewer, group)
    for project in sorted(shelf.world.projects, key=lambda p: p.id):
        if in_scope(viewer, viewer.level(project)):
            cells += _project_cells(shelf, viewer, project, extra)
    return Truth(account.username, tuple(cells))


def _account(world: World, username: str | None) -> Account:
    if username is None:
        return world.accounts[0]
    for account in world.accounts:
        if account.username == username:
            return account
    raise KeyError(username)


def _items(resource: str, rows: list[Row]) -> tuple[Item, ...]:
    attribute = _NATURAL.get(resource, "id")
    return tuple(
        Item(getattr(row.item, attribute), row.body) for row in rows if row.body is not None
    )


def _members(rows: list[Row]) -> tuple[Item, ...]:
    return tuple(Item(row.item.user.id, row.body) for row in rows if row.body is not None)


def _group_cells(shelf: Shelf, viewer: Viewer, group: Group) -> Iterator[Cell]:
    denied = shelf.access.gate_group(viewer, group)
    for resource in GROUP_RESOURCES:
        if denied:
            yield Cell("group", group.id, group.full_path, resource, gap=FORBIDDEN.reason)
        else:
            items = _group_items(shelf, group, resource)
            yield Cell("group", group.id, group.full_path, resource, items)


def _group_items(shelf: Shelf, group: Group, resource: str) -> tuple[Item, ...]:
    if resource == "group":
        return (Item(group.id, shelf.group(group)),)
    return _place_items(shelf, group, resource)


def _place_items(shelf: Shelf, place: Group | Project, resource: str) -> tuple[Item, ...]:
    if resource == "members":
        return _members(shelf.members(place).rows)
    if resource == "inherited_members":
        return _members(shelf.all_members(place).rows)
    if resource == "labels":
        return _items(resource, shelf.labels(place, ancestors=False).rows)
    return _items(resource, shelf.milestones(place).rows)


def _project_cells(
    shelf: Shelf, viewer: Viewer, project: Project, extra: tuple[str, ...]
) -> Iterator[Cell]:
    for resource in (*PROJECT_RESOURCES, *extra):
        denied = shelf.access.gate_resource(viewer, project, resource)
        if denied:
            yield Cell("project", project.id, project.full_path, resource, gap=denied.reason)
        else:
            items = _project_items(shelf, viewer, project, resource)
            yield Cell("project", project.id, project.full_path, resource, items)


def _project_items(
    shelf: Shelf, viewer: Viewer, project: Project, resource: str
) -> tuple[Item, ...]:
    if resource == "project":
        body = shelf.project_body(viewer, project, weighed=True)
        return (Item(project.id, encode_json(body)),)
    if resource == "languages":
        return (Item(str(project.id), encode_json(project.languages)),)
    if resource in truth_items.RESOURCES:
        found = truth_items.records(shelf, viewer, project, resource)
        return tuple(Item(natural, body) for natural, body in found)
    if resource in ("members", "inherited_members", "labels", "milestones"):
        return _place_items(shelf, project, resource)
    return _items(resource, _project_rows(shelf, viewer, project, resource))


def _project_rows(shelf: Shelf, viewer: Viewer, project: Project, resource: str) -> list[Row]:
    lists: dict[str, Callable[[], list[Row]]] = {
        "issues": lambda: shelf.issues(viewer, project).rows,
        "merge_requests": lambda: shelf_code.merge_requests(shelf, project).rows,
        "commits": lambda: shelf_code.commits(shelf, project, stats=True).rows,
        "branches": lambda: shelf_code.branches(shelf, viewer, project).rows,
        "tags": lambda: shelf_code.tags(shelf, project).rows,
        "pipelines": lambda: shelf_code.pipelines(shelf, project).rows,
        "ci_jobs": lambda: shelf_code.jobs(shelf, project).rows,
        "releases": lambda: shelf_code.releases(shelf, viewer, project).rows,
        "environments": lambda: shelf_builds.environments(shelf, project).rows,
        "deployments": lambda: shelf_builds.deployments(shelf, project).rows,
        "timelogs": lambda: shelf_items.timelogs(shelf, viewer, project).rows,
        "events": lambda: shelf_code.events(shelf, viewer, project),
    }
    return lists[resource]()
