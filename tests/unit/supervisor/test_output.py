"""Lines of children: cut, named, wrapped."""

import json

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.supervisor.output import LineSplitter, wrapped


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


def test_json_line_of_a_child_gets_its_name_and_other_lines_are_wrapped() -> None:
    assert json.loads(wrapped("website", '{"event":"x","level":"error"}')) == {
        "program": "website",
        "event": "x",
        "level": "error",
    }
    for line in ("plain text", "[1]", '{"cut":'):
        assert json.loads(wrapped("website", line)) == {
            "program": "website",
            "level": "info",
            "event": "output",
            "text": line,
        }
