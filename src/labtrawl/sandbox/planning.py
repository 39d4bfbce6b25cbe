"""Labels, milestones and issues of a generated world, and the notes of issues and merge requests.

Entered by `world.generate`, after the drafts exist.
"""

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from labtrawl.sandbox import vocabulary as words
from labtrawl.sandbox.estate import Draft, quotas
from labtrawl.sandbox.instants import DAY_MS, date_text, instant_ms, instant_text
from labtrawl.sandbox.model import Group, Issue, Label, Milestone, Note, User
from labtrawl.sandbox.rhythm import apportion
from labtrawl.sandbox.stage import Ids, Stage

CLOSED_SHARE = 0.68
_MERGED_SHARE = 0.91
_SYSTEM_SHARE = 0.36
_LONG_TEXT = 10_000


def make_labels(
    rows: Iterable[tuple[str, str, str | None, int | None]], ids: Ids
) -> tuple[Label, ...]:
    """Labels from rows of the vocabulary."""
    return tuple(
        Label(id=ids.take("label"), name=name, color=color, description=text, priority=priority)
        for name, color, text, priority in rows
    )


def label_drafts(
    drafts: list[Draft], groups: dict[str, Group], stage: Stage
) -> dict[str, tuple[Label, ...]]:
    """Give every draft its labels; returns the labels of each group by full path."""
    rng = stage.chance("labels")
    of_groups = {
        path: make_labels(words.LABELS[:8] if "/" not in path else words.LABELS[8:10], stage.ids)
        for path in groups
    }
    for draft in drafts:
        own = make_labels(rng.sample(words.LABELS[8:], rng.randint(1, 4)), stage.ids)
        draft.labels = own
        usable = list(own)
        path = draft.group.full_path if draft.group else ""
        while path:
            usable += of_groups[path]
            path = path.rpartition("/")[0]
        for label in usable:
            draft.known_labels.setdefault(label.name, label)
    return of_groups


def milestone_drafts(
    drafts: list[Draft], groups: dict[str, Group], stage: Stage
) -> dict[str, tuple[Milestone, ...]]:
    """Give every draft its milestones; returns those of the top-level groups by full path."""
    of_groups: dict[str, tuple[Milestone, ...]] = {}
    for path, group in groups.items():
        count = len(stage.release_days_ms) if "/" not in path and stage.plan.milestones else 0
        of_groups[path] = tuple(
            _milestone(stage, index, group_id=group.id) for index in range(min(count, 3))
        )
    for draft, count in zip(drafts, quotas(stage.plan, drafts, "milestones"), strict=True):
        draft.milestones = tuple(
            _milestone(stage, index, project_id=draft.id) for index in range(count)
        )
        root = draft.full_path.split("/")[0] if draft.group else ""
        draft.all_milestones = draft.milestones + of_groups.get(root, ())
    return of_groups


def _milestone(
    stage: Stage, index: int, *, group_id: int | None = None, project_id: int | None = None
) -> Milestone:
    days = stage.release_days_ms
    due = days[index % len(days)] + (index // len(days)) * 14 * DAY_MS
    over = due < stage.rhythm.end_ms - 7 * DAY_MS
    # Planned for years ahead, it was made by now all the same.
    created = instant_text(min(due - 70 * DAY_MS, stage.rhythm.end_ms - DAY_MS))
    return Milestone(
        id=stage.ids.take("milestone"),
        iid=index + 1,
        title=f"v{1 + index // 4}.{index % 4}" if project_id else f"Campaign {date_text(due)[:7]}",
        description="Ready for the boat." if index % 2 else "",
        state="closed" if over else "active",
        created_at=created,
        updated_at=instant_text(due) if over else created,
        due_date=date_text(due),
        start_date=date_text(due - 60 * DAY_MS),
        group_id=group_id,
        project_id=project_id,
        expired=over,
    )


@dataclass(slots=True)
class Thread:
    """An issue or merge request while its notes are made.

    `ends_ms`: when it was closed or, if `merged`, merged. `subject`: what it is about.
    """

    draft: Draft
    born_ms: int
    ends_ms: int | None
    author: User
    merged: bool
    subject: str
    notes: list[Note] = field(default_factory=list)


def open_threads(drafts: list[Draft], kind: str, closed_share: float, stage: Stage) -> list[Thread]:
    """One thread a row of `kind`, in the order of time, so that ids rise with time."""
    rng = stage.chance(kind)
    threads = []
    for draft, count in zip(drafts, quotas(stage.plan, drafts, kind), strict=True):
        for _ in range(count):
            born = stage.rhythm.draw(rng, draft.born_ms)
            ends = None
            if rng.random() < closed_share:
                ends = stage.rhythm.draw(rng, born, born + int(rng.expovariate(0.09) * DAY_MS) + 1)
            merged = kind == "merge_requests" and ends is not None and rng.random() < _MERGED_SHARE
            author, subject = rng.choice(draft.team), rng.choice(words.SUBJECTS)
            threads.append(Thread(draft, born, ends, author, merged, subject))
    threads.sort(key=lambda thread: thread.born_ms)
    return threads


def write_notes(threads: list[Thread], kinds: list[str], stage: Stage) -> None:
    """Spread the plan's notes over the threads; a thread outside the scope gets two."""
    rng = stage.chance("notes")
    weights = [rng.paretovariate(1.6) - 0.7 if t.draft.counted else 0.0 for t in threads]
    counts = _note_counts(threads, weights, kinds, stage)
    slots = []
    for index, count in enumerate(counts):
        thread = threads[index]
        for turn in range(count):
            if turn == count - 1 and thread.ends_ms is not None:
                slots.append((thread.ends_ms, index, True))
            else:
                last = thread.ends_ms or thread.born_ms + 45 * DAY_MS
                slots.append((stage.rhythm.draw(rng, thread.born_ms, last), index, False))
    slots.sort()
    for ms, index, closing in slots:
        thread = threads[index]
        thread.notes.append(_note(thread, kinds[index], ms, closing, stage, rng))


def _note_counts(
    threads: list[Thread], weights: list[float], kinds: list[str], stage: Stage
) -> list[int]:
    readable = [
        0.0 if t.draft.guest_only and kind == "merge_request" else weight
        for t, weight, kind in zip(threads, weights, kinds, strict=True)
    ]
    counts = apportion(stage.plan.notes, readable)
    for index, thread in enumerate(threads):
        if not thread.draft.counted and stage.plan.notes:
            counts[index] = 2
    return counts


def _note(
    thread: Thread, kind: str, ms: int, closing: bool, stage: Stage, rng: random.Random
) -> Note:
    created = instant_text(ms)
    author = rng.choice(thread.draft.team)
    number = stage.ids.take("note")
    if closing or rng.random() < _SYSTEM_SHARE:
        ending = "merged" if thread.merged else "closed"
        return _system_note(number, author, created, ending if closing else _told(thread, rng))
    text = words.HOSTILE_TEXTS[number % 6] if number % 211 == 0 else rng.choice(words.REMARKS)
    if rng.random() < 0.15:
        text = f"@{rng.choice(thread.draft.team).username} {text}"
    threaded = rng.random() < 0.25
    resolved = threaded and kind == "merge_request" and rng.random() < 0.7
    return Note(
        id=number,
        body=text,
        author=author,
        created_at=created,
        updated_at=instant_text(ms + 61_000) if rng.random() < 0.08 else created,
        type="DiscussionNote" if threaded else None,
        internal=not thread.draft.guest_only and kind == "issue" and rng.random() < 0.02,
        resolvable=threaded and kind == "merge_request",
        resolved=resolved,
        resolved_by=thread.author if resolved else None,
        resolved_at=instant_text(min(ms + 3_600_000, stage.rhythm.end_ms)) if resolved else None,
        discussion_id=(_answered(thread, number) if threaded else "") or discussion_id(number),
    )


def _system_note(number: int, author: User, created: str, body: str) -> Note:
    return Note(
        id=number,
        body=body,
        author=author,
        created_at=created,
        updated_at=created,
        system=True,
        discussion_id=discussion_id(number),
    )


def discussion_id(note: int) -> str:
    """The name of the discussion that a note opens: 40 hex digits, as GitLab's."""
    return hashlib.sha1(f"discussion/{note}".encode(), usedforsecurity=False).hexdigest()


def _answered(thread: Thread, number: int) -> str:
    """The discussion that two of three threaded notes answer: the thread's last, if it has one."""
    if number % 3 == 0:
        return ""
    opened = (note.discussion_id for note in reversed(thread.notes) if note.type)
    return next(opened, "")


def _told(thread: Thread, rng: random.Random) -> str:
    """What GitLab itself notes on an item."""
    draft = thread.draft
    options = [
        f"assigned to @{rng.choice(draft.team).username}",
        "changed the description",
        f"mentioned in issue #{rng.randint(1, 20)}",
        f"mentioned in merge request !{rng.randint(1, 20)}",
        f"mentioned in commit {rng.getrandbits(160):040x}",
    ]
    if draft.labels:
        options.append(f"added ~{rng.choice(draft.labels).id} label")
    if draft.all_milestones:
        options.append(f"changed milestone to %{rng.choice(draft.all_milestones).iid}")
    return rng.choice(options)


def write_issues(threads: list[Thread], stage: Stage) -> None:
    """Turn the threads into the issues of their drafts."""
    rng = stage.chance("issue texts")
    for thread in threads:
        thread.draft.issues.append(_issue(thread, stage, rng))


def _issue(thread: Thread, stage: Stage, rng: random.Random) -> Issue:
    draft = thread.draft
    number = stage.ids.take("issue")
    iid = len(draft.issues) + 1
    title, text = _issue_text(number, iid, thread.subject, rng)
    closed = thread.ends_ms is not None
    last = max([note.created_at for note in thread.notes[-1:]], default="")
    created = instant_text(thread.born_ms)
    closed_at = instant_text(thread.ends_ms) if thread.ends_ms is not None else None
    estimated = rng.random() < 0.12
    return Issue(
        id=number,
        iid=iid,
        title=title,
        description=text,
        state="closed" if closed else "opened",
        author=thread.author,
        created_at=created,
        updated_at=max(created, last, closed_at or ""),
        closed_at=closed_at,
        closed_by=rng.choice(draft.team) if closed else None,
        labels=some_labels(draft, rng),
        milestone=some_milestone(draft, rng),
        assignees=tuple(rng.sample(draft.team, min(len(draft.team), rng.choice((0, 1, 1, 2))))),
        confidential=not draft.guest_only and not draft.owner and rng.random() < 0.025,
        due_date=date_text(thread.born_ms + 21 * DAY_MS) if rng.random() < 0.15 else None,
        issue_type=rng.choice(("issue",) * 24 + ("incident", "task")),
        upvotes=rng.choice((0, 0, 0, 0, 0, 1, 4)),
        merge_requests_count=rng.choice((0, 0, 1)),
        time_estimate=7200 if estimated else 0,
        total_time_spent=5400 if estimated and closed else 0,
        relative_position=iid * 513,
        notes=tuple(thread.notes),
    )


def _issue_text(number: int, iid: int, subject: str, rng: random.Random) -> tuple[str, str | None]:
    title = f"{rng.choice(words.VERBS)} {subject}"
    if number % 97 == 0:
        return f"{title} {words.HOSTILE_TEXTS[number % 6][:120]}", words.HOSTILE_TEXTS[number % 6]
    if number % 613 == 0:
        return title, ("Log of the night: ø 0x1F 測定 🚤\n" * 400)[:_LONG_TEXT]
    if number % 23 == 0:
        return title, None
    link = f" See also #{rng.randint(1, iid)}." if iid > 3 else ""
    tasks = "\n\n- [x] reproduce\n- [ ] fix\n- [ ] test on the bench" if number % 5 == 0 else ""
    return title, f"We should look at the {subject}: {rng.choice(words.REASONS)}.{link}{tasks}"


def some_labels(draft: Draft, rng: random.Random) -> tuple[str, ...]:
    """A few of the labels the draft can use, by name."""
    count = min(rng.choice((0, 1, 1, 2, 3)), len(draft.label_names))
    return tuple(sorted(rng.sample(draft.label_names, count)))


def some_milestone(draft: Draft, rng: random.Random) -> Milestone | None:
    """One of the milestones the draft can use, or none."""
    if draft.all_milestones and rng.random() < 0.45:
        return rng.choice(draft.all_milestones)
    return None


def last_change_ms(thread: Thread) -> int:
    """The latest instant of the thread: birth, last note or end."""
    notes = [instant_ms(note.created_at) for note in thread.notes[-1:]]
    return max([thread.born_ms, thread.ends_ms or 0, *notes])
