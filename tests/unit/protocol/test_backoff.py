"""When to dial again: at once, then with growing pauses, then as a probe of an open circuit."""

import pytest

from labtrawl.protocol.backoff import Backoff, BackoffLimits, Circuit

TRIES = 9


@pytest.mark.seed("S2.12", "S2.55", "S2.4", "S2.54")
@pytest.mark.parametrize(
    ("jitter", "pauses"),
    [
        (0.0, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        (1.0, [0.0, 0.1, 0.2, 0.4, 30.0, 30.0, 30.0, 30.0, 30.0]),
    ],
)
def test_pauses_grow_and_then_the_circuit_opens(jitter: float, pauses: list[float]) -> None:
    backoff = Backoff(BackoffLimits(), lambda: jitter)
    told = [(backoff.pause(0.0), backoff.circuit(False)) for _ in range(TRIES)]
    assert [pause for pause, _ in told] == pytest.approx(pauses)
    assert [circuit for _, circuit in told] == [Circuit.CLOSED] * 4 + [Circuit.OPEN] * 5
    assert (backoff.circuit(True), backoff.opened) == (Circuit.HALF_OPEN, 1)


def test_pause_stays_bounded_however_long_the_website_is_away() -> None:
    backoff = Backoff(BackoffLimits(failures=10_000), lambda: 1.0)
    assert [backoff.pause(0.0) for _ in range(5000)][-1] == 5.0


def test_connection_that_lasted_closes_the_circuit_and_is_dialled_again_at_once() -> None:
    backoff = Backoff(BackoffLimits(failures=2), lambda: 1.0)
    for _ in range(3):
        backoff.pause(0.5)
    assert backoff.circuit(False) is Circuit.OPEN
    assert (backoff.pause(1.0), backoff.circuit(True)) == (0.0, Circuit.CLOSED)
