"""The demo's verdict and the tests' own comparison: what came by GraphQL is a part of the truth.

They share no code, so that a mistake in one is no mistake in the other.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from labtrawl.cli.demo_verdict import Expected, judge
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.policy import apply
from labtrawl.store import manifest
from labtrawl.store.engine import Snapshots
from tests.integration.dataset.samples import fetched, written
from tests.rig.compare import collected_items

KEY = ("project", 12, "issues", "7")
REST = "/api/v4/projects/12/issues?per_page=100"
WHOLE: dict[str, Any] = {
    "id": 7,
    "created_at": "2026-03-04T05:06:07.089Z",
    "authored_date": "2026-03-04T05:06:07.000+00:00",
    "author": {"id": 3, "username": "ada"},
    "labels": ["a"],
}
IN_SECONDS = {"created_at": "2026-03-04T05:06:07Z", "authored_date": "2026-03-04T05:06:07Z"}


class Rows:
    """A database that knows one segment and no gap."""

    def __init__(self, segments: list[manifest.SegmentRow]) -> None:
        self.segments = segments

    def read_now(self, work: Callable[..., object]) -> list[manifest.SegmentRow]:
        return self.segments if work is manifest.segments else []


def verdicts(tmp_path: Path, request: str, body: dict[str, Any]) -> tuple[bool, bool]:
    """What the demo says, and what the tests say, of one record."""
    came = msgspec.structs.replace(
        fetched(7), request=request, body=msgspec.Raw(msgspec.json.encode(body))
    )
    root = dataset_root(tmp_path)
    root.mkdir(parents=True, exist_ok=True)
    made = written(root, [apply("as_is", "issues", came)])
    place = (1, 1, 1, *KEY[:2], "lab/p", KEY[2], 1)
    row = manifest.SegmentRow(made.name, made.length, made.sha256, made.records, *place)
    db = cast("Snapshots", Rows([row]))
    expected = Expected({KEY: msgspec.json.encode(WHOLE)}, {})
    items, _ = collected_items(root, [row])
    return judge(db, tmp_path, expected).good, items == {KEY: WHOLE}


@pytest.mark.parametrize(
    "change",
    [
        {},
        IN_SECONDS,
        {"author": {"username": "ada"}},
    ],
)
def test_record_by_graphql_may_say_less_and_its_instants_in_seconds(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    assert verdicts(tmp_path, "/api/graphql issues", WHOLE | change) == (True, True)


@pytest.mark.parametrize(
    "change",
    [
        {"created_at": "2026-03-04T05:06:08Z"},
        {"created_at": "2026-03-04T05:06:07.1Z"},
        {"created_at": "2026-03-04T05:06:07"},
        {"created_at": None},
        {"author": {"id": 4}},
        {"author": {"id": 3, "state": "active"}},
        {"labels": []},
        {"labels": ["a", "b"]},
        {"votes": 1},
    ],
)
def test_record_by_graphql_that_says_something_else_is_wrong(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    assert verdicts(tmp_path, "/api/graphql issues", WHOLE | change) == (False, False)


@pytest.mark.parametrize("change", [IN_SECONDS, {"author": {"username": "ada"}}])
def test_record_by_rest_says_all_of_it(tmp_path: Path, change: dict[str, Any]) -> None:
    assert verdicts(tmp_path, REST, WHOLE) == (True, True)
    other = tmp_path / "other"
    assert verdicts(other, REST, WHOLE | change) == (False, False)
