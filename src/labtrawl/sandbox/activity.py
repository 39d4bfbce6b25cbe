"""Releases and the event feed of a generated world: what the other rooms made, told again.

Entered by `world.generate`, last.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from labtrawl.sandbox.estate import Draft, quotas
from labtrawl.sandbox.instants import instant_text
from labtrawl.sandbox.model import Commit, Event, Issue, MergeRequest, Note, Push, Release
from labtrawl.sandbox.stage import Stage

_Fields = dict[str, Any]


def write_releases(drafts: list[Draft], stage: Stage) -> None:
    """A release for each tag that is no candidate."""
    rng = stage.chance("releases")
    for draft in drafts:
        releases: list[Release] = []
        for tag in draft.tags:
            if tag.name.endswith("-rc1"):
                continue
            released = max(tag.commit.committed_date, instant_text(draft.born_ms))
            digest = hashlib.sha256(f"{draft.full_path}/{tag.name}".encode()).hexdigest()
            releases.append(
                Release(
                    tag_name=tag.name,
                    name=f"{draft.path} {tag.name}",
                    description=f"## {tag.name}\n\n- {tag.commit.title}\n",
                    created_at=released,
                    released_at=released,
                    author=rng.choice(draft.team),
                    commit=tag.commit,
                    milestones=draft.milestones[:1],
                    links=(
                        (len(releases) + draft.id * 10, "datasheet", "https://fjordlab.example/d"),
                    )
                    if len(releases) % 3 == 0
                    else (),
                    evidence_sha=digest[:40],
                )
            )
        draft.releases = tuple(releases)


def write_events(drafts: list[Draft], stage: Stage) -> None:
    """The newest events of each draft, numbered in the order of time over the instance."""
    picked: list[tuple[str, int, int, Draft, _Fields]] = []
    for index, (draft, count) in enumerate(
        zip(drafts, quotas(stage.plan, drafts, "events"), strict=True)
    ):
        told = sorted(_tell(draft), key=lambda event: event["created_at"])
        for turn, fields in enumerate(told[max(len(told) - count, 0) :] if count else []):
            picked.append((fields["created_at"], index, turn, draft, fields))
    picked.sort(key=lambda row: row[:3])
    feeds: dict[int, list[Event]] = {}
    for _, _, _, draft, fields in picked:
        feeds.setdefault(draft.id, []).append(Event(id=stage.ids.take("event"), **fields))
    for draft in drafts:
        draft.events = tuple(feeds.get(draft.id, ()))


def _tell(draft: Draft) -> Iterator[_Fields]:
    created = instant_text(draft.born_ms)
    yield {"action_name": "created", "author": draft.owner or draft.team[0], "created_at": created}
    for member in draft.members:
        yield {"action_name": "joined", "author": member.user, "created_at": member.created_at}
    for issue in draft.issues:
        yield from _thread_events("Issue", issue)
    for request in draft.merge_requests:
        yield from _thread_events("MergeRequest", request)
    by_email = {f"{user.username}@fjordlab.example": user for user in draft.team}
    for commit in draft.commits[1::3]:
        yield _push_event(commit) | {"author": by_email[commit.author_email]}


def _thread_events(kind: str, item: Issue | MergeRequest) -> Iterator[_Fields]:
    hidden = isinstance(item, Issue) and item.confidential
    target: _Fields = {
        "target_id": item.id,
        "target_iid": item.iid,
        "target_type": kind,
        "target_title": item.title,
        "confidential": hidden,
    }
    opened = {"action_name": "opened", "author": item.author, "created_at": item.created_at}
    yield target | opened
    if item.closed_at and item.closed_by:
        closed = {"action_name": "closed", "author": item.closed_by, "created_at": item.closed_at}
        yield target | closed
    if isinstance(item, MergeRequest) and item.merged_at and item.merge_user:
        merged = {"action_name": "accepted", "author": item.merge_user}
        yield target | merged | {"created_at": item.merged_at}
    for note in item.notes:
        if not note.system:
            yield _note_event(kind, item, note, hidden)


def _note_event(kind: str, item: Issue | MergeRequest, note: Note, hidden: bool) -> _Fields:
    return {
        "action_name": "commented on",
        "author": note.author,
        "created_at": note.created_at,
        "target_id": note.id,
        "target_iid": note.id,
        "target_type": note.type or "Note",
        "target_title": item.title,
        "note": note,
        "noteable_type": kind,
        "noteable_id": item.id,
        "noteable_iid": item.iid,
        "confidential": hidden,
    }


def _push_event(commit: Commit) -> _Fields:
    return {
        "action_name": "pushed to",
        "created_at": commit.committed_date,
        "push": Push(
            commit_count=1,
            action="pushed",
            ref_type="branch",
            commit_from=commit.parents[0] if commit.parents else None,
            commit_to=commit.sha,
            ref="main",
            commit_title=commit.title[:70],
        ),
    }
