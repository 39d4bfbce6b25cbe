"""Quiet hours: what can be written, and when they begin and end, clock changes included."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.domain.quiet import next_quiet, parse_window


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _next(now: str, *texts: str) -> tuple[str, str] | None:
    found = next_quiet([parse_window(text) for text in texts], _at(now))
    return None if found is None else (f"{found.begins_at:%d %H:%M}", f"{found.ends_at:%d %H:%M}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "08:00-18:00",
        "8:00-18:00 UTC",
        "08:00-18:00 Europe/Nowhere",
        "08:00-18:00 ../../etc/passwd",
        "08:00-25:00 UTC",
        "08:00-08:00 UTC",
        "Mo 08:00-18:00 UTC",
        "Mon-Fry 08:00-18:00 UTC",
        "Mon++Tue 08:00-18:00 UTC",
        "08:00-18:00 UTC and more",
    ],
)
def test_text_that_is_no_window_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no |begins when"):
        parse_window(text)


@pytest.mark.parametrize(
    ("now", "texts", "expected"),
    [
        # a Thursday in winter: Stockholm is an hour ahead
        ("2026-01-01T06:00", ["08:00-18:00 Europe/Stockholm"], ("01 07:00", "01 17:00")),
        ("2026-01-01T07:00", ["08:00-18:00 Europe/Stockholm"], ("01 07:00", "01 17:00")),
        ("2026-01-01T17:00", ["08:00-18:00 Europe/Stockholm"], ("02 07:00", "02 17:00")),
        ("2026-07-01T06:00", ["08:00-18:00 Europe/Stockholm"], ("01 06:00", "01 16:00")),
        # over midnight, and by the day on which it begins
        ("2026-01-02T01:00", ["22:00-06:00 UTC"], ("01 22:00", "02 06:00")),
        ("2026-01-02T01:00", ["Thu 22:00-06:00 UTC"], ("01 22:00", "02 06:00")),
        ("2026-01-02T07:00", ["Thu 22:00-06:00 UTC"], ("08 22:00", "09 06:00")),
        ("2026-01-02T12:00", ["Sat-Mon 08:00-09:00 UTC"], ("03 08:00", "03 09:00")),
        ("2026-01-03T12:00", ["Mon+Sat 00:00-24:00 UTC"], ("03 00:00", "04 00:00")),
        # what touches is one rest
        ("2026-01-01T09:00", ["08:00-10:00 UTC", "10:00-12:00 UTC"], ("01 08:00", "01 12:00")),
        ("2026-01-01T09:00", ["08:00-10:00 UTC", "09:30-09:40 UTC"], ("01 08:00", "01 10:00")),
        ("2026-01-01T09:00", ["10:00-11:00 UTC", "09:30-09:40 UTC"], ("01 09:30", "01 09:40")),
        # the night in which 02:00 to 03:00 is left out, and that in which it comes twice
        ("2026-03-28T23:30", ["00:00-04:00 Europe/Stockholm"], ("28 23:00", "29 02:00")),
        ("2026-03-28T22:00", ["00:00-02:30 Europe/Stockholm"], ("28 23:00", "29 01:30")),
        ("2026-10-24T22:30", ["00:00-04:00 Europe/Stockholm"], ("24 22:00", "25 03:00")),
        ("2026-10-24T22:30", ["00:00-02:30 Europe/Stockholm"], ("24 22:00", "25 01:30")),
        ("2026-01-01T09:00", [], None),
    ],
)
def test_next_rest_is_the_one_that_now_is_in_or_the_first_to_come(
    now: str, texts: list[str], expected: tuple[str, str] | None
) -> None:
    assert _next(now, *texts) == expected


def test_whole_week_is_one_rest_that_goes_on_for_days() -> None:
    found = next_quiet([parse_window("00:00-24:00 UTC")], _at("2026-01-01T09:00"))
    assert found is not None
    assert found.ends_at > _at("2026-01-08T00:00")


def test_reason_names_the_end_by_the_clock_of_its_zone() -> None:
    found = next_quiet([parse_window("08:00-18:00 Europe/Stockholm")], _at("2026-01-01T09:00"))
    assert found is not None
    assert found.reason == "quiet hours until 2026-01-01 18:00 Europe/Stockholm"


@given(
    st.integers(0, 365 * 24 * 60),
    st.sampled_from(["Europe/Stockholm", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_at_each_minute_of_a_year_the_clock_on_the_wall_decides(minute: int, zone: str) -> None:
    """Windows that begin and end at times that no change of the clock touches."""
    window = parse_window(f"Mon-Fri 08:00-18:00 {zone}")
    now = _at("2026-01-01T00:00") + timedelta(minutes=minute)
    wall = now.astimezone(window.zone)
    is_quiet = wall.weekday() < 5 and 8 <= wall.hour < 18
    found = next_quiet([window], now)
    assert found is not None
    assert (found.begins_at <= now) is is_quiet
    end = found.ends_at.astimezone(window.zone)
    assert (end.hour, end.minute) == (18, 0)
