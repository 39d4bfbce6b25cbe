"""What a folder of `labtrawl crawl` holds, against the truth of the look-alike."""

import json
from collections.abc import Callable
from pathlib import Path

from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.sandbox import Truth
from labtrawl.store import manifest
from labtrawl.store.engine import database_path, open_snapshots
from tests.rig.compare import AsPart, collected_items, expected_items

Key = tuple[str, int, str, str]


def anything(_key: Key) -> bool:
    return True


def assert_is_truth(out: Path, truth: Truth, keep: Callable[[Key], bool] = anything) -> None:
    """After a first crawl: bodies and ids equal, each once."""
    with open_snapshots(database_path(out)) as database:
        rows = list(database.read_now(manifest.segments))
    items, twice = collected_items(dataset_root(out), rows)
    assert items == {key: body for key, body in expected_items(truth).items() if keep(key)}
    assert twice == []


def assert_is_current(out: Path, truth: Truth, keep: Callable[[Key], bool] = anything) -> None:
    """After any number of visits: the newest state of each object is the truth's."""
    with open_snapshots(database_path(out)) as database:
        rows = list(database.read_now(manifest.segments))
    found: dict[Key, object] = {}
    for row in rows:
        for record in read_segment(dataset_root(out), row):
            key = (row.area_kind, row.gitlab_id, row.resource, str(record.id))
            body = json.loads(bytes(record.body))
            found[key] = AsPart(body) if "/graphql" in record.request else body
            if record.state != "present":
                del found[key]
    assert found == {key: body for key, body in expected_items(truth).items() if keep(key)}
