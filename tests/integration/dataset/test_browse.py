"""Looking into segments a page at a time, from any place, in either direction."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from labtrawl.dataset.browse import (
    Search,
    Sight,
    Spot,
    frames,
    record_at,
    sieve,
    superseded,
)
from labtrawl.dataset.reader import read_segment
from labtrawl.dataset.sink import Segment, SegmentLimits
from labtrawl.errors import CorruptSegment
from tests.integration.dataset.samples import gated, written

# So small that each frame holds three or four of the lines below.
SMALL = SegmentLimits(max_bytes=1000, max_seconds=1e9, min_free_bytes=0)
OLD, NEW = "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"


@pytest.fixture
def pieces(tmp_path: Path) -> list[Segment]:
    numbers = (range(1, 11), range(11, 14), range(14, 31))
    return [
        written(tmp_path, [gated(each) for each in chunk], number=number, limits=SMALL)
        for number, chunk in enumerate(numbers, start=1)
    ]


def ids(sight: Sight[Segment]) -> list[int | str]:
    return [each.record.id for each in sight.found]


def after(steps: int) -> Callable[[], bool]:
    """Be over after so many questions."""
    answers: Iterator[bool] = itertools.chain([False] * steps, itertools.repeat(True))
    return lambda: next(answers)


def never() -> bool:
    return False


def rest(pieces: list[Segment], at: Segment) -> list[Segment]:
    return pieces[pieces.index(at) :]


def test_pages_hold_every_record_once_in_order(tmp_path: Path, pieces: list[Segment]) -> None:
    found: list[int | str] = []
    place: tuple[Segment, Spot] | None = (pieces[0], Spot())
    while place:
        sight = Search(tmp_path, sieve(), 7, never).forth(rest(pieces, place[0]), place[1])
        found += ids(sight)
        place = sight.goes_on
    assert found == list(range(1, 31))


def test_pages_back_hold_the_same_as_pages_forth(tmp_path: Path, pieces: list[Segment]) -> None:
    begins = [(pieces[0], Spot())]
    pages = []
    while True:
        sight = Search(tmp_path, sieve(), 7, never).forth(
            rest(pieces, begins[-1][0]), begins[-1][1]
        )
        pages.append(ids(sight))
        if sight.goes_on is None:
            break
        begins.append(sight.goes_on)
    for number in range(1, len(begins)):
        piece, spot = begins[number]
        back = pieces[: pieces.index(piece) + 1][::-1]
        sight = Search(tmp_path, sieve(), 7, never).back(back, spot)
        assert ids(sight) == pages[number - 1]
        assert (sight.goes_on is None) == (number == 1)


def test_page_reads_only_the_frames_that_it_shows(tmp_path: Path, pieces: list[Segment]) -> None:
    begins = [each.begin for each in frames(tmp_path, pieces[2])]
    assert len(begins) > 3
    broken = tmp_path / pieces[2].name
    content = broken.read_bytes()
    broken.write_bytes(b"\0" * begins[1] + content[begins[1] :])
    sight = Search(tmp_path, sieve(), 100, never).forth([pieces[2]], Spot(begins[1]))
    assert (ids(sight)[-1], sight.problems) == (30, [])


@pytest.mark.parametrize(
    ("kind", "state", "text", "wanted"),
    [
        ("issue", "", "", list(range(1, 31))),
        ("label", "", "", []),
        ("", "gone", "", []),
        ("", "present", "", list(range(1, 31))),
        ("", "", "änderung 2", [2, *range(20, 30)]),
        ("", "", "ÄNDERUNG 30", [30]),
        ("", "", "30", [30]),
        # A word of the format is no text of a record.
        ("", "", "title", []),
        ("", "", "per_page", []),
    ],
)
def test_sieve_takes_what_was_asked_for(
    tmp_path: Path,
    pieces: list[Segment],
    kind: str,
    state: str,
    text: str,
    wanted: list[int],
) -> None:
    sight = Search(tmp_path, sieve(kind, state, text), 100, never).forth(pieces, Spot())
    assert (ids(sight), sight.searched) == (wanted, 30)


@pytest.mark.parametrize("text", ["<b>", "a & b", 'say "hi"', "tab\tend", "\\d+", "\u2028", "é"])
def test_text_is_found_however_json_spells_it(tmp_path: Path, text: str) -> None:
    spelled = [json.dumps({"id": 1, "deep": [{"note": f"x{text}y"}]}, ensure_ascii=False)]
    spelled.append(json.dumps({"id": 2, "note": f"x{text}y"}))
    escaped = "".join(f"\\u{ord(each):04x}" for each in text)
    spelled.append(f'{{"id":3,"note":"x{escaped}y"}}')
    made = [gated(number, body=one.encode()) for number, one in enumerate(spelled, 1)]
    row = written(tmp_path, made)
    sight = Search(tmp_path, sieve(text=f"X{text}Y"), 9, never).forth([row], Spot())
    assert ids(sight) == [1, 2, 3]


def test_search_ends_in_time_and_goes_on_where_it_was(
    tmp_path: Path, pieces: list[Segment]
) -> None:
    searched = 0
    found: list[int | str] = []
    place: tuple[Segment, Spot] | None = (pieces[0], Spot())
    rounds = 0
    while place:
        rounds += 1
        sight = Search(tmp_path, sieve(text="30"), 5, after(1)).forth(
            rest(pieces, place[0]), place[1]
        )
        searched, found, place = searched + sight.searched, found + ids(sight), sight.goes_on
        assert sight.is_cut == (place is not None)
    assert (searched, found) == (30, [30])
    assert rounds > 2


def test_record_at_a_spot_is_that_of_its_line(tmp_path: Path, pieces: list[Segment]) -> None:
    sight = Search(tmp_path, sieve(), 100, never).forth(pieces, Spot())
    stored = [each for piece in pieces for each in read_segment(tmp_path, piece)]
    for one, known in zip(sight.found, stored, strict=True):
        record, text = record_at(tmp_path, one.piece, one.spot)
        line = json.loads(text)
        assert record == known
        assert (line["id"], line["body"]) == (known.id, json.loads(bytes(known.body)))


@pytest.mark.parametrize("line", [b"no JSON\n", b'{"id":1}\n', b"[" * 100_000 + b"\n"])
def test_line_that_is_no_record_is_told_as_damage(tmp_path: Path, line: bytes) -> None:
    frame = zstandard.ZstdCompressor().compress(line)
    name = "i1/project-4/issues/j1-f1-000001.jsonl.zst"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(frame)
    with pytest.raises(CorruptSegment, match=f"^{name} holds something else than records"):
        record_at(tmp_path, Segment(name, len(frame), "", 1), Spot())


@pytest.mark.parametrize("spot", [Spot(1), Spot(10**15), Spot(0, 99), Spot(7, 0)])
def test_spot_where_no_line_is_is_refused(
    tmp_path: Path, pieces: list[Segment], spot: Spot
) -> None:
    with pytest.raises(CorruptSegment):
        record_at(tmp_path, pieces[0], spot)


@pytest.mark.parametrize("harm", ["cut", "longer", "gone", "rot"])
def test_damaged_piece_is_told_and_the_others_are_shown(
    tmp_path: Path, pieces: list[Segment], harm: str
) -> None:
    path = tmp_path / pieces[1].name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    harms: dict[str, Callable[[], object]] = {
        "cut": lambda: path.write_bytes(content[:-5]),
        "longer": lambda: path.write_bytes(bytes(content) + b"x"),
        "gone": path.unlink,
        "rot": lambda: path.write_bytes(content),
    }
    harms[harm]()
    sight = Search(tmp_path, sieve(), 100, never).forth(pieces, Spot())
    back = Search(tmp_path, sieve(), 100, never).back(pieces[::-1], Spot(10**9))
    for each in (sight, back):
        assert ids(each) == [*range(1, 11), *range(14, 31)]
        assert len(each.problems) == 1


def test_name_that_leads_elsewhere_is_never_opened(tmp_path: Path, pieces: list[Segment]) -> None:
    (tmp_path / "secret.jsonl.zst").write_bytes((tmp_path / pieces[0].name).read_bytes())
    foreign = replace(pieces[0], name="../" + tmp_path.name + "/secret.jsonl.zst")
    sight = Search(tmp_path, sieve(), 9, never).forth([foreign], Spot())
    assert (sight.found, len(sight.problems)) == ([], 1)


def test_older_versions_are_those_that_a_newer_line_replaces(tmp_path: Path) -> None:
    rows = [
        written(tmp_path, [gated(1, at=NEW), gated(2, at=OLD)], number=1),
        written(tmp_path, [gated(1, at=OLD), gated(2, at=NEW), gated("2", at=OLD)], number=2),
        written(tmp_path, [gated(2, at=NEW), gated(2, kind="label", at=OLD)], number=3),
    ]
    found = superseded(tmp_path, rows)
    assert found == {
        (rows[0].name, Spot(0, 0)),
        (rows[0].name, Spot(0, 1)),
        (rows[1].name, Spot(0, 1)),
    }
