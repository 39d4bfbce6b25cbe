"""Users seen: who appears in the records, as author, assignee, member. It costs no request."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

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
    for number, username, name in _named(msgspec.json.decode(record.body)):
        known = newest.get((instance_id, number))
        if known is None or instant >= known[0]:
            seen = SeenUser(instance_id, number, username, name, record.fetched_at)
            newest[instance_id, number] = (instant, seen)


def _named(body: object) -> Iterator[tuple[int, str, str]]:
    """Walk a decoded body, in any depth, for objects that are users."""
    waiting = [body]
    while waiting:
        match waiting.pop():
            case list() as items:
                waiting.extend(items)
            case dict() as fields:
                match fields:
                    case {"id": bool()}:
                        pass
                    case {"id": int(number), "username": str(username), "name": str(name)}:
                        yield number, username, name
                waiting.extend(fields.values())
