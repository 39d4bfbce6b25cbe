"""A dataset against the truth, item by item."""

import json
import re
from collections import Counter
from pathlib import Path

from labtrawl.dataset.reader import read_segment
from labtrawl.sandbox import Truth
from labtrawl.store.manifest import SegmentRow

LOCAL = ("members", "inherited_members", "commits", "branches", "tags", "releases")

_INSTANT = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}(Z|\+00:00)$")


class AsPart(dict[str, object]):
    """A body that came by GraphQL: equal to each body that says the same and more.

    GraphQL knows fewer fields than GitLab's REST objects have, and labtrawl adds none.
    """

    def __eq__(self, other: object) -> bool:
        return is_part(dict(self), other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def is_part(found: object, whole: object) -> bool:
    """Say whether `whole` has every field of `found`, with the same value, in any depth."""
    if isinstance(found, dict) and isinstance(whole, dict):
        return all(name in whole and is_part(value, whole[name]) for name, value in found.items())
    if isinstance(found, list) and isinstance(whole, list):
        pairs = zip(found, whole, strict=False)
        return len(found) == len(whole) and all(is_part(*pair) for pair in pairs)
    return found == whole or found == _in_seconds(whole)


def _in_seconds(value: object) -> object:
    """GraphQL tells instants in whole seconds, in UTC."""
    return _INSTANT.sub(r"\1Z", value) if isinstance(value, str) else value


def expected_items(truth: Truth) -> dict[tuple[str, int, str, str], object]:
    """Return the truth as (area kind, area id, resource, id) to body."""
    return {
        (
            kind,
            area_id,
            resource,
            f"{area_id}/{natural}" if resource in LOCAL else str(natural),
        ): body
        for kind, area_id, resource, natural, body in truth.items()
    }


def collected_items(
    root: Path, rows: list[SegmentRow]
) -> tuple[dict[tuple[str, int, str, str], object], list[tuple[str, int, str, str]]]:
    """Return the dataset in the same form, and what stands in it more than once."""
    items: dict[tuple[str, int, str, str], object] = {}
    counts: Counter[tuple[str, int, str, str]] = Counter()
    for row in rows:
        for record in read_segment(root, row):
            key = (row.area_kind, row.gitlab_id, row.resource, str(record.id))
            counts[key] += 1
            body = json.loads(bytes(record.body))
            items[key] = AsPart(body) if "/graphql" in record.request else body
    return items, [key for key, count in counts.items() if count > 1]
