"""How the merge requests of a generated world were reviewed: versions, commits, pipelines, votes.

Entered by `world.generate`, after the builds.
"""

import hashlib
import random
from typing import Any

import msgspec

from labtrawl.sandbox.estate import Draft
from labtrawl.sandbox.history import Line
from labtrawl.sandbox.instants import instant_ms, instant_text
from labtrawl.sandbox.model import Approval, Commit, MergeRequest, RequestVersion, Review, User
from labtrawl.sandbox.stage import Stage

_STATES = ("unreviewed", "reviewed", "reviewed", "requested_changes")
_APPROVED_SHARE = 0.6


def write_reviews(drafts: list[Draft], lines: dict[int, Line], stage: Stage) -> None:
    """Give every merge request its versions, commits, pipelines, approvals and reviews."""
    rng = stage.chance("reviews")
    for draft in drafts:
        line = lines.get(draft.id)
        if line is None or not draft.merge_requests:
            continue
        places = {commit.sha: place for place, commit in enumerate(line.commits)}
        pipelines = _pipelines(draft)
        for index, request in enumerate(draft.merge_requests):
            changes = _votes(draft, request, rng)
            changes |= _code(request, line.commits, places[request.sha or ""], stage, rng)
            changes["pipelines"] = tuple(pipelines.get(request.iid, ())[::-1])
            draft.merge_requests[index] = msgspec.structs.replace(request, **changes)


def _pipelines(draft: Draft) -> dict[int, list[int]]:
    """Numbers of the pipelines by the iid of the merge request that their ref names."""
    found: dict[int, list[int]] = {}
    for pipeline in draft.pipelines:
        if pipeline.ref.startswith("refs/merge-requests/"):
            found.setdefault(int(pipeline.ref.split("/")[2]), []).append(pipeline.id)
    return found


def _votes(draft: Draft, request: MergeRequest, rng: random.Random) -> dict[str, Any]:
    asked = request.reviewers or tuple(u for u in draft.team if u.id != request.author.id)[:1]
    approving: tuple[User, ...] = ()
    if request.state == "merged" and rng.random() < _APPROVED_SHARE:
        approving = asked
    approved_at = request.merged_at or request.updated_at
    names = {user.id for user in approving}
    return {
        "approvals": tuple(Approval(user=user, approved_at=approved_at) for user in approving),
        "reviews": tuple(
            Review(
                user=user,
                state="approved" if user.id in names else rng.choice(_STATES),
                created_at=request.created_at,
            )
            for user in request.reviewers
        ),
    }


def _code(
    request: MergeRequest, line: list[Commit], head: int, stage: Stage, rng: random.Random
) -> dict[str, Any]:
    """One to three versions, each with a commit more; `head`: the newest commit's place."""
    count = min(rng.choice((1, 1, 2, 3)), head + 1)
    first = head - count + 1
    base = line[max(first - 1, 0)].sha
    start, end = instant_ms(request.created_at), instant_ms(request.updated_at)
    return {
        "commits": tuple(line[place].sha for place in range(head, first - 1, -1)),
        "versions": tuple(
            _version(
                line[first + turn].sha,
                base,
                instant_text(start + (end - start) * turn // (count + 1)),
                stage.ids.take("version"),
            )
            for turn in range(count)
        ),
    }


def _version(head: str, base: str, at: str, number: int) -> RequestVersion:
    patch = hashlib.sha1(f"{head}/{base}".encode(), usedforsecurity=False).hexdigest()
    return RequestVersion(
        id=number,
        head_commit_sha=head,
        base_commit_sha=base,
        start_commit_sha=base,
        created_at=at,
        real_size=str(1 + int(head[:2], 16) % 9),
        patch_id_sha=patch,
    )
