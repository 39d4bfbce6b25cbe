"""A dataset against the truth, item by item."""

import json
from collections import Counter
from pathlib import Path

from labtrawl.dataset.reader import read_segment
from labtrawl.sandbox import Truth
from labtrawl.store.manifest import SegmentRow

LOCAL = ("members", "inherited_members", "commits", "branches", "tags", "releases")


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
            items[key] = json.loads(bytes(record.body))
    return items, [key for key, count in counts.items() if count > 1]
