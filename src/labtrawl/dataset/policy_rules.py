"""The rules that a field of a study's record can have: what is kept, and what stands in its place.

A rule takes a value and returns what may be written, or `WITHHELD`: a value of another kind than
the field should have may be anything, and does not pass.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from labtrawl.dataset.pseudonyms import Pseudonyms, folded, normal

WITHHELD: Final = object()
DROPPED: Final = object()
"""What a rule returns for a text that nobody collects: known, left out and not counted."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a rule is given: the maker of pseudonyms, and whom to tell of a field that is withheld."""

    pseudonyms: Pseudonyms
    withhold: Callable[[str], None]


Rule = Callable[[Any, Pass, str], Any]
"""Value, pass and the field's place; None stands for itself and is never asked about."""
Shape = Mapping[str, Rule]

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:[ _-][A-Za-z0-9_]+){0,4}\Z")
_LONGEST_WORD: Final = 40
_HEX: Final = re.compile(r"[0-9a-f]{8,64}\Z")
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{3,6}\Z")
_SIZE: Final = re.compile(r"[0-9]{1,9}\+?\Z")
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 #+*'./()_-]{0,39}\Z")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


def number(value: Any, _pass: Pass, _place: str) -> Any:
    """Keep a number."""
    return value if type(value) in (int, float) else WITHHELD


def flag(value: Any, _pass: Pass, _place: str) -> Any:
    """Keep yes or no."""
    return value if type(value) is bool else WITHHELD


def instant(value: Any, _pass: Pass, _place: str) -> Any:
    """Keep an instant or a day in ISO 8601."""
    try:
        if len(value) == len("2026-01-01"):
            date.fromisoformat(value)
        else:
            datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return WITHHELD
    return value


def _matching(form: re.Pattern[str]) -> Rule:
    def rule(value: Any, _pass: Pass, _place: str) -> Any:
        is_one = type(value) is str and form.match(value) is not None
        return value if is_one else WITHHELD

    return rule


digits = _matching(_SIZE)
colour = _matching(_COLOUR)


def hexadecimal(value: Any, given: Pass, _place: str) -> Any:
    """Keep an id that GitLab drew at random; any other text gets a pseudonym."""
    if type(value) is not str:
        return WITHHELD
    return value if _HEX.match(value) else given.pseudonyms.text("id", value)


def word(*known: str) -> Rule:
    """Keep a word of GitLab's own: one of these, or none that is longer or stranger than such are."""

    def rule(value: Any, _pass: Pass, _place: str) -> Any:
        if type(value) is not str:
            return WITHHELD
        if known:
            return value if value in known else WITHHELD
        is_one = len(value) <= _LONGEST_WORD and _WORD.match(value)
        return value if is_one else WITHHELD

    return rule


def dropped(_value: Any, _pass: Pass, _place: str) -> Any:
    """Leave out what is free text, or of no use and known."""
    return DROPPED


def name(label: str, *kept: str, fold: bool = False) -> Rule:
    """Put a pseudonym in the place of a text; the words `kept` say nothing of anybody."""
    form = folded if fold else normal

    def rule(value: Any, given: Pass, _place: str) -> Any:
        if type(value) is not str:
            return WITHHELD
        if value in kept or not value:
            return value
        return given.pseudonyms.text(label, form(value))

    return rule


def person(value: Any, given: Pass, _place: str) -> Any:
    """Put a number in the place of a user's number."""
    return given.pseudonyms.number("user", value) if type(value) is int else WITHHELD


def list_of(inner: Rule) -> Rule:
    """Apply a rule to each entry of a list; one that is withheld is missing."""

    def rule(value: Any, given: Pass, place: str) -> Any:
        if type(value) is not list:
            return WITHHELD
        kept = []
        for each in value:
            passed = inner(each, given, f"{place}[]") if each is not None else None
            if passed is WITHHELD:
                given.withhold(f"{place}[]")
            elif passed is not DROPPED:
                kept.append(passed)
        return kept

    return rule


def object_of(shape: Shape) -> Rule:
    """Apply a shape to an object: what it does not name is withheld."""

    def rule(value: Any, given: Pass, place: str) -> Any:
        if type(value) is not dict:
            return WITHHELD
        prefix = f"{place}." if place else ""
        kept = {}
        for field, inside in value.items():
            known = shape.get(field)
            at = prefix + (field if _FIELD.match(field) else "(a strange name)")
            if known is None:
                given.withhold(at)
                continue
            passed = None if inside is None and known is not dropped else known(inside, given, at)
            if passed is WITHHELD:
                given.withhold(at)
            elif passed is not DROPPED:
                kept[field] = passed
        return kept

    return rule


def shares_by_language(value: Any, given: Pass, _place: str) -> Any:
    """Keep GitLab's names of languages with the share of each (doc/api/projects.md)."""
    if type(value) is not dict:
        return WITHHELD
    kept = {}
    for language, share in value.items():
        if _LANGUAGE.match(language) and type(share) in (int, float):
            kept[language] = share
        else:
            given.withhold("(a language)")
    return kept


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text, for lists that are long."""
    return tuple(text.split())


def each(rule: Rule, fields: str) -> dict[str, Rule]:
    """Give several fields one rule; `fields` has their names, blanks between them."""
    return dict.fromkeys(fields.split(), rule)
