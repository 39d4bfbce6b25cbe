"""A world while changes are made in it: lists opened one by one, closed into a new world at the end.

Entered by the rooms of changes alone. A list that no change asks for is not touched.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from labtrawl.sandbox.changes import Unfit
from labtrawl.sandbox.changes_shown import showing
from labtrawl.sandbox.model import Event, Group, Project, User, World

Place = Literal["project", "group"]
Rows = dict[Any, Any]
NAMED_BY = {
    "issues": "iid",
    "merge_requests": "iid",
    "commits": "sha",
    "branches": "name",
    "tags": "name",
    "releases": "tag_name",
}

# What hangs on issues and merge requests.
_OF_ITEMS = frozenset({"notes", "awards", "timelogs", "links", "versions"})
_OF_ITEMS |= {"label_events", "state_events", "milestone_events"}


@dataclass(slots=True)
class Numbers:
    """The last numbers given, kept over all changes of a server: none is ever given twice."""

    ids: dict[str, int] = field(default_factory=dict)
    iids: dict[tuple[int, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class Touched:
    """The projects that changes reach, by id; the `relocated` ones have another path or other people."""

    projects: set[int] = field(default_factory=set)
    relocated: set[int] = field(default_factory=set)


class Board:
    """A world being changed; `now` is the instant of changes that name none."""

    def __init__(self, world: World, numbers: Numbers, now: str) -> None:
        self.numbers = numbers
        self.now = now
        self.touched = Touched()
        self.projects = {project.id: project for project in world.projects}
        self.groups = {group.id: group for group in world.groups}
        self.users = {user.username: user for user in world.users}
        self.main_user = self.user(world.accounts[0].username)
        self._world = world
        self._rows: dict[tuple[Place, int, str], Rows] = {}
        self._titles: dict[tuple[str, int], str] = {}
        self._notes: dict[int, Any] = {}
        self._people: dict[int, User] = {}

    def user(self, username: object) -> User:
        """A user by name. Raises Unfit."""
        found = self.users.get(str(username))
        if found is None:
            raise Unfit(f"no user {username} in this world")
        return found

    def set_user(self, fresh: User) -> None:
        """Show a user otherwise, in every place."""
        known = (fresh if user.id == fresh.id else user for user in self.users.values())
        self.users = {user.username: user for user in known}
        self._people[fresh.id] = fresh
        if self.main_user.id == fresh.id:
            self.main_user = fresh
        self.touched.projects |= self.projects.keys()
        # A row may show the person though it is none of the person's own: none is taken over.
        self.touched.relocated |= self.projects.keys()

    def project(self, number: int) -> Project:
        """A project without what the open lists hold by now. Raises Unfit."""
        found = self.projects.get(number)
        if found is None:
            raise Unfit(f"no project {number} in this world")
        return found

    def group(self, number: int) -> Group:
        """A group, as `project` gives one. Raises Unfit."""
        found = self.groups.get(number)
        if found is None:
            raise Unfit(f"no group {number} in this world")
        return found

    def place(self, kind: Place, number: int) -> Project | Group:
        """A project or group. Raises Unfit."""
        return self.project(number) if kind == "project" else self.group(number)

    def set_fields(self, kind: Place, number: int, **fields: object) -> None:
        """Change fields of a place other than its lists."""
        changed = msgspec.structs.replace(self.place(kind, number), **fields)
        if isinstance(changed, Project):
            self.projects[number] = changed
        else:
            self.groups[number] = changed
        self.touched.projects |= self.below(kind, number)

    def rows(self, kind: Place, number: int, name: str) -> Rows:
        """A list of a place, by what names its rows, opened for changes in it."""
        key = (kind, number, name)
        found = self._rows.get(key)
        if found is None:
            by = NAMED_BY.get(name, "id")
            rows = getattr(self.place(kind, number), name)
            found = self._rows[key] = {getattr(row, by): row for row in rows}
            self.touched.projects |= self.below(kind, number)
        return found

    def drop(self, kind: Place, number: int) -> None:
        """Remove a place; its lists go with it."""
        self.touched.projects |= self.below(kind, number)
        (self.projects if kind == "project" else self.groups).pop(number)
        for key in [key for key in self._rows if key[:2] == (kind, number)]:
            del self._rows[key]

    def below(self, kind: Place, number: int) -> set[int]:
        """The project, or all projects at any depth of the group."""
        if kind == "project":
            return {number}
        inside = self.groups_below(number)
        return {found.id for found in self.projects.values() if found.namespace_id in inside}

    def groups_below(self, number: int) -> set[int]:
        """The group and its descendants."""
        inside = {number}
        for found in sorted(self.groups.values(), key=lambda group: group.full_path.count("/")):
            if found.parent_id in inside:
                inside.add(found.id)
        return inside

    def peek(self, kind: Place, number: int, name: str) -> tuple[Any, ...]:
        """A list of a place as it is by now, to be read alone."""
        found = self._rows.get((kind, number, name))
        if found is not None:
            return tuple(found.values())
        return tuple(getattr(self.place(kind, number), name))

    def last_id(self, kind: str) -> int:
        """The last instance-wide number given to a `kind` (a list's name, "notes", "awards")."""
        if kind not in self.numbers.ids:
            self.numbers.ids[kind] = max(self._all_ids(kind), default=0)
        return self.numbers.ids[kind]

    def next_id(self, kind: str) -> int:
        """An instance-wide number never given before."""
        self.numbers.ids[kind] = self.last_id(kind) + 1
        return self.numbers.ids[kind]

    def _all_ids(self, kind: str) -> list[int]:
        if kind == "projects":
            return list(self.projects)
        places = [*self._world.projects, *self._world.groups]
        if kind in _OF_ITEMS:
            threads = [
                thread
                for project in self._world.projects
                for thread in (*project.issues, *project.merge_requests, *project.commits)
            ]
            return [row.id for thread in threads for row in getattr(thread, kind, ())]
        return [row.id for place in places for row in getattr(place, kind, ())]

    def last_iid(self, project: int, kind: str) -> int:
        """The last number within the project given to a `kind`."""
        key = (project, kind)
        if key not in self.numbers.iids:
            rows = self.peek("project", project, kind)
            self.numbers.iids[key] = max((row.iid for row in rows), default=0)
        return self.numbers.iids[key]

    def next_iid(self, project: int, kind: str) -> int:
        """A number within the project never given before, not even to a deleted object."""
        self.numbers.iids[project, kind] = self.last_iid(project, kind) + 1
        return self.numbers.iids[project, kind]

    def tell(self, project: int, at: str, **fields: Any) -> None:
        """Add an event to the project's feed, and let its ``last_activity_at`` follow."""
        feed = self.rows("project", project, "events")
        number = self.next_id("events")
        feed[number] = Event(id=number, created_at=at, **fields)

    def retold(self, kind: str, number: int, title: str | None) -> None:
        """The feed's rows of an issue or merge request get another title, or (None) are gone."""
        self._titles[kind, number] = title or ""

    def noted(self, number: int, note: object) -> None:
        """The feed's rows of a note show it as it is now, or (None) are gone."""
        self._notes[number] = note

    def world(self) -> World:
        """The changed world."""
        for kind, number, name in list(self._rows):
            if kind == "project" and name in ("issues", "merge_requests"):
                self._retell(number)
        lists: dict[tuple[Place, int], dict[str, object]] = {}
        for (kind, number, name), rows in self._rows.items():
            lists.setdefault((kind, number), {})[name] = tuple(rows.values())
        for (kind, number), changed in lists.items():
            self.set_fields(kind, number, **changed)
        after = msgspec.structs.replace(
            self._world,
            projects=tuple(self.projects.values()),
            groups=tuple(self.groups.values()),
        )
        return showing(after, self._people) if self._people else after

    def _retell(self, project: int) -> None:
        if not (self._titles or self._notes) or not self.project(project).events:
            return
        feed = self.rows("project", project, "events")
        for number, event in list(feed.items()):
            found = self._retold_event(event)
            if found is None:
                del feed[number]
            elif found is not event:
                feed[number] = found

    def _retold_event(self, event: Event) -> Event | None:
        if event.note is not None and event.note.id in self._notes:
            note = self._notes[event.note.id]
            return msgspec.structs.replace(event, note=note) if note is not None else None
        kind, number = event.noteable_type, event.noteable_id
        if event.note is None:
            kind, number = event.target_type, event.target_id
        title = self._titles.get((kind or "", number or 0))
        if title is None:
            return event
        return msgspec.structs.replace(event, target_title=title) if title else None
