"""How a thing is, what that means, what to do: what every check says. Pure."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

MIB = 1024 * 1024
SHOWN = 5

Found = tuple["State", str, str]
"""The state, what is so, and what to do."""


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check: how it is, what that means, what to do ("" where nothing is to be done)."""

    name: str
    title: str
    state: State
    says: str
    means: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done at once."""
        return self.state is not State.BAD


def worst(checks: Sequence[Check]) -> State:
    """Return the worst state of all checks."""
    states = {each.state for each in checks}
    return next((state for state in (State.BAD, State.WARN) if state in states), State.OK)


def checked(name: str, title: str, means: str, found: Found) -> Check:
    """Put a check together."""
    state, says, advice = found
    return Check(name=name, title=title, state=state, says=says, means=means, advice=advice)


def fine(says: str) -> Found:
    """Nothing is to be done."""
    return State.OK, says, ""


def warned(says: str, advice: str) -> Found:
    """Somebody should look when they can."""
    return State.WARN, says, advice


def bad(says: str, advice: str) -> Found:
    """Somebody must act."""
    return State.BAD, says, advice


def some(texts: Sequence[str]) -> str:
    """Join texts to one, the first few of them."""
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


def size_of(value: int) -> str:
    """Write a number of bytes."""
    return f"{value / MIB / 1024:.1f} GiB" if value >= 1024 * MIB else f"{value / MIB:.0f} MiB"
