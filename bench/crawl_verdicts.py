"""What the figures of a benchmark are held against: the budget of a limit, the frugal requests."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

# What labtrawl leaves to people (`budget.reserved_share`, its default): the rest is the budget.
RESERVED_SHARE = 0.2
MINUTE = 60
OF_GROUPS = "groups/:id/"
OF_PROJECTS = "projects/:id/"
# GitLab lists these for all projects of a group; its milestones are those of the group alone.
TOLD_BY_GROUPS = ("issues", "merge_requests")


def whole_minutes(seconds: Mapping[str, int]) -> list[int]:
    """The requests of each whole minute of the clock between the first and the last request.

    Such periods are what GitLab counts; `seconds` are the requests of each second (Unix time).
    """
    times = {int(at): number for at, number in seconds.items()}
    if not times:
        return []
    first, last = math.ceil(min(times) / MINUTE), max(times) // MINUTE
    return [
        sum(times.get(at, 0) for at in range(each * MINUTE, (each + 1) * MINUTE))
        for each in range(first, last)
    ]


def used(numbers: list[int], limit: int, reserved_share: float) -> str:
    """Say how much of the budget whole minutes held; what is reserved for people is none of it."""
    budget = limit - math.ceil(limit * reserved_share)
    if not numbers:
        return "no whole minute of the clock"
    each = ", ".join(f"{number:,} ({number / budget:.1%})" for number in numbers)
    return f"of {budget:,} a minute: {each}; all {sum(numbers) / len(numbers) / budget:.1%}"


@dataclass(frozen=True)
class Rule:
    """A figure and what it is at most."""

    name: str
    requests: int
    most: int

    def __str__(self) -> str:
        return f"{'ok ' if self.requests <= self.most else 'OVER'} {self.name}: {self.requests:,} of at most {self.most:,}"


def first_rules(frugal: Mapping[str, int], first: Mapping[str, int]) -> list[Rule]:
    """A first run beside the frugal one: the same lists, 2 % and 10 requests more at most.

    Lists of groups are what the frugal side does not read at all: told apart, not counted.
    """
    same = sum(number for name, number in first.items() if not name.startswith(OF_GROUPS))
    return [Rule("first run, the same lists", same, int(sum(frugal.values()) * 1.02 + 10))]


def second_rules(second: Mapping[str, int], projects: int, groups: int) -> list[Rule]:
    """A second run on the unchanged world: one request for a filtered list of a group or project.

    A list that groups have for all their projects is asked there, and of no project.
    """
    rules = [
        Rule(f"second run, {name}", number, projects if name.startswith(OF_PROJECTS) else groups)
        for name, number in second.items()
        if name.startswith((OF_PROJECTS, OF_GROUPS))
    ]
    watched = sum(second.get(f"{OF_PROJECTS}{name}", 0) for name in TOLD_BY_GROUPS)
    return [*rules, Rule("second run, of projects what groups tell", watched, 0)]


def apart(first: Mapping[str, int]) -> str:
    """Say which lists of groups a first run read."""
    lists = {name: number for name, number in first.items() if name.startswith(OF_GROUPS)}
    told = ", ".join(f"{name} {number}" for name, number in lists.items()) or "none"
    return f"lists of groups, which the frugal side leaves out: {told}"
