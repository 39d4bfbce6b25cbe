"""The mode of a data folder, and what a consent is: to which words, for which areas, until when."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Final

DAY_MS: Final = 86_400_000
# What a text asks for that asks for all there is.
EVERYTHING: Final = "*"
TITLE_CHARACTERS: Final = 200
BODY_CHARACTERS: Final = 6_000


class Mode(StrEnum):
    """For whom data are collected: for the operator's own team, or from participants of a study."""

    TEAM = "team"
    STUDY = "study"

    @property
    def policy(self) -> str:
        """The name of the policy that every record of such a data folder passes."""
        return "study" if self is Mode.STUDY else "as_is"


class Areas(StrEnum):
    """Whether areas that nothing was said of are collected."""

    ALL = "all"
    CHOSEN = "chosen"


class Ended(StrEnum):
    """Why a consent holds no more."""

    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CHANGED = "changed"
    NEW_TEXT = "new text"


@dataclass(frozen=True, slots=True)
class Wording:
    """A text that is to be published: plain text; instants in milliseconds."""

    title: str
    body: str
    resources: tuple[str, ...]
    until: int


def problem_of_text(new: Wording, now: int, known: frozenset[str]) -> str:
    """Say in a sentence why a text cannot be published; "" where it can.

    `known` are the resources that there are.
    """
    if not new.title.strip() or not new.body.strip():
        return "A text needs a title and words that say what is collected and why."
    if len(new.title) > TITLE_CHARACTERS or len(new.body) > BODY_CHARACTERS:
        return f"At most {TITLE_CHARACTERS} characters of title and {BODY_CHARACTERS:,} of text."
    if not new.resources:
        return "Say what is collected: at least one kind of data."
    if unknown := sorted(set(new.resources) - known - {EVERYTHING}):
        return f"There is no kind of data called {unknown[0]}."
    return "" if new.until > now else "The last day has to lie in the future."


def end_of_day(day: date) -> int:
    """Return the last instant (ms, UTC) of a day: consents and texts last until such a one."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000 + DAY_MS - 1


def problem_of_until(until: int, latest: int, now: int) -> str:
    """Say why a consent cannot last until then; "" where it can."""
    if until <= now:
        return "The last day has to lie in the future."
    return (
        "" if until <= latest else "The study itself ends before that day; choose an earlier one."
    )
