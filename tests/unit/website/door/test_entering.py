"""Where somebody may be sent who has signed in."""

import pytest

from labtrawl.website.door.entering import own_path


@pytest.mark.parametrize(
    "text", ["/", "/jobs", "/jobs?state=failed&after=7", "/areas?path=a%2Fb", "/me/records#x"]
)
def test_page_of_ours_is_kept(text: str) -> None:
    assert own_path(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "jobs", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:1"),
        *("/a\\b", "/jobs\n", "/jobs\r\nSet-Cookie: a=b", "/ jobs", "/jobs\t", "/jøbs", "/\x00"),
        *("/sign-in", "/sign-out", "/api/v1/jobs", "/static/app.css", "/live", "/" + "x" * 600),
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert own_path(text) == ""
