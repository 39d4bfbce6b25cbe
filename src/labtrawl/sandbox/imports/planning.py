"""Labels, milestones, issues and notes of an export tree.

Entered by `projects` and `groups`. Column names follow ``import_export/project/import_export.yml``.
"""

from dataclasses import dataclass, field

from labtrawl.sandbox.imports.reading import BadRecord, Record
from labtrawl.sandbox.imports.register import Register
from labtrawl.sandbox.model import Issue, Label, Membership, Milestone, Note, User

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


def users_of(register: Register, rows: list[Record]) -> tuple[User, ...]:
    """The users that rows with a ``user_id`` name, each once."""
    numbers = dict.fromkeys(row.optional_number("user_id") for row in rows)
    return tuple(register.user(number) for number in numbers if number is not None)


def votes(row: Record, emoji: str) -> int:
    """How many gave this emoji."""
    return sum(award.fields.get("name") == emoji for award in row.many("award_emoji"))


def to_note(register: Register, row: Record) -> Note:
    """A note of an issue or merge request."""
    resolved_at = row.optional_instant("resolved_at")
    position = row.fields.get("position")
    body = row.optional_text("note")
    if body is None:
        raise BadRecord(f"{row.where}: a note without text")
    kind = row.optional_text("type")
    return Note(
        id=register.number("note", row.optional_number("id"), f"a note in {row.where}"),
        body=body,
        author=register.user(row.optional_number("author_id")),
        created_at=row.instant("created_at"),
        updated_at=row.instant("updated_at"),
        type=kind,
        system=row.is_set("system"),
        internal=row.is_set("internal") or row.is_set("confidential"),
        resolvable=kind in ("DiffNote", "DiscussionNote")
        and row.fields.get("noteable_type") == "MergeRequest",
        resolved=resolved_at is not None,
        resolved_by=register.user(row.optional_number("resolved_by_id")) if resolved_at else None,
        resolved_at=resolved_at,
        position=position if isinstance(position, dict) else None,
        commit_id=row.optional_text("commit_id") or None,
        imported=True,
    )


def to_notes(register: Register, row: Record) -> tuple[Note, ...]:
    """All notes of an issue or merge request, oldest first."""
    notes = register.keep(row.many("notes"), lambda record: to_note(register, record))
    return tuple(sorted(notes, key=lambda note: (note.created_at, note.id)))


def to_issue(register: Register, place: Place, row: Record) -> Issue:
    """An issue with its notes."""
    title = row.text("title")
    iid = row.number("iid")
    created_at, updated_at = row.instant("created_at"), row.instant("updated_at")
    closed_by = row.optional_number("closed_by_id")
    kind = row.one("work_item_type")
    return Issue(
        id=register.number("issue", row.optional_number("id"), f"issue #{iid} {title[:40]}"),
        iid=iid,
        title=title,
        description=row.optional_text("description"),
        state=row.optional_text("state") or "opened",
        author=register.user(row.optional_number("author_id")),
        created_at=created_at,
        updated_at=updated_at,
        closed_at=row.optional_instant("closed_at"),
        closed_by=register.user(closed_by) if closed_by is not None else None,
        labels=label_names(register, place, row),
        milestone=thread_milestone(register, place, row),
        assignees=users_of(register, row.many("issue_assignees")),
        confidential=row.is_set("confidential"),
        due_date=row.optional_text("due_date"),
        issue_type=(kind.optional_text("base_type") if kind else None) or "issue",
        weight=row.optional_number("weight"),
        upvotes=votes(row, "thumbsup"),
        downvotes=votes(row, "thumbsdown"),
        discussion_locked=row.fields.get("discussion_locked"),
        relative_position=row.optional_number("relative_position"),
        time_estimate=row.optional_number("time_estimate") or 0,
        total_time_spent=time_spent(row),
        imported=True,
        notes=to_notes(register, row),
    )


def time_spent(row: Record) -> int:
    """Seconds of all timelogs."""
    return sum(log.optional_number("time_spent") or 0 for log in row.many("timelogs"))


def to_member(register: Register, row: Record) -> Membership:
    """A direct member. Invitations that nobody accepted are no members."""
    number = row.number("user_id")
    creator = row.optional_number("created_by_id")
    return Membership(
        user=register.user(number),
        access_level=row.number("access_level"),
        created_at=row.instant("created_at"),
        created_by=register.user(creator) if creator is not None else None,
        expires_at=row.optional_text("expires_at"),
    )


def to_members(register: Register, rows: list[Record]) -> list[Membership]:
    """The members among the rows, each user once."""
    accepted = [
        row
        for row in rows
        if row.fields.get("user_id") is not None and row.fields.get("requested_at") is None
    ]
    members = register.keep(accepted, lambda record: to_member(register, record))
    return list({member.user.id: member for member in members}.values())
