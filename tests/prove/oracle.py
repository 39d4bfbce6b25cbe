"""What must hold after a crawl, whatever was done to it: judged from files and rows alone.

It shares no code with the demo's verdict, and takes the truth from the look-alike's world.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.verify import Verification, verify
from labtrawl.sandbox import Truth
from labtrawl.store import manifest
from labtrawl.store.engine import Connection, database_path, open_snapshots
from tests.prove.kills import START_SECONDS, Crawl, Stuck, until
from tests.rig.compare import collected_items, expected_items

Item = tuple[str, int, str, str]
# They find areas and changes, and keep no record that a ledger could count.
WITHOUT_A_LEDGER = frozenset({"discovery", "changed_issues", "changed_merge_requests"})


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, by kind; all empty after a crawl that kept its promises."""

    lost: tuple[str, ...]
    twice: tuple[str, ...]
    torn: tuple[str, ...]
    other_bodies: tuple[str, ...]
    strange: tuple[str, ...]
    strays: tuple[str, ...]
    jobs: tuple[str, ...]
    ledger: tuple[str, ...]
    gaps: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Say whether nothing at all is wrong."""
        return not any(getattr(self, one.name) for one in fields(self))

    def __str__(self) -> str:
        parts = [(one.name, getattr(self, one.name)) for one in fields(self)]
        return "\n".join(
            f"{name}: {len(found)}, such as {', '.join(found[:5])}"
            for name, found in parts
            if found
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    segments: list[manifest.SegmentRow]
    jobs: list[tuple[str, str, int | None]]
    ledger: list[tuple[str, int, str, int, int | None, str | None, int | None]]


def verdict(one: Crawl) -> Findings:
    """Stop a finished crawl and judge what is left.

    Files of killed crawlers may lie about until the next start sweeps them, and no longer. Raises
    Stuck where a stop is not clean.
    """
    one.stop()
    found = judge(one.data_dir, one.gitlab.truth)
    if not found.strays:
        return found
    one.start()
    one.wait_for("crawler")  # by then the website works, and takes the wish to stop
    with contextlib.suppress(Stuck):  # what is still there then is told by the findings
        until(lambda: not judge(one.data_dir, one.gitlab.truth).strays, START_SECONDS, "a sweep")
    one.stop()
    return judge(one.data_dir, one.gitlab.truth)


def judge(data_dir: Path, truth: Truth) -> Findings:
    """Compare a data folder on which nothing runs with what GitLab holds."""
    with open_snapshots(database_path(data_dir)) as snapshots:
        rows = snapshots.read_now(_read)
    found = verify(dataset_root(data_dir), rows.segments)
    return _compare(rows, found, data_dir, truth)


def _read(connection: Connection) -> _Rows:
    jobs = connection.exec_driver_sql(
        "SELECT j.resource, j.state, l.completed_at FROM job AS j"
        " LEFT JOIN ledger AS l ON l.job_id = j.id ORDER BY j.id"
    ).all()
    ledger = connection.exec_driver_sql(
        "SELECT a.kind, a.gitlab_id, l.resource, l.collected, l.expected, l.reason, l.completed_at"
        " FROM ledger AS l JOIN area AS a ON a.id = l.area_id"
    ).all()
    rows = manifest.segments(connection)
    return _Rows(list(rows), [tuple(row) for row in jobs], [tuple(row) for row in ledger])


def _compare(rows: _Rows, found: Verification, data_dir: Path, truth: Truth) -> Findings:
    torn = (*found.corrupt, *found.missing)
    whole = [row for row in rows.segments if not any(row.name in fault for fault in torn)]
    items, twice = collected_items(dataset_root(data_dir), whole)
    expected = expected_items(truth)
    wrong = [key for key in items.keys() & expected.keys() if items[key] != expected[key]]
    counts: Counter[tuple[str, int, str]] = Counter()
    for row in whole:
        counts[row.area_kind, row.gitlab_id, row.resource] += row.records
    return Findings(
        lost=_names(expected.keys() - items.keys()),
        twice=_names(twice),
        torn=torn,
        other_bodies=_names(wrong),
        strange=_names(items.keys() - expected.keys()),
        strays=found.strays,
        jobs=tuple(_unfinished(rows)),
        ledger=tuple(_miscounted(rows, counts)),
        gaps=tuple(_unexplained(rows, truth)),
    )


def _names(keys: Iterable[Item]) -> tuple[str, ...]:
    return tuple(sorted(" ".join(map(str, key)) for key in keys))


def _unfinished(rows: _Rows) -> Iterator[str]:
    for resource, state, closed_at in rows.jobs:
        if state != "completed" or (resource in WITHOUT_A_LEDGER) != (closed_at is None):
            yield f"{resource} is {state}, its ledger row {'open' if closed_at is None else 'closed'}"


def _miscounted(rows: _Rows, counts: Counter[tuple[str, int, str]]) -> Iterator[str]:
    """The ledger counts what was committed: no more, no less, whatever was killed."""
    for kind, gitlab_id, resource, collected, expected, _, _ in rows.ledger:
        really = counts.pop((kind, gitlab_id, resource), 0)
        if collected != really or expected not in (None, really):
            yield f"{kind} {gitlab_id} {resource}: {collected} of {expected}, really {really}"
    yield from (f"{cell} has no row" for cell in counts)


def _unexplained(rows: _Rows, truth: Truth) -> Iterator[str]:
    open_or_less = [row for row in rows.ledger if row[5] is not None or row[6] is None]
    gaps = {row[:3]: row[5] or "no reason" for row in open_or_less}
    known = truth.gaps()
    for cell in gaps.keys() | known.keys():
        if gaps.get(cell) != known.get(cell):
            yield f"{cell}: {gaps.get(cell)} instead of {known.get(cell)}"
