"""Logs: one masked line an event, for machines and for people, from libraries too."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.domain.credential import Secret

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def written(form: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.set_up(Logs(format=form, level=level), stream)  # type: ignore[arg-type]
    return stream


@pytest.mark.seed("S2.86", "S2.115")
def test_event_becomes_one_json_line_that_names_its_category() -> None:
    stream = written("json")
    logs.get("crawler").info("page_read", records=3, seconds=0.5, job={"id": 1})
    event = json.loads(stream.getvalue())
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "level": "info",
        "logger": "crawler",
        "event": "page_read",
        "records": 3,
        "seconds": 0.5,
        "job": {"id": 1},
    }


def test_event_on_a_console_is_one_line_without_control_characters() -> None:
    stream = written("console")
    logs.get("crawler").warning("odd_title", title="a\nb\x1b[31m \u202ec", count=2)
    assert stream.getvalue()[13:] == (
        'warning crawler: odd_title title="a\\nb\\x1b[31m \\u202ec" count=2\n'
    )


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "end",
    [
        "\n",
        "\r\n",
        "\r",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x85",
        "\u2028",
        "\u2029",
        "\x1b[1A\x1b[2K",
        "\x00",
    ],
)
def test_name_that_forges_a_line_stays_in_its_own(form: str, end: str) -> None:
    """F23: whatever ends a line for a terminal, a pager or a program, an event is one line."""
    stream = written(form)
    logs.get("crawler").warning(
        "area_renamed", name=f"a{end}11:00:00 error  website: forged", **{f"k{end}": 1}
    )
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text[:-1].splitlines() == [text[:-1]]
    assert text[:-1].isprintable()


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked_in_every_value_and_exception(form: str) -> None:
    stream = written(form)
    logs.conceal(Secret("correct horse battery"))
    log = logs.get("x")
    log.info(
        "sent",
        a="glpat-abcdefghijklmnop",
        b={"deep": ["Authorization: Bearer abc.def-ghi"]},
        c="correct horse battery",
        d=Secret("correct horse battery"),
        e=f"token={JWT}&x",
        f="https://user:hunter22@host/path",
        g=ValueError("gloas-0123456789abcdef"),
    )
    try:
        int("glpat-abcdefghijklmnop in correct horse battery")
    except ValueError:
        log.exception("broke")
    text = stream.getvalue()
    canaries = ("abcdefghijklmnop", "abc.def", "horse", "eyJ", "hunter22", "0123456789abcdef")
    assert [each for each in canaries if each in text] == []
    assert text.count(logs.MASK) >= 9
    assert len(text.splitlines()) == 2


def test_words_that_only_look_like_tokens_stay() -> None:
    text = "glossary-of-terms global-configuration bearer of news http://host/a:b"
    assert logs.mask(text) == text


def test_short_texts_are_no_secrets() -> None:
    logs.conceal(Secret("page"))
    assert logs.mask("a page of issues") == "a page of issues"


def test_level_hides_what_is_less_urgent() -> None:
    stream = written("json", "warning")
    logs.get("x").info("hidden")
    logging.getLogger("library").info("hidden")
    logs.get("x").error("shown")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["shown"]


def test_what_libraries_log_is_masked_and_has_their_name() -> None:
    stream = written("json")
    logging.getLogger("uvicorn.error").error("failed with %s", "glpat-abcdefghijklmnop")
    logging.getLogger("sqlalchemy.engine.Engine").info("SELECT 1")
    event = json.loads(stream.getvalue())
    assert (event["logger"], event["event"], event["message"]) == (
        "uvicorn.error",
        "library_message",
        f"failed with {logs.MASK}",
    )


def test_logger_made_before_the_set_up_follows_it() -> None:
    early = logs.get("early")
    stream = written("json")
    early.info("heard")
    assert json.loads(stream.getvalue())["logger"] == "early"


def test_reader_that_went_away_does_not_stop_the_work() -> None:
    stream = written("json")
    stream.close()
    logs.get("x").error("nobody_listens")


def test_auto_is_json_where_there_is_no_terminal() -> None:
    assert logs.chosen_format("auto", io.StringIO()) == "json"
    assert logs.chosen_format("console", io.StringIO()) == "console"
