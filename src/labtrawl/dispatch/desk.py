"""What the handlers work with; `cli` makes one a website."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from labtrawl.clock import Clock
from labtrawl.dispatch.budget import Budget
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.quiet import QuietHours
from labtrawl.dispatch.shown import Shown
from labtrawl.dispatch.statistics import Statistics
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.visit import Schedule
from labtrawl.store.engine import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """The database, the credentials, the rules of leases, and what is counted."""

    store: Store
    credentials: Credentials
    retry: RetryPolicy
    lease_seconds: float
    clock: Clock
    jitter: Callable[[], float] = random.random
    # A peer of dialect 1 renews nothing: each of its words prolongs what it has by so much.
    legacy_lease_seconds: float = 300.0
    statistics: Statistics = field(default_factory=Statistics)
    budget: Budget = field(default_factory=Budget)
    # When what was read is read again, and what is read at all.
    schedule: Schedule = field(default_factory=Schedule)
    quiet: QuietHours = field(default_factory=QuietHours)
    # The paths of groups and projects that somebody named, beside what accounts are members of.
    include: tuple[str, ...] = ()
    # Whether the crawler of this name has this account's token in its environment already.
    is_handed_over: Callable[[str, int], bool] = lambda _name, _account: False
    # What every record passes, and the key of a study's pseudonyms (hex).
    policy: str = "as_is"
    policy_key: Secret | None = None
    # Crawlers whose last claim found something: the next is made without looking first.
    busy: set[str] = field(default_factory=set)
    shown: Shown = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shown", Shown(self.statistics))
        self.budget.rest_of = self.quiet.rest_of
