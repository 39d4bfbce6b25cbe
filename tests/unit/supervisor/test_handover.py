"""A token in the environment: taken out of it, and used for its own GitLab only."""

import pytest

from labtrawl.domain.credential import Secret
from labtrawl.supervisor.handover import Handover

URL, OTHER = "https://gitlab.example.org", "https://gitlab.com"


def test_handover_survives_the_way_through_an_environment_and_leaves_it() -> None:
    handed = Handover(Secret("canary"), URL)
    environ = {"PATH": "/bin", **handed.environment()}
    assert Handover.taken_from(environ) == handed
    assert environ == {"PATH": "/bin"}
    assert Handover.taken_from(environ) is None
    assert "canary" not in repr(handed)


@pytest.mark.parametrize(
    ("told", "asked", "known", "is_for"),
    [
        (URL, URL, [URL, OTHER], True),
        (URL, OTHER, [URL, OTHER], False),
        (URL, OTHER, [OTHER], False),
        ("", URL, [URL], True),
        ("", URL, [URL, OTHER], False),
        ("", OTHER, [URL], False),
    ],
)
def test_token_is_for_the_gitlab_it_came_with_or_the_only_one(
    told: str, asked: str, known: list[str], is_for: bool
) -> None:
    assert Handover(Secret("canary"), told).is_for(asked, known) == is_for
