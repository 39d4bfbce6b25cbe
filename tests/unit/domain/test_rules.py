"""Rules of the field: retries, moves of a job, secrets."""

import copy
import json
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.job import LEGAL_MOVES, OPEN_STATES, JobState, may_move


@given(st.integers(1, 5000), st.floats(0, 1))
def test_retry_delay_never_passes_its_ceiling_however_many_tries(
    attempt: int, random: float
) -> None:
    policy = RetryPolicy(attempts=10**6, base_seconds=0.5, ceiling_seconds=60)
    assert (
        0
        <= policy.delay(attempt, random)
        <= min(60, 0.5 * 2 ** min(attempt - 1, 64)) * random + 1e-9
    )


def test_retry_delay_doubles_up_to_its_ceiling() -> None:
    policy = RetryPolicy(attempts=3, base_seconds=1, ceiling_seconds=5)
    assert [policy.delay(n, 1.0) for n in (1, 2, 3, 4, 2000)] == [1, 2, 4, 5, 5]
    assert [policy.may_retry(n) for n in (1, 2, 3)] == [True, True, False]


def test_ended_jobs_move_only_back_to_queued() -> None:
    ended = {state: LEGAL_MOVES[state] for state in JobState if state not in OPEN_STATES}
    assert ended == {
        JobState.COMPLETED: {JobState.QUEUED},
        JobState.FAILED: {JobState.QUEUED},
        JobState.CANCELLED: {JobState.QUEUED},
    }
    assert not any(may_move(state, state) for state in JobState)


SECRET = Secret("glpat-canary")


def _raised() -> str:
    error = ValueError(f"with {SECRET} and {SECRET!r}", SECRET)
    return "".join(traceback.format_exception(error))


def test_secret_shows_itself_nowhere() -> None:
    shown = [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        "%s" % SECRET,  # noqa: UP031 - the old way of formatting, too
        repr([SECRET]),
        repr({"token": SECRET}),
        _raised(),
    ]
    assert [text for text in shown if "canary" in text] == []
    assert SECRET.reveal() == "glpat-canary"


@pytest.mark.parametrize(
    "leave", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, vars]
)
def test_secret_leaves_the_process_by_no_serializer(leave: object) -> None:
    with pytest.raises(TypeError):
        leave(SECRET)  # type: ignore[operator]


def test_secrets_compare_by_their_text_only_with_secrets() -> None:
    assert (Secret("a") == Secret("a"), Secret("a") == "a", bool(Secret(""))) == (
        True,
        False,
        False,
    )
    assert len({Secret("a"), Secret("a")}) == 1
