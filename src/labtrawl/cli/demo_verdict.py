"""The demo's verdict: the dataset against the sandbox's own truth, item by item."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.policy import Record
from labtrawl.dataset.reader import read_segment
from labtrawl.sandbox import World, truth
from labtrawl.store import manifest, summary
from labtrawl.store.engine import Snapshots

Key = tuple[str, int, str, str]
# GitLab's ids of these are unique in their area only; the dataset puts the area's id in front.
LOCAL = frozenset({"members", "inherited_members", "commits", "branches", "tags", "releases"})
_IN_SECONDS = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a perfect crawl holds: each body as JSON, and the reason of each gap."""

    bodies: dict[Key, bytes]
    gaps: dict[tuple[str, int, str], str]

    @property
    def records(self) -> int:
        """How many records there are."""
        return len(self.bodies)


def expect(world: World, url: str) -> Expected:
    """Ask the sandbox's world itself, not its server."""
    found = truth(world, external_url=url)
    bodies = {
        (
            cell.area_kind,
            cell.area_id,
            cell.resource,
            f"{cell.area_id}/{item.natural_id}" if cell.resource in LOCAL else str(item.natural_id),
        ): item.body
        for cell in found.cells
        for item in cell.items
    }
    return Expected(bodies, found.gaps())


def _is_right(record: Record, expected: bytes) -> bool:
    """Compare what bodies say, not how their JSON is written.

    What came by GraphQL has fewer fields than GitLab's REST object, and no others.
    """
    found, wanted = msgspec.json.decode(record.body), msgspec.json.decode(expected)
    return _is_part(found, wanted) if "/graphql" in record.request else found == wanted


def _is_part(found: object, wanted: object) -> bool:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(
            name in wanted and _is_part(value, wanted[name]) for name, value in found.items()
        )
    if isinstance(found, list) and isinstance(wanted, list):
        pairs = zip(found, wanted, strict=False)
        return len(found) == len(wanted) and all(_is_part(*pair) for pair in pairs)
    return found == wanted or _is_cut(found, wanted)


def _is_cut(found: object, wanted: object) -> bool:
    """Say whether this is the instant in whole seconds and UTC, as GraphQL tells it."""
    if not (isinstance(found, str) and isinstance(wanted, str)):
        return False
    cut = _IN_SECONDS.fullmatch(found)
    return cut is not None and re.fullmatch(rf"{cut[1]}\.\d{{3}}(Z|\+00:00)", wanted) is not None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the dataset compares; `unexplained` are gaps without a reason."""

    expected: int
    right: int
    missing: int
    wrong: int
    twice: int
    strange: int
    explained: list[summary.Gap] = field(default_factory=list)
    unexplained: list[summary.Gap] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything is there, once, as it should be, and each gap has a reason."""
        faults = (self.missing, self.wrong, self.twice, self.strange, len(self.unexplained))
        return not any(faults)

    def sentences(self) -> list[tuple[str, str]]:
        """Tell the verdict: (label, sentence)."""
        told = [("verdict", f"{self.right:,} of {self.expected:,} records, {self._how()}")]
        if self.explained:
            reasons = Counter(str(gap.reason).replace("_", " ") for gap in self.explained)
            parts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            told.append(("gaps", f"{len(self.explained)} lists, each with its reason: {parts}"))
        told += [
            ("no reason", f"{gap.full_path} {gap.resource} is not complete, and nobody knows why")
            for gap in self.unexplained[:10]
        ]
        if len(self.unexplained) > 10:
            told.append(("no reason", f"and {len(self.unexplained) - 10:,} more"))
        return told

    def _how(self) -> str:
        faults = {
            "missing": self.missing,
            "with another content": self.wrong,
            "more than once": self.twice,
            "that GitLab does not have": self.strange,
        }
        found = [f"{count:,} {what}" for what, count in faults.items() if count]
        return ", ".join(found) or "each exactly once"


def judge(db: Snapshots, data_dir: Path, expected: Expected) -> Verdict:
    """Read every committed segment and compare."""
    rows = db.read_now(manifest.segments)
    counts: Counter[Key] = Counter()
    right = wrong = 0
    root = dataset_root(data_dir)
    for row in rows:
        for record in read_segment(root, row):
            key = (row.area_kind, row.gitlab_id, row.resource, str(record.id))
            counts[key] += 1
            if counts[key] == 1 and key in expected.bodies:
                same = _is_right(record, expected.bodies[key])
                right, wrong = right + same, wrong + (not same)
    gaps = db.read_now(summary.gaps)
    return Verdict(
        expected=len(expected.bodies),
        right=right,
        missing=len(expected.bodies.keys() - counts.keys()),
        wrong=wrong,
        twice=sum(1 for count in counts.values() if count > 1),
        strange=len(counts.keys() - expected.bodies.keys()),
        explained=[gap for gap in gaps if gap.reason is not None],
        unexplained=[gap for gap in gaps if gap.reason is None],
    )


def summarise(
    db: Snapshots, verdict: Verdict, kills: int, seconds: float, dataset: Path
) -> dict[str, Any]:
    """Return the figures of a run for `--summary`."""
    now = db.read_now(summary.progress)
    return {
        "areas": now.areas,
        "jobs": now.jobs,
        "records": db.read_now(summary.records_by_resource),
        "total": verdict.right,
        "expected": verdict.expected,
        "missing": verdict.missing,
        "twice": verdict.twice,
        "wrong": verdict.wrong + verdict.strange,
        "requests": now.requests,
        "retries": now.retries,
        "kills": kills,
        "gaps": [
            {
                "area": gap.full_path,
                "resource": gap.resource,
                "reason": gap.reason,
                "detail": gap.detail,
            }
            for gap in [*verdict.unexplained, *verdict.explained]
        ],
        "seconds": seconds,
        "dataset": str(dataset),
    }
