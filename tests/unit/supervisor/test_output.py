"""Lines of children: cut, named, wrapped."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.supervisor.output import LineSplitter, event_line, shown

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=30)),
    st.lists(st.integers(1, 20)),
)
def test_lines_cut_anywhere_come_out_whole_and_once(lines: list[str], cuts: list[int]) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    splitter = LineSplitter()
    found: list[str] = []
    for size in [*cuts, len(data)]:
        chunk, data = data[:size], data[size:]
        found += splitter.feed(chunk)
    assert [*found, *splitter.rest()] == lines


def test_line_without_an_end_comes_at_the_end_and_a_long_one_in_pieces() -> None:
    splitter = LineSplitter(limit=4)
    assert list(splitter.feed(b"abcdefghij")) == ["abcd", "efgh"]
    assert list(splitter.rest()) == ["ij"]
    assert list(splitter.rest()) == []


def test_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    assert list(LineSplitter().feed(b"a\xff\r\n")) == ["a\\xff"]


def test_json_line_of_a_child_is_kept_and_other_lines_become_events() -> None:
    line = '{"timestamp":"2026-11-22T01:00:00Z","event":"x","level":"error"}'
    assert json.loads(event_line(line, NOW)) == json.loads(line)
    for text in ("plain text", "[1]", '{"cut":'):
        assert json.loads(event_line(text, NOW)) == {
            "timestamp": "2026-11-22T02:00:00Z",
            "level": "info",
            "event": "output",
            "text": text,
        }


def test_event_without_an_instant_gets_that_of_its_arrival() -> None:
    assert json.loads(event_line('{"event":"x"}', NOW)) == {
        "timestamp": "2026-11-22T02:00:00Z",
        "event": "x",
    }


def test_kept_line_is_shown_with_its_program_for_people_and_for_machines() -> None:
    kept = event_line('{"timestamp":"2026-11-22T01:00:00.5Z","level":"info","logger":"crawler",'
                      '"event":"page_read","records":3}', NOW)  # fmt: skip
    assert shown("crawler-1", kept, "console", colors=False) == (
        "crawler-1  | 01:00:00.5Z info    crawler: page_read records=3"
    )
    assert json.loads(shown("crawler-1", kept, "json", colors=False)) == {
        "program": "crawler-1",
        **json.loads(kept),
    }


def test_line_that_steers_a_terminal_is_kept_in_ascii_and_shown_escaped() -> None:
    kept = event_line("a\x1b[31m\u202eb", NOW)
    assert kept.isascii()
    assert "\x1b" not in kept
    assert shown("website", kept, "console", colors=False) == "website    | a\\x1b[31m\\u202eb"
