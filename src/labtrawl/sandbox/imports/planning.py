"""Issues, notes and members of an export tree.

Entered by `projects` and `groups`. Column names follow ``import_export/project/import_export.yml``.
"""

from labtrawl.sandbox.imports.labels import Place, label_names, thread_milestone
from labtrawl.sandbox.imports.reading import BadRecord, Record
from labtrawl.sandbox.imports.register import Register
from labtrawl.sandbox.imports.traces import to_awards, traces_of
from labtrawl.sandbox.model import Issue, Membership, Note, User


def users_of(register: Register, rows: list[Record]) -> tuple[User, ...]:
    """The users that rows with a ``user_id`` name, each once."""
    numbers = dict.fromkeys(row.optional_number("user_id") for row in rows)
    return tuple(register.user(number) for number in numbers if number is not None)


def votes(row: Record, emoji: str) -> int:
    """How many gave this emoji."""
    return sum(award.fields.get("name") == emoji for award in row.many("award_emoji"))


def to_note(register: Register, row: Record, home: str) -> Note:
    """A note on `home`: kind and number of an issue, a merge request or a commit."""
    resolved_at = row.optional_instant("resolved_at")
    position = row.fields.get("position")
    body = row.optional_text("note")
    if body is None:
        raise BadRecord(f"{row.where}: a note without text")
    kind = row.optional_text("type")
    number = register.number("note", row.optional_number("id"), f"a note in {row.where}")
    return Note(
        id=number,
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
        discussion_id=register.discussion(row.optional_text("discussion_id"), home, number),
        awards=to_awards(register, row, row.instant("created_at")),
    )


def to_notes(register: Register, rows: list[Record], home: str) -> tuple[Note, ...]:
    """All notes on `home`, oldest first."""
    notes = register.keep(rows, lambda record: to_note(register, record, home))
    return tuple(sorted(notes, key=lambda note: (note.created_at, note.id)))


def to_issue(register: Register, place: Place, row: Record) -> Issue:
    """An issue with its notes."""
    title = row.text("title")
    iid = row.number("iid")
    created_at, updated_at = row.instant("created_at"), row.instant("updated_at")
    closed_by = row.optional_number("closed_by_id")
    kind = row.one("work_item_type")
    number = register.number("issue", row.optional_number("id"), f"issue #{iid} {title[:40]}")
    return Issue(
        id=number,
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
        notes=to_notes(register, row.many("notes"), f"issue {number}"),
        **traces_of(register, place, row),
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
