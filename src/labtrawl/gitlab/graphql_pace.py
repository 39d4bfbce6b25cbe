"""What a process has learnt of one GitLab's GraphQL: what it refuses, and how much it gives at once."""

from dataclasses import dataclass, field

from labtrawl.gitlab.graphql import Reply
from labtrawl.gitlab.graphql_ids import Pool
from labtrawl.gitlab.graphql_plans import Plan

# So many answers in a row that came in time make the next block a little larger.
GOOD_ANSWERS = 8
EVERYTHING = "*"


@dataclass(slots=True)
class Pace:
    """How many items are asked for at once: halved where that is too much, grown back slowly."""

    most: int
    size: int
    _good: int = 0

    def took(self, size: int, reply: Reply) -> None:
        """Hear of an answer to `size` items; its complexity bounds the size from now on.

        A smaller block than usual tells nothing: most of the complexity is there for one item too.
        """
        if size < self.size:
            return
        if reply.score and reply.limit:
            self.size = max(1, min(self.size, size * reply.limit // reply.score))
        self._good += 1
        if self._good >= GOOD_ANSWERS:
            self._good = 0
            self.size = min(self.most, self.size + max(1, self.size // 4))

    def refused(self, size: int) -> None:
        """Hear that `size` items were too much."""
        self._good = 0
        self.size = max(1, min(self.size, size // 2))


@dataclass(slots=True)
class Learnt:
    """One of these for each GitLab, for as long as the process lives; it starts with nothing."""

    refused: set[str] = field(default_factory=set)
    # It limits requests: each is to bring as much as it can, also where others would wait for it.
    is_limited: bool = False
    # Where the ids of lists are asked for, of many at once.
    ids: Pool = field(default_factory=Pool)
    _paces: dict[str, Pace] = field(default_factory=dict)

    def is_refused(self, name: str) -> bool:
        """Say whether this GitLab has no GraphQL for a resource."""
        return not self.refused.isdisjoint({name, EVERYTHING})

    def pace(self, plan: Plan) -> Pace:
        """Return the pace of a resource, which all its readings share."""
        return self._paces.setdefault(plan.name, Pace(plan.size, plan.size))
