"""Invariants of the codec: any split of any stream gives the same messages, once and in order."""

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtrawl.protocol.codec import Decoder, Refused, encode
from labtrawl.protocol.messages import Envelope

pytestmark = pytest.mark.prove

TEXTS = st.text(max_size=12) | st.sampled_from(
    ['}{"', "\\", '\\"', "é\u2028😀", "{[", "\n\r\t", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ENVELOPES = st.builds(
    lambda origin, key, payload: Envelope(
        origin=origin,
        type="message",
        key=key,
        payload=msgspec.Raw(json.dumps(payload, ensure_ascii=len(origin) % 2 == 0).encode()),
    ),
    TEXTS,
    TEXTS,
    VALUES,
)
GAPS = st.sampled_from([b"", b"\n", b" ", b"\r\n", b"\n\n\t"])
# What no peer of ours sends: each costs itself only, and the stream goes on behind it.
GARBAGE = st.sampled_from(
    [
        b'{"a": [1, {"b"\n',
        b"}}garbage]\n",
        b'{"origin": "x\n',
        b"\xff\xfe\n",
        b'{"a":1 {\n',
        b"[1,2]\n",
        b'{"origin": 1, "type": "m", "key": "k"}\n',
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}\n",
        b'{"a": "' + b"x" * 3000 + b'"}\n',
    ]
)


def _feed(data: bytes, cuts: list[int]) -> list[Envelope | Refused]:
    decoder = Decoder(max_bytes=2000)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found: list[Envelope | Refused] = []
    for start, end in pairwise(edges):
        found += decoder.feed(data[start:end])
    return found


@settings(max_examples=300)
@given(st.lists(st.tuples(ENVELOPES, GAPS), max_size=6), st.lists(st.integers(0), max_size=12))
@pytest.mark.seed("S2.14", "S2.57")
def test_stream_cut_anywhere_gives_its_messages_in_order(
    parts: list[tuple[Envelope, bytes]], cuts: list[int]
) -> None:
    data = b"".join(encode(envelope)[:-1] + gap for envelope, gap in parts)
    assert _feed(data, cuts) == [envelope for envelope, _ in parts]


@settings(max_examples=60)
@given(st.lists(st.tuples(ENVELOPES, GAPS), min_size=1, max_size=3))
def test_stream_byte_by_byte_gives_its_messages_in_order(
    parts: list[tuple[Envelope, bytes]],
) -> None:
    data = b"".join(encode(envelope)[:-1] + gap for envelope, gap in parts)
    assert _feed(data, list(range(len(data)))) == [envelope for envelope, _ in parts]


@settings(max_examples=300)
@given(
    st.lists(ENVELOPES | GARBAGE, min_size=1, max_size=8),
    st.lists(st.integers(0), max_size=12),
)
def test_garbage_lines_cost_only_themselves_wherever_the_stream_is_cut(
    lines: list[Envelope | bytes], cuts: list[int]
) -> None:
    data = b"".join(encode(one) if isinstance(one, Envelope) else one for one in lines)
    found = _feed(data, cuts)
    good = [one for one in lines if isinstance(one, Envelope)]
    assert [one for one in found if isinstance(one, Envelope)] == good
    assert found == _feed(data, [])


@settings(max_examples=300)
@given(st.binary(max_size=200), st.lists(st.integers(0), max_size=12))
def test_any_bytes_are_refused_the_same_wherever_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert _feed(data, cuts) == _feed(data, [])
