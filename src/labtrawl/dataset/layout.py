"""Where segments lie: the only maker of paths. One folder for each area and resource.

    <data folder>/dataset/i1/project-12/issues/j45-f2-000001.jsonl.zst

A name says who wrote the segment (job and fence), so two holders of a job never meet in a file.
Names also come in from outside (a lease, a manifest row): they are parsed, never joined as they are.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labtrawl.domain.area import AreaKind
from labtrawl.errors import CorruptSegment, DatasetError

SUFFIX: Final = ".jsonl.zst"

_NUMBER = r"(0|[1-9][0-9]{0,18})"
_RESOURCE = r"([a-z][a-z0-9_]{0,63})"
_PREFIX = re.compile(
    rf"i{_NUMBER}/({'|'.join(AreaKind)})-{_NUMBER}/{_RESOURCE}/j{_NUMBER}-f{_NUMBER}-"
)
_SEGMENT = re.compile(rf"{_PREFIX.pattern}([0-9]{{6}}|[1-9][0-9]{{6,18}}){re.escape(SUFFIX)}")


@dataclass(frozen=True, slots=True)
class SegmentPrefix:
    """What the segments of one lease share: the area, the resource, the job and its fence."""

    instance_id: int
    area_kind: str
    gitlab_id: int
    resource: str
    job_id: int
    fence: int

    @property
    def text(self) -> str:
        """What the names of this lease's segments begin with: up to their number."""
        return (
            f"i{self.instance_id}/{self.area_kind}-{self.gitlab_id}/{self.resource}"
            f"/j{self.job_id}-f{self.fence}-"
        )

    def name(self, number: int) -> str:
        """Return the name of this lease's segment `number`, relative to the dataset's root.

        Raises DatasetError where the parts make no name that `parse_segment_name` would take back.
        """
        name = f"{self.text}{number:06d}{SUFFIX}"
        if parse_segment_name(name) is None:
            raise DatasetError(
                f"{name!r} cannot be a segment: numbers count from 0, area kinds are"
                f" {', '.join(AreaKind)}, a resource is a word in small letters"
            )
        return name


@dataclass(frozen=True, slots=True)
class SegmentPlace(SegmentPrefix):
    """A segment's name, taken apart."""

    number: int


def segment_name(
    instance_id: int,
    area_kind: str,
    gitlab_id: int,
    resource: str,
    job_id: int,
    fence: int,
    number: int,
) -> str:
    """Return a segment's name, relative to the dataset's root, with `/` between its parts.

    Raises DatasetError as `SegmentPrefix.name` does.
    """
    return SegmentPrefix(instance_id, area_kind, gitlab_id, resource, job_id, fence).name(number)


def parse_segment_prefix(text: str) -> SegmentPrefix | None:
    """Take apart what `SegmentPrefix.text` wrote; None for anything else."""
    match = _PREFIX.fullmatch(text)
    if match is None:
        return None
    instance_id, area_kind, gitlab_id, resource, job_id, fence = match.groups()
    return SegmentPrefix(
        int(instance_id), area_kind, int(gitlab_id), resource, int(job_id), int(fence)
    )


def parse_segment_name(name: str) -> SegmentPlace | None:
    """Take a name apart; None for whatever `segment_name` does not write, byte for byte."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    instance_id, area_kind, gitlab_id, resource, job_id, fence, number = match.groups()
    return SegmentPlace(
        int(instance_id), area_kind, int(gitlab_id), resource, int(job_id), int(fence), int(number)
    )


def segment_path(root: Path, name: str) -> Path:
    """Return where a segment lies. Raises CorruptSegment for a name that leads elsewhere."""
    if parse_segment_name(name) is None:
        raise CorruptSegment(f"{name!r} is not the name of a segment; the manifest is damaged")
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise CorruptSegment(f"{name} leads out of {root}; remove the symbolic link on its way")
    return path


def folder_of(name: str) -> str:
    """Return the folder part of a segment's name: one area and one resource of an instance."""
    return name.rpartition("/")[0]


def dataset_root(data_dir: Path) -> Path:
    """Return the dataset's root inside a data folder."""
    return data_dir / "dataset"
