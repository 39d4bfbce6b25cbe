"""Lines of logs: what a search leaves out unread is nothing that it should find."""

import json

import pytest

from labtrawl.website.answering.log_files import LEVELS, LogFilter, line_of

EVENTS = (
    {"level": "warning", "event": "lease_lost", "job": "4711", "error": 'Fehler: größer\nals\t"x"'},
    {"level": "info", "event": "started", "job": 12, "is_first": True, "of": None, "share": 0.5},
    {"event": "output", "text": "Traceback (most recent call last): \u202e"},
    {"level": "critical", "event": "token", "token": "glpat-abcdefghijklmnop", "n": [1, "zwei"]},
)
WANTED = [
    *(LogFilter(level=level) for level in LEVELS),
    *(LogFilter(job=job) for job in (4711, 12, 1)),
    *(
        LogFilter(text=text)
        for text in (
            *("LEASE", "job=4711", "größer", 'als\\t"x"', "none", "of=None", "true", "0.5"),
            *("[secret]", "recent call", "\\u202e", "zwei", "glpat", "", "n=[1, 'zwei']"),
        )
    ),
]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_search_finds_what_the_words_hold(wanted: LogFilter) -> None:
    for event in EVENTS:
        raw = json.dumps(event).encode()
        line = line_of("website", raw)
        is_left_out = not all(
            any(each in raw.lower() for each in one_of) for one_of in wanted.needles()
        )
        assert not (is_left_out and wanted.takes(line)), line.words


def test_line_that_is_no_event_is_shown_as_it_is() -> None:
    line = line_of("website", b"half a line \xff {")
    assert (line.words, line.level, line.job) == ("half a line \\xff {", "info", None)
