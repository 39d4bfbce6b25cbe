"""Users seen: who appears in the records, as author, assignee, member. It costs no request."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from labtrawl.dataset.layout import parse_segment_name
from labtrawl.dataset.policy import Record
from labtrawl.dataset.reader import SegmentRow, read_segment


@dataclass(frozen=True, slots=True)
class SeenUser:
    """A user of an instance as the newest record that shows them has it."""

    instance_id: int
    id: int
    username: str
    name: str
    seen_at: str


def users_seen(root: Path, rows: Iterable[SegmentRow]) -> list[SeenUser]:
    """Return every object with an integer `id`, a `username` and a `name`, once by id.

    Sorted by instance and id; memory holds one entry for each user. Raises CorruptSegment.
    """
    newest: dict[tuple[int, int], tuple[datetime, SeenUser]] = {}
    for row in rows:
        place = parse_segment_name(row.name)
        for record in read_segment(root, row):
            if place is not None and b'"username"' in bytes(record.body):
                _remember(newest, place.instance_id, record)
    return [newest[key][1] for key in sorted(newest)]


def _remember(
    newest: dict[tuple[int, int], tuple[datetime, SeenUser]], instance_id: int, record: Record
) -> None:
    instant = datetime.fromisoformat(record.fetched_at)
    for number, username, name in named_in(msgspec.json.decode(record.body)):
        known = newest.get((instance_id, number))
        if known is None or instant >= known[0]:
            seen = SeenUser(instance_id, number, username, name, record.fetched_at)
            newest[instance_id, number] = (instant, seen)


def named_in(body: Any) -> Iterator[tuple[int, str, str]]:
    """Walk a decoded object, in any depth, for those inside that are users: (id, username, name)."""
    waiting = [body]
    while waiting:
        each = waiting.pop()
        if type(each) is dict:
            username = each.get("username")
            if type(username) is str:
                number, name = each.get("id"), each.get("name")
                if type(number) is int and type(name) is str:
                    yield number, username, name
            inside = each.values()
        else:
            inside = each
        for value in inside:
            if type(value) is dict or type(value) is list:
                waiting.append(value)  # noqa: PERF401 - a generator for each object costs as much again
