"""Every waiting job says why and until when."""

from dataclasses import dataclass, replace

import pytest

from labtrawl.domain.eta import Range, Told
from labtrawl.domain.job import HoldReason
from labtrawl.domain.waits import HOLDS, Around, Turn, Wait, left, span, why

AT = 1_800_000_000_000
CLOCK = "2027-01-15 08:00:00 UTC"


@dataclass(frozen=True)
class Row:
    id: int = 7
    state: str = "queued"
    hold_reason: str | None = None
    run_after: int | None = None
    error_message: str | None = None
    stage: str = ""
    priority: int = 0


def turn(ahead: int, found: Told) -> Around:
    return Around(now=AT, turn_of=lambda _priority, _id: Turn(ahead, found))


@pytest.mark.parametrize(
    ("row", "around", "expected"),
    [
        (Row(state="completed"), Around(), None),
        (Row(state="running", stage="page 3"), Around(), None),
        (Row(), Around(), Wait("queue", None, "Waits for a free crawler")),
        (Row(), turn(1, Told()), Wait("queue", None, "Waits behind 1 job")),
        (
            Row(),
            turn(1234, Told(Range(180_000, 300_000))),
            Wait("queue", AT + 300_000, "Waits behind 1,234 jobs, begins in 3 to 5 min"),
        ),
        (
            Row(),
            Around(crawlers=0),
            Wait("no_crawler", None, "Waits for a crawler: none is connected"),
        ),
        (
            Row(),
            Around(are_stopped=True),
            Wait("crawlers_paused", None, "Every crawler is paused or drained"),
        ),
        (
            Row(),
            Around(now=AT - 1, budget_at=AT),
            Wait("budget", AT, f"Waits for the request budget, until {CLOCK}"),
        ),
        (
            Row(run_after=AT, error_message="quiet hours until 2027-01-15 18:00 UTC"),
            Around(),
            Wait("quiet_hours", AT, "Waits for the end of quiet hours until 2027-01-15 18:00 UTC"),
        ),
        (
            Row(run_after=AT, error_message="502 Bad Gateway"),
            Around(),
            Wait("retry", AT, f"Next try at {CLOCK}, after: 502 Bad Gateway"),
        ),
        (Row(run_after=AT), Around(), Wait("later", AT, f"Due at {CLOCK}")),
        (
            Row(state="running", stage="waits for budget"),
            Around(now=AT - 1, budget_at=AT),
            Wait("budget", AT, "Waits for budget"),
        ),
        (Row(state="held", hold_reason="tide"), Around(), Wait("tide", None, "Held: tide")),
    ],
)
def test_waiting_job_says_why_and_until_when(row: Row, around: Around, expected: Wait) -> None:
    assert why(row, around) == expected


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_to_hold_a_job_has_its_sentence(reason: HoldReason) -> None:
    row = replace(Row(state="held"), hold_reason=reason.value)
    assert why(row, Around()) == Wait(reason.value, None, HOLDS[reason])


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told(), "no estimate yet"),
        (Told(why_none="nothing was read lately"), "no estimate yet: nothing was read lately"),
        (Told(Range(0, 0)), "nothing left"),
        (Told(Range(1_200, 1_900)), "about 2 s left"),
        (Told(Range(70_000, 130_000)), "about 70 to 130 s left"),
        (Told(Range(7_300_000, 13_000_000)), "about 3 h left"),
        (Told(Range(3 * 86_400_000, 5 * 86_400_000)), "about 3 to 5 days left"),
    ],
)
def test_what_is_left_is_said_in_one_unit(told: Told, words: str) -> None:
    assert left(told) == words


def test_span_is_rounded_inwards() -> None:
    assert span(Range(130_000, 239_000)) == "in 3 min"
