"""Answers of 200 whose body is none: refused whole, asked for again, then a gap."""

from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.http import Limits
from labtrawl.sandbox import Fault
from labtrawl.store import manifest
from tests.integration.faults.crawling import ONE, OTHER, Crawl, crawl, path_of

PLACES = (
    rf"/projects/{ONE.id}\?",
    path_of("labels"),
    path_of("issues", OTHER.id),
    "/api/v4/projects\\?",
)
LABELS = (ONE.full_path, "labels")
KINDS = (
    "truncate",
    "html200",
    "wrong_type",
    "empty200",
    "charset",
    "surrogate",
    "huge_number",
    "bomb",
    "reset",
)
WITHOUT_END = ("drip", "endless")
# What never ends is given up soon, by time or by size.
SHORT = Limits(total_seconds=0.4, body_bytes=1024 * 1024)


@pytest.mark.parametrize("kind", [*KINDS, *WITHOUT_END])
async def test_body_that_is_none_is_asked_for_again(tmp_path: Path, kind: str) -> None:
    faults = [Fault(path=path, kind=kind) for path in PLACES]  # type: ignore[arg-type]
    http = SHORT if kind in WITHOUT_END else Limits()
    async with crawl(tmp_path, *faults, http=http) as one:
        await one.run()
        await one.assert_equals_truth()


@pytest.mark.parametrize("kind", KINDS)
async def test_body_that_stays_none_is_a_gap_and_no_byte_of_it_is_kept(
    tmp_path: Path, kind: str
) -> None:
    fault = Fault(path=path_of("labels"), kind=kind, times=0)  # type: ignore[arg-type]
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_only_gaps({LABELS: "failed"})
        assert await _of_labels(one) == []


async def test_bodies_without_an_end_are_gaps_of_their_lists(tmp_path: Path) -> None:
    faults = (
        Fault(path=path_of("labels"), kind="drip", times=0),
        Fault(path=path_of("milestones", OTHER.id), kind="endless", times=0),
    )
    async with crawl(tmp_path, *faults, http=SHORT) as one:
        await one.run()
        await one.assert_only_gaps({LABELS: "failed", (OTHER.full_path, "milestones"): "failed"})
        assert await _of_labels(one) == []


async def test_row_that_names_a_field_twice_is_kept_as_it_came_and_the_last_counts(
    tmp_path: Path,
) -> None:
    """RFC 8259, 4: most readers take the last; ours all do. Nothing is lost, nothing guessed."""
    fault = Fault(path=path_of("labels"), kind="twin_keys", times=0)
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_equals_truth()
        assert await _of_labels(one) == [key for *_, key in _labels(one)]


def _labels(one: Crawl) -> list[tuple[str, int, str, int]]:
    keys = [key for key in one.truth() if key[1:3] == (ONE.id, "labels")]
    return [(kind, area, name, int(number)) for kind, area, name, number in keys]


async def _of_labels(one: Crawl) -> list[int | str]:
    root = dataset_root(one.site.data_dir)
    rows = await one.site.store.read(manifest.segments)
    return [
        record.id
        for row in rows
        if (row.gitlab_id, row.resource) == (ONE.id, "labels")
        for record in read_segment(root, row)
    ]
