"""How many connections there is room for, and what is told when there is none."""

import io
import json
from collections.abc import Iterator

import pytest

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.website.door.room import MOST, Room


def test_room_is_half_of_the_files_and_an_eighth_more_is_told_that_it_is_full() -> None:
    room = Room(80)
    assert [room.is_full(number) for number in (40, 41)] == [False, True]
    assert [room.is_overrun(number) for number in (50, 51)] == [False, True]
    assert Room(10**6).places == MOST


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.set_up(Logs(format="json"), stream)
    yield stream
    logs.set_up(Logs(level="error"))


def test_who_is_turned_away_is_logged_once_a_minute_however_many_come(said: io.StringIO) -> None:
    room = Room(80)
    for now in (5.0, 6.0, 64.9, 65.0, 66.0, 130.0):
        room.note(now)
    written = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(each["event"], each["refused"], each["places"]) for each in written] == [
        ("connections_refused", 1, 40),
        ("connections_refused", 3, 40),
        ("connections_refused", 2, 40),
    ]
