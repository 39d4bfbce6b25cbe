"""Where a list goes on: `Link`, `x-next-page`, and what a server may say wrongly."""

import hashlib

import pytest

from labtrawl.domain.json_object import JsonObject
from labtrawl.errors import UnexpectedReply
from labtrawl.gitlab.pages import (
    PIECE,
    next_query,
    read_page,
    read_single,
    resized,
    served_at,
    without_keyset,
)
from labtrawl.http import Answer

QUERY = "scope=all&page=2&per_page=100"


def _answer(body: bytes = b"[]", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, named, body, "/")


def _next(**headers: str) -> str | None:
    return next_query(_answer(b"[]", **headers), QUERY, "/x")


@pytest.mark.parametrize(
    ("headers", "following"),
    [
        ({}, None),
        ({"x_next_page": ""}, None),
        ({"x_next_page": "3"}, "scope=all&per_page=100&page=3"),
        ({"link": '<https://h/api/v4/x?page=3&a=b>; rel="next"'}, "page=3&a=b"),
        ({"link": "<https://h/x?page=3>; rel=next"}, "page=3"),
        (
            {
                "link": '<https://h/x?page=1>; rel="prev", <https://h/x?page=3>; rel="next", '
                '<https://h/x?page=9>; rel="last"'
            },
            "page=3",
        ),
        ({"link": '<https://h/x?page=1>; rel="first"'}, None),
        (
            {"link": '<https://h/x?page=1>; rel="first"', "x_next_page": "3"},
            "scope=all&per_page=100&page=3",
        ),
        ({"link": '<https://evil.example:1/x?cursor=a%3D%3D>; rel="next"'}, "cursor=a%3D%3D"),
        ({"link": '<https://h/x?id_after=42&a=b>; rel="next"'}, "id_after=42&a=b"),
        ({"link": "nonsense"}, None),
    ],
)
def test_next_page_is_named_by_link_or_header(
    headers: dict[str, str], following: str | None
) -> None:
    assert _next(**headers) == following


@pytest.mark.parametrize(
    "headers",
    [
        {"x_next_page": "2"},
        {"link": '<https://h/x?per_page=100&page=2&scope=all>; rel="next"'},
        {"link": '<https://h/x>; rel="next"'},
        {"link": '<https://[h/x?page=3>; rel="next"'},
    ],
)
def test_next_page_that_leads_nowhere_is_an_unexpected_reply(headers: dict[str, str]) -> None:
    with pytest.raises(UnexpectedReply):
        _next(**headers)


@pytest.mark.parametrize(
    ("total", "read"),
    [
        ("0", 0),
        ("10000", 10000),
        ("", None),
        ("x", None),
        ("-1", None),
        ("²", None),
        ("9" * 99, None),
    ],
)
def test_total_is_read_where_it_is_a_count(total: str, read: int | None) -> None:
    assert read_page(_answer(x_total=total), "/x", QUERY, "now").total == read


@pytest.mark.parametrize(
    ("date", "instant"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", 1_767_225_600_000),
        # A leap second is in no calendar of ours: the visit then has no instant of this answer.
        ("Sat, 31 Dec 2016 23:59:60 GMT", None),
        ("Sun, 29 Mar 2026 02:30:00 +0100", 1_774_747_800_000),
        ("Thu, 99 Foo 99999 00:00:00 GMT", None),
        ("", None),
    ],
)
def test_instant_of_an_answer_is_that_of_its_date(date: str, instant: int | None) -> None:
    assert served_at(_answer(date=date)) == instant


def test_page_keeps_its_rows_byte_for_byte() -> None:
    body = b'[{"id":1, "a" : 1, "a":2,"t":"\\u00fc\xc3\xbc"},\n {}]'
    page = read_page(_answer(body), "/x?y", QUERY, "now")
    assert [bytes(row) for row in page.rows] == [
        b'{"id":1, "a" : 1, "a":2,"t":"\\u00fc\xc3\xbc"}',
        b"{}",
    ]
    assert (page.request, page.fetched_at, page.sha256) == (
        "/x?y",
        "now",
        hashlib.sha256(body).hexdigest(),
    )


@pytest.mark.parametrize("body", [b"[null]", b"[[]]", b'["a"]', b"[1]", b"null", b'{"a":1}', b"["])
def test_body_that_is_no_list_of_objects_is_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedReply):
        read_page(_answer(body), "/x", QUERY, "now")


@pytest.mark.parametrize("value", [b'"caf\xe9"', b"9" * 4301, b'"\\ud83d"'])
def test_value_that_no_reader_takes_back_is_refused_with_its_page(value: bytes) -> None:
    row = b'{"id":1,"a":' + value + b"}"
    with pytest.raises(UnexpectedReply):
        read_page(_answer(b"[" + row + b"]"), "/x", QUERY, "now")
    with pytest.raises(UnexpectedReply):
        read_single(_answer(row), "/x", "now")


def test_long_number_in_a_text_and_the_longest_of_its_own_are_read() -> None:
    row = b'{"id":1,"a":"' + b"9" * 5000 + b'","b":' + b"9" * 4300 + b"}"
    assert len(read_page(_answer(b"[" + row + b"]"), "/x", QUERY, "now").rows) == 1


@pytest.mark.parametrize("body", [b"[]", b"1", b"", b"null", b"{", b'{"a":1}{}'])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedReply):
        read_single(_answer(body), "/x", "now")


def test_query_without_keyset_asks_for_the_same_rows_in_the_same_order() -> None:
    assert without_keyset("scope=all&pagination=keyset&order_by=a&sort=asc&per_page=100") == (
        "scope=all&order_by=a&sort=asc&per_page=100"
    )


@pytest.mark.parametrize(
    ("query", "per_page", "smaller"),
    [
        ("scope=all&per_page=100", 50, "scope=all&per_page=50"),
        ("page=7&per_page=100", 50, "per_page=50&page=13"),
        ("page=7&per_page=100", 12, "per_page=12&page=51"),
        ("cursor=abc&per_page=100&page=3", 25, "cursor=abc&page=3&per_page=25"),
        ("page=3&per_page=50", 100, "page=3&per_page=50"),
        ("scope=all", 50, "scope=all"),
    ],
)
def test_smaller_pages_begin_no_later_than_the_one_they_replace(
    query: str, per_page: int, smaller: str
) -> None:
    assert resized(query, per_page) == smaller


@pytest.mark.parametrize("before", [0, 1, 17, 48, 49, 50, 51])
def test_number_that_no_reader_takes_is_found_wherever_it_stands(before: int) -> None:
    row = b'{"id":1,' + b" " * before + b'"b":' + b"7" * 4301 + b"}"
    with pytest.raises(UnexpectedReply, match="no list"):
        read_page(_answer(b"[" + row + b"]"), "/x", QUERY, "now")


@pytest.mark.parametrize("letter", ["é", "語", "🦀"])
@pytest.mark.parametrize("before", range(PIECE - 12, PIECE + 2))
def test_letter_that_two_pieces_share_is_read_and_half_a_letter_is_refused(
    letter: str, before: int
) -> None:
    whole = b'[{"a":"' + b"x" * (before - 7) + letter.encode() + b'"}]'
    assert len(read_page(_answer(whole), "/x", QUERY, "now").rows) == 1
    for lost in range(len(letter.encode())):
        at = before + lost
        with pytest.raises(UnexpectedReply, match="no list"):
            read_page(_answer(whole[:at] + whole[at + 1 :]), "/x", QUERY, "now")


def test_letter_that_ends_with_the_page_is_refused_where_it_is_cut() -> None:
    for cut in (1, 2, 3):
        body = b'{"a":"' + b"x" * PIECE + "🦀".encode()[:cut] + b'"}'
        with pytest.raises(UnexpectedReply, match="no object"):
            read_single(_answer(body), "/x", "now")


def test_rows_are_whole_objects_as_they_came() -> None:
    page = read_page(_answer('[ {"id":1} ,{"a":"é"}]'.encode()), "/x", QUERY, "now")
    assert list(page.rows) == [JsonObject(b'{"id":1}'), JsonObject('{"a":"é"}'.encode())]
    assert {type(row) for row in page.rows} == {JsonObject}
    single = read_single(_answer(b'{"id":1}'), "/x", "now")
    assert [(type(row), bytes(row)) for row in single.rows] == [(JsonObject, b'{"id":1}')]
