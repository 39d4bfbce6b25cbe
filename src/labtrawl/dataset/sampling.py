"""Which fields the first records of a segment hold: a cheap look, by the version that sent them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from labtrawl.dataset.policy import PRESENT
from labtrawl.dataset.reader import SegmentRow, read_segment

# A list of GraphQL has other fields than the same of REST.
GRAPHQL = "/api/graphql"


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """In how many of the records of one version each field was."""

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
        body = msgspec.json.decode(record.body, type=dict[str, msgspec.Raw])
        counts.setdefault(version, Counter()).update(body.keys())
    return [FieldCounts(version, records[version], dict(counts[version])) for version in counts]
