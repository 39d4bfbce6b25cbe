"""Commits, branches, tags and merge requests of a generated world.

Entered by `world.generate`, after the issues: merge requests live in the rhythm of the releases,
and each merged one has its merge commit.
"""

import hashlib
import random
import re
from bisect import bisect_right
from dataclasses import dataclass, field

from labtrawl.sandbox import vocabulary as words
from labtrawl.sandbox.estate import Draft, quotas
from labtrawl.sandbox.instants import DAY_MS, HOUR_MS, instant_text
from labtrawl.sandbox.model import Branch, Commit, MergeRequest, Note, Tag, User
from labtrawl.sandbox.planning import (
    Thread,
    discussion_id,
    last_change_ms,
    some_labels,
    some_milestone,
)
from labtrawl.sandbox.stage import Stage

ENDED_SHARE = 0.83


@dataclass(slots=True)
class Line:
    """The main line of one repository: instants and commits, oldest first."""

    instants: list[int] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)

    def at(self, ms: int) -> Commit:
        """The newest commit not younger than the instant (the first one if all are)."""
        return self.commits[max(bisect_right(self.instants, ms) - 1, 0)]


def write_history(drafts: list[Draft], threads: list[Thread], stage: Stage) -> dict[int, Line]:
    """Fill commits and branches of every draft with a repository; the main lines by project id."""
    merged: dict[int, list[tuple[int, str]]] = {}
    for thread in threads:
        if thread.merged and thread.ends_ms is not None:
            slot = (thread.ends_ms, branch_name(thread))
            merged.setdefault(thread.draft.id, []).append(slot)
    counts = quotas(stage.plan, drafts, "commits")
    branches = quotas(stage.plan, drafts, "branches")
    rng = stage.chance("history")
    lines = {}
    for draft, count, wanted in zip(drafts, counts, branches, strict=True):
        if not draft.empty:
            heads = max(min(wanted, count // 2), 1)
            merges = merged.get(draft.id, [])[: max(count - heads, 0) // 2]
            line = _main_line(draft, max(count - heads + 1, 2), merges, stage, rng)
            lines[draft.id] = line
            _branch_off(draft, line, heads, stage, rng)
    return lines


def _main_line(
    draft: Draft, count: int, merges: list[tuple[int, str]], stage: Stage, rng: random.Random
) -> Line:
    plain = [(stage.rhythm.draw(rng, draft.born_ms), "") for _ in range(count - 1 - len(merges))]
    slots = sorted([(draft.born_ms, ""), *plain, *merges])
    line = Line()
    for number, (ms, branch) in enumerate(slots):
        parents = tuple(commit.sha for commit in line.commits[-1:])
        if branch and len(line.commits) > 1:
            parents += (line.commits[-2].sha,)
            title = f"Merge branch '{branch}' into 'main'"
        else:
            title = _commit_title(number, rng)
        line.instants.append(ms)
        line.commits.append(_commit(draft, f"main/{number}", ms, title, parents, stage, rng))
    return line


def _commit_title(number: int, rng: random.Random) -> str:
    if number == 0:
        return "Initial commit"
    if number % 151 == 150:
        return words.HOSTILE_TEXTS[number % 6].split("\n")[0]
    return f"{rng.choice(words.VERBS)} {rng.choice(words.SUBJECTS)}"


def branch_name(thread: Thread) -> str:
    """The source branch of a merge request, named after an issue and its subject."""
    return _slug(1 + thread.born_ms % max(len(thread.draft.issues), 1), thread.subject)


def _slug(issue: int, subject: str) -> str:
    kept = [re.sub(r"[^a-z0-9]", "", word) for word in subject.lower().split()[:4]]
    return "-".join([str(issue), *(word for word in kept if word)])


def _commit(
    draft: Draft,
    key: str,
    ms: int,
    title: str,
    parents: tuple[str, ...],
    stage: Stage,
    rng: random.Random,
) -> Commit:
    author: User = rng.choice(draft.team)
    digest = hashlib.sha1(
        f"{draft.full_path}/{key}/{ms}/{title}".encode(), usedforsecurity=False
    ).hexdigest()
    late = rng.random() < 0.2
    body = f"\n\n{rng.choice(words.REASONS).capitalize()}." if rng.random() < 0.4 else ""
    trailers = {"Changelog": "fixed"} if rng.random() < 0.1 else {}
    ending = "\n\nChangelog: fixed" if trailers else ""
    return Commit(
        sha=digest,
        parents=parents,
        title=title,
        message=f"{title}{body}{ending}\n",
        **_signed(author, ms - (3 * DAY_MS if late else 0), ms),
        trailers=trailers,
        additions=int(digest[:2], 16),
        deletions=int(digest[:2], 16) // 3,
        notes=_comments(draft, digest, ms, stage) if digest[2] == "0" else (),
    )


def _signed(author: User, written_ms: int, ms: int) -> dict[str, str]:
    """Who wrote and committed it, and when, to the second."""
    email = f"{author.username}@fjordlab.example"
    return {
        "author_name": author.name,
        "author_email": email,
        "authored_date": instant_text(written_ms // 1000 * 1000),
        "committer_name": author.name,
        "committer_email": email,
        "committed_date": instant_text(ms // 1000 * 1000),
    }


def _comments(draft: Draft, sha: str, ms: int, stage: Stage) -> tuple[Note, ...]:
    """A remark on the commit, an answer to it or a second remark. Chance is the commit's name."""
    dice = int(sha[3:9], 16)
    answered = dice % 3 == 0
    opened = ""
    notes = []
    for turn in range(1 if dice % 3 == 1 else 2):
        number = stage.ids.take("note")
        opened = opened if opened and answered else discussion_id(number)
        at = instant_text(min(ms + (turn + 1) * HOUR_MS, stage.rhythm.end_ms))
        notes.append(
            Note(
                id=number,
                body=words.REMARKS[(dice + turn) % len(words.REMARKS)],
                author=draft.team[(dice + turn) % len(draft.team)],
                created_at=at,
                updated_at=at,
                type="DiscussionNote" if answered else None,
                commit_id=sha,
                discussion_id=opened,
            )
        )
    return tuple(notes)


def _branch_off(draft: Draft, line: Line, heads: int, stage: Stage, rng: random.Random) -> None:
    """Give the draft its branches: main, and `heads - 1` others with a commit of their own."""
    branches = [Branch(name="main", commit=line.commits[-1], default=True, protected=True)]
    taken = {"main"}
    own = []
    for number in range(heads - 1):
        ms = stage.rhythm.draw(rng, max(line.instants[0], stage.rhythm.end_ms - 90 * DAY_MS))
        parent = line.at(ms).sha
        name = _slug(rng.randint(1, 90), rng.choice(words.SUBJECTS))
        name = name if name not in taken else f"{name}-{number}"
        taken.add(name)
        title = _commit_title(number + 1, rng)
        own.append(_commit(draft, name, ms, title, (parent,), stage, rng))
        branches.append(Branch(name=name, commit=own[-1], protected=number == 7))
    commits = [*line.commits, *own]
    commits.sort(key=lambda commit: commit.committed_date)
    draft.commits = tuple(commits)
    draft.branches = tuple(branches)


def write_tags(drafts: list[Draft], lines: dict[int, Line], stage: Stage) -> None:
    """Tag the releases of every draft, and a candidate before each second one."""
    counts = quotas(stage.plan, drafts, "releases")
    for draft, count in zip(drafts, counts, strict=True):
        line = lines.get(draft.id)
        if line is None:
            continue
        tags = []
        for number in range(count):
            ms = release_instant(draft, number, count, stage)
            tags.append(_tag(f"v{1 + number // 3}.{number % 3}.0", line.at(ms), number % 2 == 0))
            if number % 2:
                early = line.at(ms - 5 * DAY_MS)
                tags.append(_tag(f"v{1 + number // 3}.{number % 3}.0-rc1", early, False))
        draft.tags = tuple(tags)


def release_instant(draft: Draft, number: int, count: int, stage: Stage) -> int:
    """When release `number` (from 0) of `count` came out: the newest ones on release days."""
    back = count - 1 - number
    days = stage.release_days_ms
    if back < len(days) and days[back] > draft.born_ms:
        return days[back] + 15 * 3_600_000
    return draft.born_ms + (number + 1) * (stage.rhythm.end_ms - draft.born_ms) // (count + 2)


def _tag(name: str, commit: Commit, annotated: bool) -> Tag:
    target = hashlib.sha1(f"{name}/{commit.sha}".encode(), usedforsecurity=False).hexdigest()
    return Tag(
        name=name,
        commit=commit,
        message=f"Release {name}" if annotated else None,
        target=target if annotated else commit.sha,
        protected=annotated,
        created_at=commit.committed_date if annotated else None,
    )


def write_merge_requests(threads: list[Thread], lines: dict[int, Line], stage: Stage) -> None:
    """Turn the threads into the merge requests of their drafts."""
    rng = stage.chance("merge request texts")
    for thread in threads:
        request = _merge_request(thread, lines[thread.draft.id], stage, rng)
        thread.draft.merge_requests.append(request)


def _merge_request(thread: Thread, line: Line, stage: Stage, rng: random.Random) -> MergeRequest:
    draft = thread.draft
    number = stage.ids.take("merge_request")
    ended = instant_text(thread.ends_ms) if thread.ends_ms is not None else None
    merged = thread.merged
    state = "opened" if ended is None else "merged" if merged else "closed"
    draft_state = state == "opened" and rng.random() < 0.3
    branch = branch_name(thread)
    title = f"{rng.choice(words.VERBS)} {thread.subject}"
    closer = rng.choice(draft.team)
    reviewers = [user for user in draft.team if user.id != thread.author.id]
    return MergeRequest(
        id=number,
        iid=len(draft.merge_requests) + 1,
        title=f"Draft: {title}" if draft_state else title,
        description=_description(number, thread.subject, branch.partition("-")[0], rng),
        state=state,
        author=thread.author,
        created_at=instant_text(thread.born_ms),
        updated_at=instant_text(last_change_ms(thread)),
        source_branch=branch,
        target_branch="main",
        sha=line.at(thread.born_ms).sha,
        merged_at=ended if merged else None,
        merge_user=closer if merged else None,
        closed_at=ended if ended and not merged else None,
        closed_by=closer if ended and not merged else None,
        merge_commit_sha=line.at(thread.ends_ms).sha if merged and thread.ends_ms else None,
        labels=some_labels(draft, rng),
        milestone=some_milestone(draft, rng),
        assignees=(thread.author,) if rng.random() < 0.7 else (),
        reviewers=tuple(rng.sample(reviewers, min(len(reviewers), rng.choice((0, 1, 1, 2))))),
        draft=draft_state,
        upvotes=rng.choice((0, 0, 0, 0, 2)),
        merge_status="unchecked" if state == "opened" and number % 3 == 0 else "can_be_merged",
        source_project_id=draft.id,
        notes=tuple(thread.notes),
    )


def _description(number: int, subject: str, issue: str, rng: random.Random) -> str:
    if number % 101 == 0:
        return words.HOSTILE_TEXTS[number % 6]
    reason = rng.choice(words.REASONS)
    return f"Closes #{issue}.\n\nTouches the {subject}; {reason}.\n\n- [x] tests\n- [ ] changelog"
