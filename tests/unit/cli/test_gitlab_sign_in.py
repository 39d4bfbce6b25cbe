"""Where the website lets people sign in with a GitLab, and which address GitLab sends them back to."""

from pathlib import Path
from typing import Any, cast

import pytest

from labtrawl import config
from labtrawl.cli.gitlab_sign_in import IN_CLEAR, GitLabSignIn
from labtrawl.config import Settings
from labtrawl.website.given.entrance import Place

GITLABS = """
[[instances]]
name = "main lab"
url = "https://gitlab.example.org/gl/"
client_id = "app"

[[instances]]
name = "second"
url = "https://second.example.org"

[[instances]]
name = "a/b"
url = "https://third.example.org"
client_id = "app"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "labtrawl.toml"
    path.write_text(GITLABS, "utf-8")
    return config.load(path, {}, {})


def entrance(settings: Settings, base_url: str) -> GitLabSignIn:
    none = cast("Any", None)
    return GitLabSignIn(settings, none, none, none, none, none, base_url)


@pytest.mark.parametrize(
    ("base_url", "may_return"),
    [
        ("https://site.example.org", True),
        ("http://127.0.0.1:3000", True),
        ("http://127.1.2.3:3000", True),
        ("http://[::1]:3000", True),
        ("http://localhost:3000", True),
        ("http://site.example.org", False),
        ("http://0.0.0.0:3000", False),
        ("http://192.0.2.7", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_code_travels_encrypted_or_within_the_machine(
    settings: Settings, base_url: str, may_return: bool
) -> None:
    found = entrance(settings, base_url)
    assert found.places() == [
        Place("main lab", "https://gitlab.example.org/gl/", may_return),
        Place("second", "https://second.example.org", False),
    ]
    assert found.places()[0].host == "gitlab.example.org/gl"
    assert found.notices() == ([] if may_return else [IN_CLEAR])


def test_each_gitlab_has_one_address_of_its_own(settings: Settings) -> None:
    found = entrance(settings, "https://site.example.org/")
    assert [found.redirect_uri(name) for name in ("main lab", "second")] == [
        "https://site.example.org/sign-in/gitlab/main%20lab/answer",
        "https://site.example.org/sign-in/gitlab/second/answer",
    ]
