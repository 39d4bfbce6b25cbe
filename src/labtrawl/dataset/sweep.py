"""Removing what nobody committed: files of crawlers that died, and of leases that were lost.

Three steps, in this order: `list_segments`, then one snapshot of the database (named segments and
living leases), then `sweep`. What was there before the snapshot, belongs to no lease that lives in
it and is named by no row of it can never be committed any more.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from labtrawl.dataset.disk import Disk, disk_failure, names_below
from labtrawl.dataset.layout import SegmentPlace, parse_segment_name, segment_path


@dataclass(frozen=True, slots=True)
class Found:
    """The segments that lay on the disk before the snapshot, by name."""

    places: dict[str, SegmentPlace]


def list_segments(disk: Disk, root: Path) -> Found:
    """List the segments below `root`; other files are left alone. Raises DatasetError."""
    places = {name: parse_segment_name(name) for name in names_below(disk, root)}
    return Found({name: place for name, place in places.items() if place is not None})


def sweep(
    disk: Disk,
    root: Path,
    found: Found,
    named: AbstractSet[str],
    leases: AbstractSet[tuple[int, int]],
) -> list[str]:
    """Remove the found segments that no row names and no living lease writes; return their names.

    `named` and `leases`, the living (job, fence) pairs, come from one snapshot taken after
    `list_segments`. Raises DatasetError when the disk refuses; what is left is swept next time.
    """
    swept = []
    for name, place in found.places.items():
        if name in named or (place.job_id, place.fence) in leases:
            continue
        try:
            disk.remove(segment_path(root, name))
        except OSError as error:
            raise disk_failure(error, f"remove {name}") from error
        swept.append(name)
    return swept
