"""Filters: numbers, instants, sizes, texts of others."""

from datetime import UTC, datetime

import pytest

from labtrawl.website.live.screens import lines, message
from labtrawl.website.parts import render
from labtrawl.website.parts.assets import load

WHEN = datetime(2026, 11, 22, 9, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("part", "whole", "percent"), [(0, 0, 0), (999, 1000, 99), (1000, 1000, 100), (2, 1, 100)]
)
def test_percent_is_100_only_when_all_is_there(part: int, whole: int, percent: int) -> None:
    assert render.percent(part, whole) == percent


def test_instant_of_milliseconds_and_of_a_date_are_the_same() -> None:
    shown = (
        '<time datetime="2026-11-22T09:30:12Z" title="2026-11-22 09:30:12 UTC">'
        "22 Nov 2026, 09:30:12 UTC</time>"
    )
    assert [render.instant(WHEN), render.instant(1_795_339_812_000)] == [shown, shown]


@pytest.mark.parametrize(
    ("bytes_", "text"), [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_size_has_a_unit(bytes_: int, text: str) -> None:
    assert render.size(bytes_) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "\N{EN DASH}"),
        (-5, "0 ms"),
        (7, "7 ms"),
        (99, "99 ms"),
        (100, "0.1 s"),
        (900, "0.9 s"),
        (61_000, "1 min 01 s"),
        (7_260_000, "2 h 01 min"),
    ],
)
def test_duration_has_units(ms: int | None, text: str) -> None:
    assert render.duration(ms) == text


def test_text_loses_control_characters_and_keeps_its_markup_as_text() -> None:
    assert render.breakable("a\x00/<b>") == "a\N{REPLACEMENT CHARACTER}/<wbr>&lt;b&gt;"


def test_message_with_any_line_break_stays_one_event() -> None:
    text = message(7, [lines("one\r\ntwo\rthree\u2028four"), lines("five")]).decode()
    assert text == "id: 7\ndata: one\ndata: two\ndata: three\u2028four\ndata: five\n\n"


def test_page_names_no_foreign_address_and_no_inline_code() -> None:
    renderer = render.Renderer(load(), "crawl@example.org")
    values = {"places": (), "said": "", "to": "", "mode": "team"}
    page = renderer.page("sign_in.html", token="", state=None, **values)
    assert "http" not in page.replace("http-equiv", "")
    assert " style=" not in page
    assert "<script" not in page
