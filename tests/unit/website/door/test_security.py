"""Forms of others, and the cookie's name."""

from typing import Any, cast

import pytest
from starlette.requests import Request

from labtrawl.website.door.security import is_own_request
from labtrawl.website.given.site import Site

BASE = "https://labtrawl.example:8443"


def asked(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw})


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, False),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": BASE}, False),
        ({"origin": BASE}, True),
        ({"origin": "http://127.0.0.1:3000", "host": "127.0.0.1:3000"}, True),
        ({"origin": "https://evil.example", "host": "127.0.0.1:3000"}, False),
        ({"origin": "null", "host": ""}, False),
        ({"origin": "http://[", "host": "["}, False),
    ],
)
def test_request_is_ours_by_fetch_metadata_or_origin(headers: dict[str, str], own: bool) -> None:
    assert is_own_request(asked(**headers), BASE + "/") == own


@pytest.mark.parametrize(
    ("base_url", "cookie"),
    [
        ("http://127.0.0.1:3000", "labtrawl_3000"),
        ("https://labtrawl.example", "__Host-labtrawl_443"),
        (BASE, "__Host-labtrawl_8443"),
    ],
)
def test_cookie_of_a_https_site_is_bound_to_its_host(base_url: str, cookie: str) -> None:
    nothing = cast("Any", None)
    site = Site(nothing, nothing, lambda: (), lambda: True, "", base_url, *[nothing] * 6)
    assert site.cookie == cookie
