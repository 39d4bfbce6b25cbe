"""Where somebody may be sent who has signed in."""

from typing import Any, cast

import pytest
from starlette.responses import Response

from labtrawl.website.entering import begin, finish, own_path, remember
from tests.integration.website.running import Surroundings, site_of


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


@pytest.mark.parametrize(
    ("base_url", "name", "secure"),
    [
        ("https://site.example.org", "__Host-labtrawl_443", "; Secure"),
        ("http://127.0.0.1:3000", "labtrawl_3000", ""),
    ],
)
def test_cookies_belong_to_this_site_alone(base_url: str, name: str, secure: str) -> None:
    site, response = site_of(cast("Any", None), Surroundings(base_url=base_url)), Response()
    remember(site, response, "s")
    begin(site, response, "b")
    finish(site, response)
    kept = f"; Path=/; SameSite=lax{secure}"
    found = [value for key, value in response.headers.items() if key == "set-cookie"]
    assert [each.partition(";")[0] for each in found] == [
        f"{name}=s",
        f"{name}_entering=b",
        f'{name}_entering=""',
    ]
    assert [
        f"HttpOnly; Max-Age={age}{kept}" in each
        for age, each in zip((28800, 600, 0), found, strict=True)
    ] == [True] * 3
