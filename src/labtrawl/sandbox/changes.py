"""Changes of a served world: what a crawler finds different when it comes again.

Entered by the app (``POST /-/sandbox/changes``, a `Planned` script) and by tests through `Server`.
A list of changes is applied whole or not at all.
"""

import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from labtrawl.sandbox.wire import encode_json

Item = Literal["issue", "merge_request", "note", "milestone", "label", "pipeline", "job", "branch"]
Built = Literal["release", "environment", "deployment"]
Part = Literal["timelog", "link", "version", "label_event", "state_event", "milestone_event"]
On = Literal["issue", "merge_request", "commit"]
Key = int | str


class Unfit(ValueError):
    """A change that cannot be made; the sentence says why."""


class _Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every change may say: `at` is its instant (ISO 8601; default: the server's now)."""

    at: str | None = None


class Edit(_Change, frozen=True, kw_only=True, tag="edit"):
    """Set `fields` of an object that is there.

    `key`: the iid of an issue or merge request, the name of a branch or of a release's tag, the
    username of a user, else the id; what hangs on an item (a note, an award, a `Part`) needs `on`
    and `iid` too, which for a commit is its hash. A project or group is named by `project` or
    `group` alone. Users are given by username, a milestone by its id, a project's ``features`` are
    merged with the old ones.
    `touch`: whether ``updated_at`` moves (default: as GitLab does it; labels have none).
    """

    what: Literal[Item, Built, Part, "award", "project", "group", "user"]
    project: int = 0
    group: int = 0
    key: Key = 0
    on: On = "issue"
    iid: Key = 0
    fields: dict[str, Any] = {}
    touch: bool | None = None


class Add(_Change, frozen=True, kw_only=True, tag="add"):
    """Make an object; what `fields` leave out is made up.

    A note starts a discussion (``fields.type``: ``DiscussionNote``) or, with `discussion`, answers
    one; a comment moves its parent's ``updated_at`` at most once a minute
    (app/models/concerns/throttled_touch.rb), a commit's never. An award is an emoji and moves nothing.
    A commit lands on the branch `key` (default: the default branch). A project goes into `group`.
    """

    what: Literal[Item, "award", "commit", "tag", "project"]
    project: int = 0
    group: int = 0
    key: Key = 0
    on: On = "issue"
    iid: Key = 0
    discussion: str = ""
    fields: dict[str, Any] = {}
    touch: bool | None = None


class Remove(_Change, frozen=True, kw_only=True, tag="remove"):
    """Delete an object; named as in `Edit`. A deleted note moves nothing unless `touch`.

    A commit (`key`: its hash) goes by a push by force; no other may come after it.
    """

    what: Literal[Item, Built, Part, "award", "commit", "tag", "project", "group"]
    project: int = 0
    group: int = 0
    key: Key = 0
    on: On = "issue"
    iid: Key = 0
    touch: bool | None = None


class Move(_Change, frozen=True, kw_only=True, tag="move"):
    """Rename a project or group (`path`, `name`), or transfer it into the group `to`.

    The old path of a project, and of all projects below a group, answers 301 from then on.
    """

    what: Literal["project", "group"]
    key: int
    path: str = ""
    name: str = ""
    to: int = 0


class Grant(_Change, frozen=True, kw_only=True, tag="grant"):
    """Give a user an access level in a project or group; level 0 takes the membership away."""

    what: Literal["project", "group"]
    key: int
    user: str
    level: Literal[0, 5, 10, 15, 20, 30, 40, 50]


class Churn(_Change, frozen=True, kw_only=True, tag="churn"):
    """Change a `share` of all objects of `kinds`, the same ones for the same `seed`.

    Of them the shares `added` and `removed` are new ones and deletions, the rest are edits.
    """

    share: float
    seed: int = 1
    added: float = 0.1
    removed: float = 0.1
    kinds: tuple[Literal["issues", "merge_requests", "notes", "pipelines", "milestones"], ...] = (
        "issues",
        "merge_requests",
    )

    def __post_init__(self) -> None:
        shares = (self.share, self.added, self.removed, 1 - self.added - self.removed)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("share, added, removed, and added + removed must be from 0 to 1")


Change = Edit | Add | Remove | Move | Grant | Churn


class Planned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes that happen right after the answer to a certain request.

    It is the `after_requests`-th request, counted from when the plan was given, whose path and
    query match the regular expression `matching`.
    """

    changes: tuple[Change, ...]
    matching: str = ""
    after_requests: int = 1

    def __post_init__(self) -> None:
        try:
            re.compile(self.matching)
        except re.error as error:
            raise ValueError(f"matching is no regular expression: {error}") from None
        if self.after_requests < 1:
            raise ValueError("after_requests must be at least 1")


class Script:
    """The planned changes of a server that have not happened yet."""

    def __init__(self, planned: tuple[Planned, ...] = ()) -> None:
        self._waiting: list[tuple[Planned, re.Pattern[str], list[int]]] = []
        self.add(planned)

    def add(self, planned: tuple[Planned, ...]) -> None:
        """Plan more."""
        self._waiting += [(plan, re.compile(plan.matching), [0]) for plan in planned]

    def clear(self) -> None:
        """Plan nothing any more."""
        self._waiting.clear()

    def due(self, target: str) -> tuple[Change, ...]:
        """The changes that follow upon this request, which is counted."""
        if not self._waiting:
            return ()
        changes: list[Change] = []
        for entry in list(self._waiting):
            plan, pattern, seen = entry
            if pattern.search(target):
                seen[0] += 1
                if seen[0] == plan.after_requests:
                    changes += plan.changes
                    self._waiting.remove(entry)
        return tuple(changes)


def decode_changes(body: bytes) -> tuple[Change, ...]:
    """Changes from a JSON array. Raises msgspec.DecodeError."""
    return msgspec.json.decode(body, type=tuple[Change, ...])


def decode_script(body: bytes) -> tuple[Planned, ...]:
    """Planned changes from a JSON array. Raises msgspec.DecodeError."""
    return msgspec.json.decode(body, type=tuple[Planned, ...])


def encode_changes(changes: tuple[Change, ...]) -> bytes:
    """The body for ``POST /-/sandbox/changes``."""
    return encode_json(changes)
