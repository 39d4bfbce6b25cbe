import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.dataset.policy import apply, parse_line
from labtrawl.dataset.reader import read_segment
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.dataset.verify import verify
from tests.integration.dataset.samples import fetched, gated, written

SMALL = SegmentLimits(max_bytes=400, max_seconds=1e9, min_free_bytes=0)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(), values, max_size=6)


@given(st.data())
def test_verify_finds_any_cut_flip_or_growth_of_a_segment(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        row = written(root, [gated(number) for number in range(12)], limits=SMALL)
        path = root / row.name
        whole = path.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        match data.draw(st.sampled_from(["cut", "flip", "grow", "repeat"])):
            case "cut":
                damaged = whole[:place]
            case "flip":
                mask = data.draw(st.integers(1, 255))
                damaged = whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]
            case "grow":
                damaged = whole + data.draw(st.binary(min_size=1, max_size=40))
            case _:
                damaged = whole + whole
        path.write_bytes(damaged)
        found = verify(root, [row])
        assert (len(found.corrupt), found.missing, found.records) == (1, (), 0)


@given(st.lists(objects, min_size=1, max_size=8), st.booleans())
def test_any_json_objects_come_back_byte_for_byte(
    bodies: list[dict[str, object]], escaped: bool
) -> None:
    sent = [json.dumps(body, ensure_ascii=escaped).encode() for body in bodies]
    with TemporaryDirectory() as folder:
        records = [gated(number, body=body) for number, body in enumerate(sent)]
        row = written(Path(folder), records, limits=SMALL)
        found = [bytes(record.body) for record in read_segment(Path(folder), row)]
    assert found == sent


@given(objects, st.none() | st.integers(0, 8))
def test_a_body_over_several_lines_keeps_its_value_in_one_line(
    body: dict[str, object], indent: int | None
) -> None:
    sent = json.dumps(body, indent=indent).encode()
    line = apply("as_is", "issues", fetched(1, body=sent)).line
    assert line.count(b"\n") == 1
    assert len(bytes(parse_line(line).body)) == len(sent)
    assert json.loads(bytes(parse_line(line).body)) == body
