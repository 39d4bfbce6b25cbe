"""What a first crawl costs at least, reckoned from what GitLab told before it. Pure.

Every figure is a lower bound: what nobody asked yet (commits, what lists hold on further pages)
counts as the one request that finds that out.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from labtrawl.cli.demo_words import count_of
from labtrawl.domain.area import AreaKind
from labtrawl.domain.visit import ASSUMED_LIMIT
from labtrawl.gitlab.catalog import Resource, gap_of, resources_of
from labtrawl.gitlab.graphql_plans import Edition, plan_of

PAGE = 100
MINUTE_SECONDS = 60
LABEL_WIDTH = 10
UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))
# What a list of groups or projects and a list of items hold.
KINDS = (AreaKind.GROUP, AreaKind.PROJECT)
ITEMS = ("issues", "merge_requests")


@dataclass(frozen=True, slots=True)
class Seen:
    """A group or project as a list of GitLab showed it; `issues` are those that are open."""

    kind: AreaKind
    path: str
    features: Mapping[str, str] = field(default_factory=dict)
    empty_repository: bool = False
    issues: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of groups or projects: what its first page showed, and how many there are at least."""

    kind: AreaKind
    seen: Sequence[Seen]
    total: int
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Counted:
    """How many issues and merge requests a project, or a group with all below it, has at least."""

    path: str
    items: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Told:
    """What GitLab told, and its limit in requests a minute.

    No path of `counted` lies below another one, and nothing that is left out below any of them.
    `members` are those lists of areas that the account is a member of, as GitLab counts them.
    """

    listed: Sequence[Listed]
    counted: Sequence[Counted] = ()
    limit: int | None = None
    members: Sequence[Listed] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be collected; `edition` is None where all is read by REST."""

    is_wanted: Callable[[Resource], bool]
    exclude: Sequence[str] = ()
    edition: Edition | None = None
    # Of an open issue that did not change since, nothing is read.
    has_since: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """Requests a minute: GitLab's limit (None: it tells none), what is left to people, our own."""

    limit: int | None = None
    reserved_share: float = 0.2
    most: int = 0

    @property
    def a_minute(self) -> int | None:
        """What the budget lets through; None where nothing limits it."""
        reserved = None if self.limit is None else math.ceil(self.limit * self.reserved_share)
        known = [] if self.limit is None or reserved is None else [max(1, self.limit - reserved)]
        return min([*known, self.most] if self.most else known, default=None)

    def least_seconds(self, requests: int) -> float | None:
        """Seconds that so many requests take at least; a first minute may begin with a whole limit."""
        rate = self.a_minute
        if rate is None:
            return None
        at_once = rate if self.limit is None else self.limit
        return max(0, requests - at_once) * MINUTE_SECONDS / rate


@dataclass(frozen=True, slots=True)
class Forecast:
    """The areas, their lists, and the least requests; exact where nothing was left unseen."""

    groups: int
    projects: int
    lists: int
    requests: int
    is_exact: bool
    are_lists_exact: bool
    pace: Pace

    def words(self) -> Iterator[str]:
        """Yield a sentence or two."""
        kinds = ((self.projects, "project"), (self.groups, "group"))
        areas = " and ".join(count_of(n, noun) for n, noun in kinds if n) or "no group or project"
        lists = f"{_least(self.are_lists_exact)}{count_of(self.lists, 'list')}"
        requests = count_of(self.requests, "request")
        yield f"{_least(self.is_exact)}{areas}: {lists}, at least {requests}"
        if self.lists:
            yield self._time()

    def lines(self) -> Iterator[str]:
        """Yield the same as lines of a terminal."""
        for label, sentence in zip(("forecast", ""), self.words(), strict=False):
            yield f"{label:<{LABEL_WIDTH}}{sentence}"

    def _time(self) -> str:
        seconds, limit = self.pace.least_seconds(self.requests), self.pace.limit
        if seconds is None:
            minutes = length(self.requests * MINUTE_SECONDS / ASSUMED_LIMIT)
            return (
                f"GitLab tells no limit of requests; at {ASSUMED_LIMIT} a minute that is {minutes}"
            )
        rate = f"{self.pace.a_minute:,} a minute"
        told = f"your settings allow {rate}"
        if limit is not None:
            told = f"of GitLab's limit of {limit:,} a minute it may use {rate.split(' ', 1)[0]}"
        took = f"at least {length(seconds)}" if seconds >= 1 else "no wait is foreseen"
        return f"{told}: {took}"

    def as_json(self) -> dict[str, object]:
        """Return the figures for programs; each is a least one."""
        return {
            "groups": self.groups,
            "projects": self.projects,
            "lists": self.lists,
            "requests": self.requests,
            "seconds": self.pace.least_seconds(self.requests),
        }


def _least(is_exact: bool) -> str:
    return "" if is_exact else "at least "


def length(seconds: float) -> str:
    """Write a length of time, rounded down, in a unit of which there are two at least."""
    if seconds < 1:
        return "less than a second"
    size, name = next((one for one in UNITS if seconds >= 2 * one[0]), UNITS[-1])
    return f"{int(seconds // size):,} {name}"


@dataclass(frozen=True, slots=True)
class _Areas:
    """The areas of one kind that are kept: those seen, and how many more there are at least."""

    kind: AreaKind
    seen: Sequence[Seen]
    unseen: int
    is_exact: bool

    @property
    def total(self) -> int:
        return len(self.seen) + self.unseen


def reckon(told: Told, choice: Choice, pace: Pace) -> Forecast:
    """Return what a crawl of what GitLab told costs at least."""
    areas = [_areas(kind, told.listed, choice) for kind in KINDS]
    lists = _lists(areas, choice)
    items = _items(told.counted, areas, choice)
    pages = sum(max(1, math.ceil(each.total / PAGE)) for each in areas if each.total)
    groups, projects = areas
    return Forecast(
        groups.total,
        projects.total,
        sum(lists.values()),
        pages + sum(_requests(resource, n, items, choice) for resource, n in lists.items()),
        groups.is_exact and projects.is_exact,
        all(each.is_exact and not each.unseen for each in areas),
        pace,
    )


def _areas(kind: AreaKind, listed: Sequence[Listed], choice: Choice) -> _Areas:
    """Put lists together that may have areas in common: unseen ones may all be the same.

    Of what was not seen a pattern may leave out everything.
    """
    mine = [each for each in listed if each.kind == kind]
    seen = {
        area.path: area for each in mine for area in each.seen if is_held(area.path, choice.exclude)
    }
    most = max((each.total for each in mine), default=0)
    unseen = 0 if choice.exclude else max(0, most - len(seen))
    is_whole = all(each.total == len(each.seen) for each in mine)
    is_exact = all(each.is_exact for each in mine) and (
        is_whole or (len(mine) == 1 and not choice.exclude)
    )
    return _Areas(kind, list(seen.values()), unseen, is_exact)


def _lists(areas: Sequence[_Areas], choice: Choice) -> dict[Resource, int]:
    """Count the lists of each resource; of what was not seen those that nothing switches off."""
    found: dict[Resource, int] = {}
    for each in areas:
        for resource in resources_of(each.kind):
            if not (resource.kind and choice.is_wanted(resource)):
                continue
            always = not (resource.feature or resource.features or resource.needs_repository)
            found[resource] = each.unseen * always + sum(
                gap_of(resource, dict(area.features), area.empty_repository) is None
                for area in each.seen
            )
    return found


def _items(counted: Sequence[Counted], areas: Sequence[_Areas], choice: Choice) -> dict[str, int]:
    """Count issues and merge requests: GitLab's counts, else the open issues of what was seen."""
    found = {name: sum(each.items.get(name, 0) for each in counted) for name in ITEMS}
    if not choice.has_since:
        paths = [each.path for each in counted]
        projects = (area for each in areas for area in each.seen)
        found["issues"] += sum(p.issues for p in projects if not is_below(p.path, paths))
    return found


def is_held(path: str, exclude: Sequence[str]) -> bool:
    """Say whether no pattern leaves a path out."""
    return not any(fnmatchcase(path, pattern) for pattern in exclude)


def is_above(path: str, others: Sequence[str]) -> bool:
    """Say whether one of the others is this path, or lies below it."""
    return any(is_below(other, [path]) for other in others)


def is_below(path: str, others: Sequence[str]) -> bool:
    """Say whether a path is one of the others, or below one of them; GitLab's have no case."""
    folded = path.casefold()
    return any(folded == one or folded.startswith(f"{one}/") for one in map(str.casefold, others))


def _requests(resource: Resource, lists: int, items: Mapping[str, int], choice: Choice) -> int:
    """How often a resource is asked for at least: once a list, a page, a block, or an item."""
    if not lists:
        return 0
    if not resource.parent:
        return max(lists, math.ceil(items.get(resource.name, 0) / PAGE))
    count = items.get(resource.parent, 0)
    plan = None if choice.edition is None else plan_of(resource.name, choice.edition)
    if plan is not None:
        return max(lists, math.ceil(count / plan.size))
    return lists if resource.told_by else lists + count
