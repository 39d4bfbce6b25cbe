"""Cron goes by the clock on the wall, through the nights in which that is put forward and back."""

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from labtrawl.dispatch.timetable import next_instant

ZONE = "Europe/Stockholm"


@pytest.fixture(autouse=True)
def swedish_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine has a time zone with summer time while the test runs."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", ZONE)
        time.tzset()
        yield
    time.tzset()


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def due(cron: str, since: str, number: int) -> list[str]:
    """Return when a list is due that is read at once whenever it is."""
    instants = [instant(since)]
    while len(instants) <= number:
        instants.append(next_instant(cron, instants[-1]))
    local = [datetime.fromtimestamp(each / 1000, ZoneInfo(ZONE)) for each in instants[1:]]
    return [each.strftime("%Y-%m-%d %H:%M %z") for each in local]


def test_cron_in_a_night_that_gets_an_hour_more_is_due_once_and_at_its_time() -> None:
    assert due("0 3 * * *", "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25 03:00 +0100",
        "2026-10-26 03:00 +0100",
    ]


def test_cron_in_the_hour_that_comes_twice_is_due_the_first_time() -> None:
    assert due("30 2 * * *", "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25 02:30 +0200",
        "2026-10-26 02:30 +0100",
    ]
    # The list took so long to be read that the hour began again: that is not due once more.
    assert due("30 2 * * *", "2026-10-25T02:10+01:00", 1) == ["2026-10-26 02:30 +0100"]


def test_cron_in_the_hour_that_never_comes_is_due_after_the_gap() -> None:
    assert due("30 2 * * *", "2026-03-28T12:00+01:00", 2) == [
        "2026-03-29 03:00 +0200",
        "2026-03-30 02:30 +0200",
    ]


def test_cron_of_every_hour_is_due_in_both_hours() -> None:
    assert due("0 * * * *", "2026-10-25T01:30+02:00", 3) == [
        "2026-10-25 02:00 +0200",
        "2026-10-25 02:00 +0100",
        "2026-10-25 03:00 +0100",
    ]


def test_cron_of_a_day_in_winter_is_due_then_when_asked_in_summer() -> None:
    assert due("0 0 1 1 *", "2026-07-24T12:00+02:00", 1) == ["2027-01-01 00:00 +0100"]
    assert due("0 0 29 2 *", "2026-07-24T12:00+02:00", 2) == [
        "2028-02-29 00:00 +0100",
        "2032-02-29 00:00 +0100",
    ]


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 2 * * *", "0 */2 * * *", "5,35 1-3 * * *"])
def test_cron_is_due_later_than_the_instant_it_is_asked_at(cron: str) -> None:
    begin = instant("2026-10-25T00:00+02:00")
    asked = [begin + minute * 60_000 for minute in range(0, 300, 7)]
    answers = [next_instant(cron, at) for at in asked]
    assert [at for at, then in zip(asked, answers, strict=True) if then <= at] == []
    assert [one for one, other in pairwise(answers) if other < one] == []
