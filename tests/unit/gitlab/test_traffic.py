"""Requests are counted by endpoint; nothing that somebody called something gets into its name."""

import pytest

from labtrawl.domain.traffic import Traffic
from labtrawl.gitlab.traffic import MOST, OTHER, Endpoints, endpoint_of


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/api/v4/projects/12/issues", "projects/:id/issues"),
        ("/gitlab/api/v4/projects/12/issues/3/discussions", "projects/:id/issues/:id/discussions"),
        ("/api/v4/groups/secret-lab%2Fann", "groups/:id"),
        ("/api/v4/users/ann.marin", "users/:id"),
        (
            "/api/v4/projects/7/repository/commits/f00/discussions",
            "projects/:id/repository/commits/:id/discussions",
        ),
        ("/api/graphql", "graphql"),
    ],
)
def test_endpoint_is_the_path_without_numbers_and_names(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint


def test_each_request_is_counted_once_with_what_came_of_it() -> None:
    asked = Endpoints()
    for status, length, seconds in ((200, 10, 0.02), (429, 2, 0.002), (502, 1, 0.5), (0, 0, 30.0)):
        asked.heard("/api/v4/projects/1/labels", status, length, seconds)
    # Nobody answered the last: it has no latency.
    assert asked.counted() == {
        "projects/:id/labels": Traffic(4, 1, 2, 13, {9: 1, 2: 1, 18: 1}),
    }


def test_endpoints_beyond_what_is_told_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labtrawl.gitlab.traffic.MOST", 1)
    asked = Endpoints()
    for last in ("labels", "issues", "milestones"):
        asked.heard(f"/api/v4/projects/1/{last}", 200, 1, 0.001)
    counted = asked.counted()
    assert {name: one.requests for name, one in counted.items()} == {
        "projects/:id/labels": 1,
        OTHER: 2,
    }
    assert MOST == 100
