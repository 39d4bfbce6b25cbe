"""Emoji, events of labels, states and milestones, working times and reviews of an export tree.

Entered by `planning` and `code`. Column names follow ``import_export/project/import_export.yml``.
"""

from typing import Any

from labtrawl.sandbox.imports.labels import Place, add_label, thread_milestone
from labtrawl.sandbox.imports.reading import Record
from labtrawl.sandbox.imports.register import Register
from labtrawl.sandbox.model import (
    Approval,
    Award,
    LabelEvent,
    MilestoneEvent,
    RequestVersion,
    Review,
    StateEvent,
    Timelog,
)


def traces_of(register: Register, place: Place, row: Record) -> dict[str, Any]:
    """What hangs on an issue or merge request, by the names of the model's fields."""
    return {
        "awards": to_awards(register, row, row.instant("created_at")),
        "label_events": tuple(
            register.keep(
                row.many("resource_label_events"), lambda r: _label_event(register, place, r)
            )
        ),
        "state_events": tuple(
            register.keep(row.many("resource_state_events"), lambda r: _state_event(register, r))
        ),
        "milestone_events": tuple(
            register.keep(
                row.many("resource_milestone_events"),
                lambda r: _milestone_event(register, place, r),
            )
        ),
        "timelogs": tuple(register.keep(row.many("timelogs"), lambda r: _timelog(register, r))),
    }


def to_awards(register: Register, row: Record, born_at: str) -> tuple[Award, ...]:
    """Emoji given to an issue, a merge request or a note made at `born_at`, by number."""
    rows = row.many("award_emoji")
    awards = register.keep(rows, lambda record: _award(register, record, born_at))
    return tuple(sorted(awards, key=lambda award: award.id))


def _award(register: Register, row: Record, born_at: str) -> Award:
    name = row.text("name")
    created = row.optional_instant("created_at") or born_at
    return Award(
        id=register.number("award", row.optional_number("id"), f"emoji {name} in {row.where}"),
        name=name,
        user=register.user(row.optional_number("user_id")),
        created_at=created,
        updated_at=row.optional_instant("updated_at") or created,
    )


def _label_event(register: Register, place: Place, row: Record) -> LabelEvent:
    nested = row.one("label")
    number = row.optional_number("id")
    return LabelEvent(
        id=register.number("label_event", number, f"a label event in {row.where}"),
        user=register.user(row.optional_number("user_id")),
        created_at=row.instant("created_at"),
        action=row.text("action"),
        label=add_label(register, place, nested) if nested else None,
    )


def _state_event(register: Register, row: Record) -> StateEvent:
    number = row.optional_number("id")
    return StateEvent(
        id=register.number("state_event", number, f"a state event in {row.where}"),
        user=register.user(row.optional_number("user_id")),
        created_at=row.instant("created_at"),
        state=row.text("state"),
        source_commit=row.optional_text("source_commit"),
    )


def _milestone_event(register: Register, place: Place, row: Record) -> MilestoneEvent:
    number = row.optional_number("id")
    return MilestoneEvent(
        id=register.number("milestone_event", number, f"a milestone event in {row.where}"),
        user=register.user(row.optional_number("user_id")),
        created_at=row.instant("created_at"),
        action=row.text("action"),
        milestone=thread_milestone(register, place, row),
        state=row.optional_text("state") or "opened",
    )


def _timelog(register: Register, row: Record) -> Timelog:
    created = row.instant("created_at")
    return Timelog(
        id=register.number("timelog", row.optional_number("id"), f"a timelog in {row.where}"),
        user=register.user(row.optional_number("user_id")),
        time_spent=row.number("time_spent"),
        spent_at=row.optional_instant("spent_at") or created,
        created_at=created,
        updated_at=row.optional_instant("updated_at") or created,
        summary=row.optional_text("summary"),
    )


def reviews_of(register: Register, row: Record, born_at: str) -> dict[str, Any]:
    """Approvals, reviews and the one version that a tree holds, by the names of the fields."""
    return {
        "approvals": tuple(
            Approval(
                user=register.user(record.optional_number("user_id")),
                approved_at=record.optional_instant("created_at") or born_at,
            )
            for record in row.many("approvals")
        ),
        "reviews": tuple(
            Review(
                user=register.user(record.optional_number("user_id")),
                state=record.optional_text("state") or "unreviewed",
                created_at=record.optional_instant("created_at") or born_at,
            )
            for record in row.many("merge_request_reviewers")
        ),
        "versions": _versions(register, row, born_at),
    }


def _versions(register: Register, row: Record, born_at: str) -> tuple[RequestVersion, ...]:
    diff = row.one("merge_request_diff")
    if diff is None:
        return ()
    commits = diff.many("merge_request_diff_commits")
    newest = next((c for c in commits if c.fields.get("relative_order") == 0), None)
    head = newest.optional_text("sha") if newest else None
    base = diff.optional_text("base_commit_sha")
    number = diff.optional_number("id")
    version = RequestVersion(
        id=register.number("version", number, f"a version in {row.where}"),
        head_commit_sha=diff.optional_text("head_commit_sha") or head,
        base_commit_sha=base,
        start_commit_sha=diff.optional_text("start_commit_sha") or base,
        created_at=diff.optional_instant("created_at") or born_at,
        state=diff.optional_text("state") or "collected",
        real_size=diff.optional_text("real_size") or "",
    )
    return (version,)
