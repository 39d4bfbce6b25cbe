"""The measure of one connection, with made-up clocks."""

import pytest

from labtrawl.dispatch.flood import FloodLimits, Meter, Verdict

LIMITS = FloodLimits(messages_per_second=10.0, cooldown_seconds=1.0, cooldowns=2)


@pytest.mark.seed("S2.27")
def test_sender_within_its_measure_is_never_slowed() -> None:
    meter = Meter(LIMITS, 0.0)
    assert {meter.take(number / 10) for number in range(1000)} == {Verdict.TAKE}


@pytest.mark.seed("S2.27", "S2.53")
def test_sender_above_its_measure_is_slowed_and_at_last_closed() -> None:
    meter = Meter(LIMITS, 0.0)
    told = [meter.take(0.0) for _ in range(33)]
    slowed = [number for number, verdict in enumerate(told) if verdict is not Verdict.TAKE]
    assert [(number, told[number]) for number in slowed] == [
        (10, Verdict.SLOW),
        (21, Verdict.SLOW),
        (32, Verdict.CLOSE),
    ]


def test_sender_that_kept_to_its_measure_for_long_begins_again() -> None:
    meter = Meter(LIMITS, 0.0)
    for _ in range(22):
        meter.take(0.0)
    assert [meter.take(60.0) for _ in range(11)][-1] is Verdict.SLOW
