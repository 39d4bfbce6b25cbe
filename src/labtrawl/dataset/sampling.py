"""Which fields the first records of a segment hold: a cheap look, by the version that sent them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from labtrawl.dataset.policy import PRESENT
from labtrawl.dataset.reader import SegmentRow, read_segment

# A list of GraphQL has other fields than the same of REST.
GRAPHQL = "/api/graphql"
# These have names of GitLab's data for keys, not names of fields.
KEYED_BY_DATA = frozenset({"languages"})
DEEPEST, WIDEST = 3, 80
_FIELD = re.compile(r"[a-z_][a-zA-Z0-9_]{0,63}")
_KINDS: Mapping[type, str] = {
    bool: "yes or no",
    int: "number",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """In how many of the records of one version each field was.

    A field of an object is `author.name`, of objects in a list `labels[].name`. `author.` counts the
    records in which there was that object, `title:text` those in which a field was of that kind.
    """

    version: str
    records: int
    fields: Mapping[str, int]


def sample(root: Path, row: SegmentRow, most: int) -> list[FieldCounts]:
    """Look at the first `most` records; each version of a GitLab on its own.

    What came by GraphQL counts as another version. Raises CorruptSegment.
    """
    counts: dict[str, Counter[str]] = {}
    records: Counter[str] = Counter()
    for record in islice(read_segment(root, row), most):
        if record.state != PRESENT:
            continue
        door = " by GraphQL" if record.request.startswith(GRAPHQL) else ""
        version = f"{record.gitlab_version}{door}"
        records[version] += 1
        counts.setdefault(version, Counter()).update(set(_names(record.body)))
    return [FieldCounts(version, records[version], dict(counts[version])) for version in counts]


def _names(body: bytes | msgspec.Raw) -> Iterator[str]:
    try:
        return names_of(msgspec.json.decode(body, type=dict[str, Any]))
    except msgspec.MsgspecError:
        # A number that no float can hold, which JSON allows: its fields are there all the same.
        return iter(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))


def names_of(body: Mapping[str, Any], parent: str = "", depth: int = 1) -> Iterator[str]:
    """Yield what is to be counted of a record, the same name more than once maybe."""
    if parent:
        yield parent
    for key, value in body.items():
        name = f"{parent}{key}"
        yield name
        if value is not None:
            yield f"{name}:{_KINDS[type(value)]}"
        if depth < DEEPEST:
            for part, inner in _within(name, value):
                yield from names_of(inner, part, depth + 1)


def _within(name: str, value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects in a value; one whose keys are no names of fields is left out."""
    found = [(f"{name}.", value)]
    if isinstance(value, list):
        found = [(f"{name}[].", each) for each in value]
    for part, each in found:
        if isinstance(each, dict) and len(each) <= WIDEST and all(map(_FIELD.fullmatch, each)):
            yield part, each
