"""How long who tries again and again has to wait."""

from datetime import UTC, datetime

import pytest

from labtrawl.clock import Clock
from labtrawl.website.door.throttle import LONGEST_PAUSE, MOST_ADDRESSES, Throttle, block_of

HOME = "192.0.2.7"


class Hand:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    @property
    def clock(self) -> Clock:
        async def sleep(seconds: float) -> None:
            raise AssertionError(seconds)

        return Clock(lambda: datetime.now(UTC), lambda: self.seconds, sleep)


def waits(throttle: Throttle, hand: Hand, tries: int) -> list[int]:
    """Try as often as allowed; the wait before each."""
    found = []
    for _ in range(tries):
        found.append(throttle.wait_seconds(HOME))
        hand.seconds += found[-1]
        throttle.tried(HOME)
    return found


def test_five_tries_are_free_and_each_pause_is_twice_the_one_before() -> None:
    hand = Hand()
    assert waits(Throttle(hand.clock), hand, 14) == [
        *(0, 0, 0, 0, 0),
        *(10, 20, 40, 80, 160, 320, 640, LONGEST_PAUSE, LONGEST_PAUSE),
    ]


def test_minute_without_a_try_forgives_and_one_of_waiting_does_not() -> None:
    hand = Hand()
    throttle = Throttle(hand.clock)
    waits(throttle, hand, 9)
    hand.seconds += throttle.wait_seconds(HOME)
    assert waits(throttle, hand, 2) == [0, 320]
    hand.seconds += 640 + 60
    assert waits(throttle, hand, 6) == [0, 0, 0, 0, 0, 10]


def test_others_go_free_until_all_together_were_too_many() -> None:
    hand = Hand()
    throttle = Throttle(hand.clock, most=20)
    for number in range(20):
        assert throttle.wait_seconds(f"198.51.100.{number}") == 0
        throttle.tried(f"198.51.100.{number}")
    assert throttle.wait_seconds(HOME) == 60
    hand.seconds += 60
    assert throttle.wait_seconds(HOME) == 0
    throttle.tried(HOME)
    assert throttle.wait_seconds(HOME) == 0


def test_memory_has_an_end() -> None:
    hand = Hand()
    throttle = Throttle(hand.clock, most=10**6)
    for number in range(MOST_ADDRESSES + 10):
        throttle.tried(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._known) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("address", "block"),
    [
        (HOME, HOME),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_network_that_one_caller_owns_counts_as_one(address: str, block: str) -> None:
    assert block_of(address) == block
