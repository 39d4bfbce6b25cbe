"""What rows of the audit log mean, in plain words."""

import pytest

from labtrawl.store.audit import Entry
from labtrawl.website.access import ALONE, API, WEBSOCKET
from labtrawl.website.door.deeds import DEEDS, ending, meaning, way

SUMMARIES = {
    ("GET", "/api/v1/areas"): "The areas that match",
    ("POST", "/api/v1/of/today"): "Do it today",
}


def entry(action: str) -> Entry:
    return Entry("api_token", "ltw_1234", "low", action, "/x", "200")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("POST /jobs/{job_id}/retry", "Queued a job again"),
        ("POST /api/v1/jobs/{job_id}/retry", "Queued a job again"),
        ("GET /api/v1/areas", "Looked up: the areas that match"),
        ("POST /api/v1/of/later", "POST /api/v1/of/later"),
        ("POST /of/today", "Do it today"),
        ("GET no route", "Asked for what is not there"),
        ("settings change", "Changed a setting"),
        ("refused", "Strangers were refused"),
        ("consent text", "Published a text of consent"),
        ("ledger refill", "Had gaps read again"),
        ("backup", "Made a backup"),
        ("init", "Connected an account of a GitLab"),
        ("something else", "something else"),
    ],
)
def test_action_is_said_in_words(action: str, said: str) -> None:
    assert meaning(entry(action), SUMMARIES) == said


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("200", "done"),
        ("303", "done"),
        ("101", "done"),
        ("401", "refused: not signed in (401)"),
        ("418", "i'm a teapot (418)"),
        ("499", "refused (499)"),
        ("503", "service unavailable (503)"),
        ("1 -> 2", "1 -> 2"),
    ],
)
def test_outcome_is_said_in_words(outcome: str, said: str) -> None:
    assert ending(outcome) == said


def test_way_in_is_said_in_words() -> None:
    assert (way("authorised_socket"), way("by_pigeon")) == ("over the local socket", "by pigeon")


def test_every_change_without_a_twin_has_its_words() -> None:
    """What has a twin is told by its summary; who reads the log later has only such words."""
    changes = {
        f"{method} {path}"
        for method, path in ALONE
        if path.startswith(API) or method not in {"GET", WEBSOCKET}
    }
    assert sorted(changes - DEEDS.keys()) == []
