"""Places of records in addresses, and how a record is written for people."""

import json
import random

import msgspec
import pytest

from labtrawl.dataset.browse import Spot
from labtrawl.dataset.policy import Record
from labtrawl.errors import Missing
from labtrawl.store.pages.records import ListKey
from labtrawl.website.answering import browsing
from labtrawl.website.answering.browsing import Place, pretty
from labtrawl.website.answering.mine import ago

PIECES = (
    "..",
    "/",
    "\\",
    "%2e%2e",
    "\0",
    ".",
    "-",
    "1",
    "issues",
    "i1",
    "project-1",
    "\u202e",
    "~",
    "٣",
)


def test_place_is_read_back_from_what_it_is_written_as() -> None:
    place = Place(ListKey(20, "merge_requests"), 12, 3, Spot(4096, 17))
    assert (str(place), Place.read(str(place))) == ("20-merge_requests-12.3.4096.17", place)


def test_no_other_text_is_a_place() -> None:
    chance = random.Random(6)
    for _ in range(5_000):
        text = "".join(chance.choices(PIECES, k=chance.randrange(1, 9)))
        with pytest.raises(Missing):
            Place.read(text)
    for text in (
        "1-issues-1.1.0.0\n",
        "1-issues-1.1.0.0 ",
        "1-Issues-1.1.0.0",
        "1-issues-1.1.0.-1",
        "1-i/s-1.1.0.0",
    ):
        with pytest.raises(Missing):
            Place.read(text)


def test_json_for_people_hides_nothing_and_turns_no_letters_round() -> None:
    told = {"a": "x\u202ey\u2066\u200b\x07\x00\ud800\u2028\ufeff", "ü": "日本 👍", "n": 1.5}
    text = pretty(json.dumps(told).encode())
    assert json.loads(text) == told
    assert "\\u202e" in text
    assert '"ü": "日本 👍"' in text
    assert not {"\u202e", "\u2066", "\u200b", "\x07", "\u2028", "\ufeff"} & set(text)


def test_letter_outside_the_first_plane_that_is_not_seen_is_escaped_as_json_has_it() -> None:
    told = {"tag": "\U000e0041"}
    assert json.loads(pretty(json.dumps(told).encode())) == told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"id": 5, "title": " A\n title ", "state": "closed"}, "A title"),
        ({"id": 5, "title": None, "name": "", "username": "p-1"}, "p-1"),
        ({"id": 5, "iid": 3, "state": "closed"}, "iid 3, state closed"),
        ({"title": ["no"], "name": {"no": 1}}, ""),
        ({"title": "x" * 200}, "x" * 160 + "…"),
    ],
)
def test_record_is_called_by_what_tells_it_from_others(body: dict[str, object], words: str) -> None:
    raw = msgspec.Raw(json.dumps(body).encode())
    record = Record(1, "issue", "2026-01-01T00:00:00Z", "", "", "", "as_is", raw)
    assert browsing._called(record) == words


def test_record_that_no_page_can_hold_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "LONGEST", 10)
    assert pretty(b'{"a":"bcdefgh"}') == '{\n  "a": "\n… (10 more letters)'


def test_record_that_is_nested_too_deep_is_written_as_it_stands() -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    assert pretty(deep) == deep.decode()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s ago"),
        (4, "4 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7_199, "119 min ago"),
        (7_200, "2 h ago"),
        (172_800, "2 days ago"),
        (-5, "0 s ago"),
    ],
)
def test_age_is_told_in_one_unit(seconds: int, words: str) -> None:
    assert ago(1_000_000_000, 1_000_000_000 - seconds * 1000) == words
    assert ago(5, None) == ""
