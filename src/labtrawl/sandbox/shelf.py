"""The world's lists as one viewer gets them, encoded on first use and kept.

Entered by the routes and by `truth`; both therefore speak of the same rows.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from labtrawl.sandbox import entities, entities_planning, entities_projects
from labtrawl.sandbox.access import Access, Viewer, sees_issue, sees_note
from labtrawl.sandbox.entities import Body
from labtrawl.sandbox.listing import Listing, Row, encoded
from labtrawl.sandbox.model import (
    PLANNER,
    REPORTER,
    Group,
    Issue,
    Membership,
    MergeRequest,
    Milestone,
    Project,
    World,
)
from labtrawl.sandbox.stock import Stock
from labtrawl.sandbox.wire import encode_json


class Shelf:
    """Listings of one world served under one address (`base`, no slash at its end).

    `enterprise` is the edition: some of its bodies say more.
    """

    def __init__(self, world: World, base: str, *, enterprise: bool = True) -> None:
        self.world = world
        self.base = base
        self.enterprise = enterprise
        self.access = Access(world)
        self.people = entities.People(base)
        self._milestones: dict[int, Body] = {}
        self._stock = Stock()

    def stamp(self, segments: tuple[str, ...]) -> int:
        """Another number after each change that may touch what this path answers."""
        return self._stock.stamp(segments)

    def replace_world(self, world: World, projects: set[int], relocated: set[int]) -> None:
        """Show another world from now on.

        `projects` are the numbers of all projects that are not as they were, of which the
        `relocated` ones have another path or other people; lists of no other project are made anew.
        """
        if world.users is not self.world.users:
            self.people = entities.People(self.base)
        self.world = world
        self.access = Access(world)
        self._milestones.clear()
        self._stock.drop(projects, relocated)

    def keep(self, key: tuple[object, ...], make: Callable[[], Listing]) -> Listing:
        """The listing kept under `key` (its name, then the number of its place), or made."""
        return self._stock.keep(key, make)

    def keep_rows(
        self, key: tuple[object, ...], items: Iterable[Any], write: Callable[[Any], Body]
    ) -> Listing:
        """As `keep`; after a change, only the items that it touched are written anew.

        For rows that follow from the item and its project's path alone.
        """
        return self._stock.keep_rows(key, items, write)

    def group(self, group: Group) -> bytes:
        """``GET /groups/:id?with_projects=false``."""
        return encode_json(entities.group_detail(self.base, group))

    def groups(self) -> Listing:
        """All groups of the instance as rows of ``GET /groups``."""
        groups = self.world.groups
        return self.keep(
            ("groups",), lambda: encoded((g, entities.group_body(self.base, g)) for g in groups)
        )

    def project_body(
        self, viewer: Viewer, project: Project, *, bare: bool = False, weighed: bool = False
    ) -> Body:
        """A project as the viewer gets it; `bare` = as in a group's list, without permissions.

        `weighed` adds statistics for Reporters and above.
        """
        group = self.access.groups.get(project.namespace_id)
        if viewer.user is None:
            return entities_projects.project_simple(self.base, project, group)
        if bare:
            return entities_projects.project_body(self.people, project, group, None)
        me = viewer.user.id
        direct = max((m.access_level for m in project.members if m.user.id == me), default=0)
        inherited = viewer.group_levels.get(group.id, 0) if group else 0
        permissions = entities_projects.permissions_body(direct, inherited)
        body = entities_projects.project_body(self.people, project, group, permissions)
        if weighed and viewer.level(project) >= REPORTER:
            body["statistics"] = entities_projects.statistics_body(project.statistics)
        return body

    def projects(
        self, viewer: Viewer, *, simple: bool = False, bare: bool = False, weighed: bool = False
    ) -> Listing:
        """All projects that the viewer may know of, in the order of their ids."""
        me = viewer.user.id if viewer.user else 0
        key = ("projects", me, simple, bare, weighed)
        return self.keep(key, lambda: self._projects(viewer, simple, bare, weighed))

    def _projects(self, viewer: Viewer, simple: bool, bare: bool, weighed: bool) -> Listing:
        seen = sorted(
            (p for p in self.world.projects if p.visibility == "public" or viewer.level(p)),
            key=lambda project: project.id,
        )
        if simple:
            groups = self.access.groups
            return encoded(
                (p, entities_projects.project_simple(self.base, p, groups.get(p.namespace_id)))
                for p in seen
            )
        return encoded((p, self.project_body(viewer, p, bare=bare, weighed=weighed)) for p in seen)

    def members(self, place: Group | Project) -> Listing:
        """Direct members of a group or project, by user id."""
        return self.keep(("members", place.id, type(place)), lambda: self._members(place.members))

    def all_members(self, place: Group | Project) -> Listing:
        """Direct and inherited members, each user once with the highest level."""
        return self.keep(
            ("members/all", place.id, type(place)),
            lambda: self._members(self._inherited(place)),
        )

    def _members(self, members: Iterable[Membership]) -> Listing:
        ordered = sorted(members, key=lambda member: member.user.id)
        return encoded((member, self.people.member(member)) for member in ordered)

    def _inherited(self, place: Group | Project) -> list[Membership]:
        highest: dict[int, Membership] = {}
        above = place.namespace_id if isinstance(place, Project) else place.parent_id
        for members in (place.members, *(group.members for group in self.access.lineage(above))):
            for member in members:
                known = highest.get(member.user.id)
                if known is None or known.access_level < member.access_level:
                    highest[member.user.id] = member
        return list(highest.values())

    def labels(self, place: Group | Project, *, ancestors: bool) -> Listing:
        """Labels of a place by name; `ancestors` adds those of the groups above."""
        return self.keep(
            ("labels", place.id, type(place), ancestors), lambda: self._labels(place, ancestors)
        )

    def _labels(self, place: Group | Project, ancestors: bool) -> Listing:
        own = {label.id for label in place.labels}
        labels = list(place.labels)
        above = place.namespace_id if isinstance(place, Project) else place.parent_id
        for group in self.access.lineage(above) if ancestors else ():
            labels += group.labels
        labels.sort(key=lambda label: (label.name, label.id))
        if isinstance(place, Project):
            counts = label_counts(place)
            return encoded(
                (
                    x,
                    entities_planning.project_label_body(
                        x, counts.get(x.name, (0, 0, 0)), x.id in own
                    ),
                )
                for x in labels
            )
        totals = self._group_label_counts(place)
        return encoded(
            (x, entities_planning.label_body(x, totals.get(x.name, (0, 0, 0)))) for x in labels
        )

    def _group_label_counts(self, group: Group) -> dict[str, tuple[int, int, int]]:
        totals: dict[str, tuple[int, int, int]] = {}
        for project in self.world.projects:
            if group in self.access.lineage(project.namespace_id):
                for name, counts in label_counts(project).items():
                    old = totals.get(name, (0, 0, 0))
                    totals[name] = (old[0] + counts[0], old[1] + counts[1], old[2] + counts[2])
        return totals

    def milestone_body(self, milestone: Milestone) -> Body:
        """A milestone inside another object or as a row."""
        found = self._milestones.get(milestone.id)
        if found is None:
            found = entities_planning.milestone_body(self.base, milestone, self._home(milestone))
            self._milestones[milestone.id] = found
        return found

    def _home(self, milestone: Milestone) -> str:
        if milestone.project_id is not None:
            return self.access.projects[milestone.project_id].full_path
        return self.access.groups[milestone.group_id or 0].full_path

    def milestones(self, place: Group | Project) -> Listing:
        """A place's own milestones, newest first."""
        ordered = sorted(place.milestones, key=lambda milestone: -milestone.id)
        return self.keep(
            ("milestones", place.id, type(place)),
            lambda: encoded((m, self.milestone_body(m)) for m in ordered),
        )

    def issues(self, viewer: Viewer, project: Project) -> Listing:
        """The issues that the viewer may see."""
        everything = self.keep_rows(
            ("issues", project.id), project.issues, partial(self.issue_body, project)
        )
        if viewer.level(project) >= PLANNER:
            return everything
        me = viewer.user.id if viewer.user else 0
        return self.keep(
            ("issues", project.id, me),
            lambda: Listing(
                [row for row in everything.rows if sees_issue(viewer, project, row.item)]
            ),
        )

    def issue_body(self, project: Project, issue: Issue) -> Body:
        """An issue as a row, and inside a link."""
        milestone = self.milestone_body(issue.milestone) if issue.milestone else None
        return entities_planning.issue_body(self.people, project, issue, milestone)

    def notes(self, viewer: Viewer, project: Project, item: Issue | MergeRequest) -> Listing:
        """Notes of an issue or merge request, oldest first, with holes for the unreadable ones."""
        kind = type(item).__name__
        whole = self.keep(("notes", project.id, kind, item.id), lambda: self._notes(project, item))
        rows = [
            row if sees_note(viewer, project, row.item) else Row(row.item, None)
            for row in whole.rows
        ]
        return Listing(rows) if any(row.body is None for row in rows) else whole

    def _notes(self, project: Project, item: Issue | MergeRequest) -> Listing:
        noteable = (type(item).__name__, item.id, item.iid)
        return encoded(
            (note, entities_planning.note_body(self.people, project, note, noteable))
            for note in item.notes
        )


def label_counts(project: Project) -> dict[str, tuple[int, int, int]]:
    """For each label name: open issues, closed issues, open merge requests of the project."""
    counts: dict[str, list[int]] = {}
    for issue in project.issues:
        for name in issue.labels:
            counts.setdefault(name, [0, 0, 0])[issue.state != "opened"] += 1
    for request in project.merge_requests:
        for name in request.labels if request.state == "opened" else ():
            counts.setdefault(name, [0, 0, 0])[2] += 1
    return {name: (row[0], row[1], row[2]) for name, row in counts.items()}
