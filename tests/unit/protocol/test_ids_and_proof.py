"""Ids that only grow, and proofs that only who knows the secret can make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.protocol import proof
from labtrawl.protocol.ids import MessageIds, is_message_id


@given(
    st.lists(st.integers(0, 2**47), min_size=2, max_size=30),
    st.lists(st.integers(0, 2**79 - 1), min_size=1, max_size=5),
)
def test_ids_grow_as_text_whatever_the_clock_does(clock: list[int], bits: list[int]) -> None:
    ticks, draws = iter(clock), iter(bits * 30)
    make = MessageIds(lambda: next(ticks), lambda _n: next(draws))
    made = [make() for _ in clock]
    assert made == sorted(set(made))
    assert all(is_message_id(one) for one in made)


def test_id_begins_with_its_millisecond() -> None:
    """01ARYZ6S41 is 1469918176385 ms, the example of the ULID's specification."""
    assert MessageIds(lambda: 1469918176385, lambda _n: 0)()[:10] == "01ARYZ6S41"


@pytest.mark.parametrize("text", [None, "", "x" * 26, "0" * 25, "0" * 27, "é" * 26])
def test_text_that_cannot_be_compared_is_no_id(text: str | None) -> None:
    assert not is_message_id(text)


SECRET = proof.secret_of("token")
GIVEN = ("theirs", "own", proof.ROLE_CRAWLER, "crawler-1")


def test_proof_made_with_the_secret_is_taken() -> None:
    assert proof.is_proved(proof.prove(SECRET, *GIVEN), SECRET, *GIVEN)


@pytest.mark.parametrize(
    "other",
    [
        ("replayed", "own", proof.ROLE_CRAWLER, "crawler-1"),
        ("theirs", "other", proof.ROLE_CRAWLER, "crawler-1"),
        ("theirs", "own", proof.ROLE_WEBSITE, "crawler-1"),
        ("theirs", "own", proof.ROLE_CRAWLER, "crawler-2"),
        ("own", "theirs", proof.ROLE_CRAWLER, "crawler-1"),
    ],
)
def test_proof_for_anything_else_is_refused(other: tuple[str, str, str, str]) -> None:
    assert not proof.is_proved(proof.prove(SECRET, *other), SECRET, *GIVEN)


@pytest.mark.parametrize("text", ["", "é", "\ud800", "0" * 64])
def test_text_that_is_no_proof_is_refused_without_a_fault(text: str) -> None:
    assert not proof.is_proved(text, SECRET, *GIVEN)


def test_proof_under_another_secret_is_refused() -> None:
    assert not proof.is_proved(proof.prove(proof.secret_of("other"), *GIVEN), SECRET, *GIVEN)


def test_ids_ask_for_chance_once_a_second() -> None:
    asked: list[int] = []
    clock = iter(range(5000, 8000, 3))

    def draw(bits: int) -> int:
        asked.append(bits)
        return len(asked) << 40

    make = MessageIds(lambda: next(clock), draw)
    made = [make() for _ in range(1000)]
    assert (asked, made) == ([79] * 3, sorted(set(made)))
