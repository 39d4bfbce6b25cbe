"""What people left on the issues and merge requests of a generated world.

Emoji, the events of labels, states and milestones, working times and links. Entered by
`world.generate` once all items are written; every trace fits the item that it is found on.
"""

import random
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from labtrawl.sandbox.estate import Draft, quotas
from labtrawl.sandbox.instants import HOUR_MS, instant_ms, instant_text
from labtrawl.sandbox.model import (
    Award,
    Issue,
    IssueLink,
    LabelEvent,
    MergeRequest,
    MilestoneEvent,
    Note,
    StateEvent,
    Timelog,
    User,
)
from labtrawl.sandbox.stage import Stage

_EMOJI = ("tada", "heart", "eyes", "rocket", "ocean", "coffee", "thumbsdown")
_NOTES_WITH_EMOJI = 19
_REOPENED = 17
_SECONDS = (900, 1800, 3600, 5400, 7200, 14_400)
_SUMMARIES = (None, None, "On the bench", "With the boat crew", "Write-up")
_Item = TypeVar("_Item", Issue, MergeRequest)


def write_traces(drafts: list[Draft], stage: Stage) -> None:
    """Put the traces on all items of the drafts."""
    rng = stage.chance("traces")
    logs = quotas(stage.plan, drafts, "timelogs")
    for draft, count in zip(drafts, logs, strict=True):
        tracer = _Tracer(draft, stage, rng)
        share = count // 4 if draft.merge_requests else 0
        share = count if not draft.issues else share
        draft.merge_requests = _all_traced(tracer, draft.merge_requests, share)
        draft.issues = _all_traced(tracer, draft.issues, count - share)
    _link_issues(drafts, stage)


def _all_traced(tracer: "_Tracer", items: list[_Item], logs: int) -> list[_Item]:
    if not items:
        return []
    spent = [0] * len(items)
    for _ in range(logs):
        spent[tracer.rng.randrange(len(items))] += 1
    return [tracer.traced(item, count) for item, count in zip(items, spent, strict=True)]


@dataclass(slots=True)
class _Tracer:
    draft: Draft
    stage: Stage
    rng: random.Random

    def traced(self, item: _Item, logs: int) -> _Item:
        """The item with its traces, `logs` working times among them."""
        awards = self._awards(item)
        times = self._timelogs(item, logs) if logs else ()
        votes = [award.name for award in awards]
        changes: dict[str, Any] = {
            "awards": awards,
            "upvotes": votes.count("thumbsup"),
            "downvotes": votes.count("thumbsdown"),
            "label_events": self._label_events(item) if item.labels else (),
            "state_events": self._state_events(item),
            "milestone_events": self._milestone_events(item) if item.milestone else (),
            "timelogs": times,
            "total_time_spent": sum(log.time_spent for log in times),
            "notes": tuple(self._noticed(note) for note in item.notes),
        }
        return msgspec.structs.replace(item, **changes)

    def _award(self, name: str, user: User, at: str) -> Award:
        number = self.stage.ids.take("award")
        return Award(id=number, name=name, user=user, created_at=at, updated_at=at)

    def _awards(self, item: Issue | MergeRequest) -> tuple[Award, ...]:
        team = self.draft.team
        found = [
            self._award("thumbsup", user, item.updated_at) for user in team[-item.upvotes :]
        ] if item.upvotes else []  # fmt: skip
        if item.id % 9 == 0:
            name = _EMOJI[item.id // 9 % len(_EMOJI)]
            found.append(self._award(name, self.rng.choice(team), item.updated_at))
        return tuple(found)

    def _noticed(self, note: Note) -> Note:
        """The note, with an emoji on a few of the remarks."""
        if note.system or note.id % _NOTES_WITH_EMOJI:
            return note
        user = self.rng.choice(self.draft.team)
        name = _EMOJI[note.id // _NOTES_WITH_EMOJI % len(_EMOJI)]
        award = self._award(name, user, note.updated_at)
        return msgspec.structs.replace(note, awards=(award,))

    def _label_events(self, item: Issue | MergeRequest) -> tuple[LabelEvent, ...]:
        """Every label was put on; on some items another one was put on and taken off again."""
        known = self.draft.known_labels
        rows = [("add", name, item.created_at) for name in item.labels]
        other = next(iter(known)) if item.id % 8 == 0 else item.labels[0]
        if other not in item.labels:
            rows += [("add", other, item.created_at), ("remove", other, item.updated_at)]
        user = item.author
        return tuple(
            LabelEvent(
                id=self.stage.ids.take("label_event"),
                user=user,
                created_at=at,
                action=action,
                label=known[name],
            )
            for action, name, at in rows
        )

    def _state_events(self, item: Issue | MergeRequest) -> tuple[StateEvent, ...]:
        rows: list[tuple[str, User, str]] = []
        if item.id % _REOPENED == 0 and item.created_at < item.updated_at:
            start, end = instant_ms(item.created_at), _ends_ms(item)
            rows.append(("closed", item.author, instant_text(start + (end - start) // 3)))
            rows.append(("reopened", item.author, instant_text(start + (end - start) // 2)))
        if item.closed_at and item.closed_by:
            rows.append(("closed", item.closed_by, item.closed_at))
        if isinstance(item, MergeRequest) and item.merged_at and item.merge_user:
            rows.append(("merged", item.merge_user, item.merged_at))
        return tuple(
            StateEvent(id=self.stage.ids.take("state_event"), user=user, created_at=at, state=state)
            for state, user, at in rows
        )

    def _milestone_events(self, item: Issue | MergeRequest) -> tuple[MilestoneEvent, ...]:
        """The milestone was set; on some items another one was set before and taken away."""
        other = self.draft.all_milestones[0]
        rows = [("add", item.milestone)]
        if item.id % 11 == 0 and item.milestone and other.id != item.milestone.id:
            rows = [("add", other), ("remove", other), *rows]
        return tuple(
            MilestoneEvent(
                id=self.stage.ids.take("milestone_event"),
                user=item.author,
                created_at=item.created_at,
                action=action,
                milestone=milestone,
            )
            for action, milestone in rows
        )

    def _timelogs(self, item: Issue | MergeRequest, count: int) -> tuple[Timelog, ...]:
        start, end = instant_ms(item.created_at), instant_ms(item.updated_at)
        logs = []
        for turn in range(count):
            at = instant_text(start + (end - start) * (turn + 1) // count)
            logs.append(
                Timelog(
                    id=self.stage.ids.take("timelog"),
                    user=self.rng.choice(self.draft.team),
                    time_spent=self.rng.choice(_SECONDS),
                    spent_at=at,
                    created_at=at,
                    updated_at=at,
                    summary=self.rng.choice(_SUMMARIES),
                )
            )
        return tuple(logs)


def _ends_ms(item: Issue | MergeRequest) -> int:
    merged = item.merged_at if isinstance(item, MergeRequest) else None
    return instant_ms(item.closed_at or merged or item.updated_at)


def _link_issues(drafts: list[Draft], stage: Stage) -> None:
    """Link issues of one project, and of each tenth link one with an issue of the next project."""
    rng = stage.chance("links")
    found: dict[int, list[IssueLink]] = {}
    having = [draft for draft in drafts if draft.issues and draft.counted]
    for draft, count in zip(drafts, quotas(stage.plan, drafts, "links"), strict=True):
        if not draft.issues:
            continue
        for turn in range(count):
            source, home = rng.choice(draft.issues), draft
            if turn % 10 == 9 and having:
                home = having[(turn + draft.id) % len(having)]
            target = rng.choice(home.issues)
            linked = {link.issue_id for link in found.get(source.id, ())}
            if target.id == source.id or target.id in linked:
                continue
            _link(found, (draft, source), (home, target), turn % 4 == 0, stage)
    for draft in drafts:
        draft.issues = [
            msgspec.structs.replace(issue, links=tuple(found[issue.id]))
            if issue.id in found
            else issue
            for issue in draft.issues
        ]


def _link(
    found: dict[int, list[IssueLink]],
    source: tuple[Draft, Issue],
    target: tuple[Draft, Issue],
    blocking: bool,
    stage: Stage,
) -> None:
    number = stage.ids.take("issue_link")
    born = max(instant_ms(source[1].created_at), instant_ms(target[1].created_at))
    at = instant_text(min(born + HOUR_MS, stage.rhythm.end_ms))
    words = ("blocks", "is_blocked_by") if blocking else ("relates_to", "relates_to")
    for word, (_, holder), (home, other) in (
        (words[0], source, target),
        (words[1], target, source),
    ):
        link = IssueLink(
            id=number,
            link_type=word,
            project_id=home.id,
            issue_id=other.id,
            issue_iid=other.iid,
            created_at=at,
            updated_at=at,
        )
        found.setdefault(holder.id, []).append(link)
