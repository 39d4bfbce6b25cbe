"""How deep JSON is, seen without reading it."""

import time

import pytest

from labtrawl.website.answering.speaking import is_too_deep


@pytest.mark.parametrize(
    ("body", "too_deep"),
    [
        (b"", False),
        (b"[" * 32 + b"]" * 32, False),
        (b"[" * 33 + b"]" * 33, True),
        (b'{"a":' * 33 + b"1" + b"}" * 33, True),
        (b'["' + b"[" * 99 + b'"]', False),
        (b'["' + b'\\"[' * 99 + b'"]', False),
        (b'["\\\\", "' + b"[" * 99 + b'"]', False),
        (b'["a\\', True),
        (b"[]" * 1000, False),
    ],
)
def test_only_brackets_outside_of_texts_count(body: bytes, too_deep: bool) -> None:
    assert is_too_deep(body) is too_deep


@pytest.mark.parametrize("part", [b'\\"', b"\\", b'"', b'a\\"b', b"[{", b"\\\\\\"])
def test_look_costs_as_much_as_the_body_is_long(part: bytes) -> None:
    """A text without an end once cost its length squared: 80 KB stopped the website for 18 s."""
    began = time.process_time()
    is_too_deep(b'"' + part * (2**20 // len(part)))
    assert time.process_time() - began < 2
