from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.dataset.layout import (
    SegmentPlace,
    SegmentPrefix,
    folder_of,
    parse_segment_name,
    parse_segment_prefix,
    segment_name,
    segment_path,
)
from labtrawl.domain.area import AreaKind
from labtrawl.errors import CorruptSegment

numbers = st.integers(min_value=0, max_value=10**18)
places = st.builds(
    SegmentPlace,
    instance_id=numbers,
    area_kind=st.sampled_from([kind.value for kind in AreaKind]),
    gitlab_id=numbers,
    resource=st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True),
    job_id=numbers,
    fence=numbers,
    number=numbers,
)
PIECES = [
    "i1",
    "/",
    "..",
    ".",
    "project-12",
    "issues",
    "j45-f2-000001",
    ".jsonl.zst",
    "\0",
    "~",
    "\n",
]
hostile = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


def named(place: SegmentPlace) -> str:
    return segment_name(
        place.instance_id,
        place.area_kind,
        place.gitlab_id,
        place.resource,
        place.job_id,
        place.fence,
        place.number,
    )


@given(places)
def test_parse_of_any_segment_name_gives_its_place_back(place: SegmentPlace) -> None:
    name = named(place)
    assert parse_segment_name(name) == place
    assert name == place.name(place.number)
    assert name.count("/") == folder_of(name).count("/") + 1 == 3


@given(places, st.text(max_size=3))
def test_parse_of_a_prefix_gives_it_back_and_refuses_more(place: SegmentPlace, more: str) -> None:
    prefix = SegmentPrefix(
        place.instance_id,
        place.area_kind,
        place.gitlab_id,
        place.resource,
        place.job_id,
        place.fence,
    )
    assert parse_segment_prefix(prefix.text) == prefix
    assert parse_segment_prefix(prefix.text + more) == (None if more else prefix)


@given(places, places)
def test_two_places_never_share_a_name(one: SegmentPlace, other: SegmentPlace) -> None:
    assert (named(one) == named(other)) == (one == other)


@given(hostile)
def test_any_text_is_a_canonical_name_inside_the_root_or_refused(text: str) -> None:
    root = Path("/srv/dataset")
    place = parse_segment_name(text)
    try:
        path = segment_path(root, text)
    except CorruptSegment:
        assert place is None
    else:
        assert place is not None
        assert named(place) == text
        assert path.is_relative_to(root)
        assert ".." not in path.parts
