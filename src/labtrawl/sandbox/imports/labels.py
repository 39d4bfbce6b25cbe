"""Labels and milestones of an export tree, and the place that they belong to.

Entered by the rooms of the import that read what refers to them.
"""

from dataclasses import dataclass, field

from labtrawl.sandbox.imports.reading import Record
from labtrawl.sandbox.imports.register import Register
from labtrawl.sandbox.model import Label, Milestone

_DARK_SUM = 500


@dataclass(slots=True)
class Place:
    """The group and project that labels and milestones of a tree belong to.

    Those found so far are kept by the tree's own numbers. `project_id` None: the tree of a group.
    """

    group_id: int | None
    project_id: int | None
    labels: dict[int, Label] = field(default_factory=dict)
    group_labels: dict[int, Label] = field(default_factory=dict)
    milestones: dict[tuple[bool, str, int], Milestone] = field(default_factory=dict)

    def own_milestones(self, *, of_group: bool) -> tuple[Milestone, ...]:
        """The milestones of the project, or those of the group."""
        return tuple(m for (group, _, _), m in self.milestones.items() if group == of_group)


def text_color(color: str) -> str:
    """Black or white, whichever GitLab would put on the label's colour."""
    digits = color.lstrip("#")
    try:
        parts = [int(digits[i : i + 2], 16) for i in (0, 2, 4)]
    except ValueError:
        return "#FFFFFF"
    return "#333333" if sum(parts) > _DARK_SUM else "#FFFFFF"


def add_label(register: Register, place: Place, row: Record) -> Label:
    """The label of a record, made once for each number of the tree."""
    of_group = row.fields.get("type") == "GroupLabel" or place.project_id is None
    shelf = place.group_labels if of_group else place.labels
    wanted = row.optional_number("id")
    if wanted in shelf:
        return shelf[wanted]
    title = row.text("title")
    number = register.number("label", wanted, f"label {title}")
    color = row.optional_text("color") or "#6699cc"
    priorities = row.many("priorities")
    label = Label(
        id=number,
        name=title,
        color=color,
        text_color=text_color(color),
        description=row.optional_text("description") or None,
        priority=priorities[0].optional_number("priority") if priorities else None,
    )
    shelf[wanted if wanted is not None else number] = label
    return label


def add_milestone(register: Register, place: Place, row: Record) -> Milestone:
    """The milestone of a record; records of one title and iid are one milestone."""
    of_group = place.project_id is None or row.optional_number("group_id") is not None
    title = row.text("title")
    iid = row.number("iid")
    key = (of_group, title, iid)
    if key not in place.milestones:
        place.milestones[key] = Milestone(
            id=register.number("milestone", row.optional_number("id"), f"milestone {title}"),
            iid=iid,
            title=title,
            description=row.optional_text("description"),
            state=row.optional_text("state") or "active",
            created_at=row.instant("created_at"),
            updated_at=row.instant("updated_at"),
            due_date=row.optional_text("due_date"),
            start_date=row.optional_text("start_date"),
            group_id=place.group_id if of_group else None,
            project_id=None if of_group else place.project_id,
        )
    return place.milestones[key]


def thread_milestone(register: Register, place: Place, row: Record) -> Milestone | None:
    """The milestone of an issue or merge request; None without one or with a broken one."""
    nested = row.one("milestone")
    if nested is None:
        return None
    made = register.keep([nested], lambda record: add_milestone(register, place, record))
    return made[0] if made else None


def label_names(register: Register, place: Place, row: Record) -> tuple[str, ...]:
    """Names of the labels on an issue or merge request."""
    nested = [link.one("label") for link in row.many("label_links")]
    labels = register.keep(
        [record for record in nested if record is not None],
        lambda record: add_label(register, place, record),
    )
    return tuple(sorted({label.name for label in labels}))
