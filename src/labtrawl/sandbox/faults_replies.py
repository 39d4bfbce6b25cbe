"""Answers in place of the right one: what faults send, by kind.

Entered by `faults` alone. Words of GitLab 19.3: lib/api/helpers.rb, lib/api/api_guard.rb,
lib/gitlab/auth/user_access_denied_reason.rb, lib/gitlab/pagination/offset_pagination.rb.
"""

import gzip
import re
import time
from collections.abc import Callable
from functools import cache

from labtrawl.sandbox.wire import Headers, Reply

BOMB_BYTES = 100_000_000
HUGE_DIGITS = 1_000_000
_APP_LIMIT = {
    "message": {"error": "This endpoint has been requested too many times. Try again later."}
}
# What a replica says that has not seen the pair yet (doc/api/oauth2.md; GitLab issue 599181).
_INVALID_GRANT = {
    "error": "invalid_grant",
    "error_description": "The provided authorization grant is invalid, expired, revoked, does not "
    "match the redirection URI used in the authorization request, or was issued to another client.",
}
_SMALL_SCOPE = {
    "error": "insufficient_scope",
    "error_description": "The request requires higher privileges than provided by the access token.",
    "scope": "api read_api",
}
_SMALL_GRAINED_SCOPE = {
    "error": "insufficient_granular_scope",
    "error_description": "Access denied: Your Personal Access Token lacks the required permissions.",
}
_OFFSET = {
    "error": "Offset pagination has a maximum allowed offset of 50000 for requests that return "
    "objects of type Label. Remaining records can be retrieved using keyset pagination."
}
STATUS: dict[str, tuple[int, object]] = {
    "invalid_grant": (400, _INVALID_GRANT),
    "429_app": (429, _APP_LIMIT),
    "429_bare": (429, _APP_LIMIT),
    "408": (408, {"error": "Request timed out"}),
    "500": (500, {"message": "500 Internal Server Error"}),
    "503": (503, {"message": "503 Service Unavailable"}),
    "401": (401, {"message": "401 Unauthorized"}),
    "403": (403, {"message": "403 Forbidden"}),
    "403_scope": (403, _SMALL_SCOPE),
    "403_granular": (403, _SMALL_GRAINED_SCOPE),
    "403_blocked": (403, {"message": "403 Forbidden - Your account has been blocked."}),
    "404": (404, {"message": "404 Not Found"}),
    "405_offset": (405, _OFFSET),
}
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body>GitLab</body></html>"
_CHALLENGE = b"<!DOCTYPE html><html><title>Just a moment...</title><body>Checking</body></html>"
_TOTALS = (b"x-total", b"x-total-pages")


def retry_after(seconds: float) -> Headers:
    """The header, in whole seconds rounded up."""
    return [(b"retry-after", str(int(-(-seconds // 1))).encode())]


def spent(seconds: float) -> Headers:
    """What says that nothing is left of the account's limit for so many seconds."""
    reset = str(int(time.time() + seconds)).encode()
    return [
        (b"ratelimit-limit", b"600"),
        (b"ratelimit-remaining", b"0"),
        (b"ratelimit-reset", reset),
    ]


@cache
def _bomb() -> bytes:
    return gzip.compress(b"[" + b" " * (BOMB_BYTES - 2) + b"]", 1)


def _first_field(name: bytes, value: bytes) -> Callable[[bytes], bytes]:
    """Put a field before the others of each object that a list holds, or of the one object."""
    return lambda body: re.sub(rb"(^\[?|(?<=\},))\{", b'\\g<0>"%b":%b,' % (name, value), body)


_BODIES: dict[str, Callable[[bytes], bytes]] = {
    "truncate": lambda body: body[: len(body) * 2 // 3],
    "wrong_type": lambda body: b'{"unexpected":true}' if body[:1] == b"[" else b"[]",
    "empty200": lambda _body: b"",
    # ISO 8859-1 where UTF-8 was promised.
    "charset": _first_field(b"charset", b'"caf\xe9"'),
    "surrogate": _first_field(b"half", b'"\\\\ud83d"'),
    "twin_keys": _first_field(b"id", b"1"),
    "huge_number": _first_field(b"weight", b"9" * HUGE_DIGITS),
}


def _with_next(headers: Headers, change: Callable[[bytes], bytes]) -> Headers:
    return [(name, change(value) if name == b"link" else value) for name, value in headers]


def _to_first(link: bytes) -> bytes:
    """The next page is the first one, whichever was asked for."""
    found = re.search(rb'<([^>]*)>; rel="next"', link)
    if found is None:
        return link
    start = re.sub(rb"(?<=[?&])(page|cursor|id_after|page_token)=[^&>]*&?", b"", found[1])
    return b'<%b>; rel="next"' % start.rstrip(b"&")


def spoil_body(kind: str, right: Reply) -> Reply | None:
    """The right answer with another body or other headers; None for a kind that has neither."""
    if kind in _BODIES:
        return Reply(200, _BODIES[kind](right.body), right.headers)
    if kind == "bomb":
        return Reply(200, _bomb(), [*right.headers, (b"content-encoding", b"gzip")])
    if kind == "no_total":
        kept = [header for header in right.headers if header[0] not in _TOTALS]
        return Reply(right.status, right.body, kept)
    if kind == "next_is_first":
        return Reply(right.status, right.body, _with_next(right.headers, _to_first))
    return None


def no_json(kind: str, right: Reply, wait: Headers) -> Reply:
    """An answer of something before GitLab, or the right one."""
    if kind == "429_http":
        return Reply(429, b"Retry later\n", wait, b"text/plain")
    if kind == "502_html":
        return Reply(502, _BAD_GATEWAY, [], b"text/html")
    if kind == "304":
        return Reply(304, b"", right.headers)
    return Reply(200, _CHALLENGE, [], b"text/html") if kind == "html200" else right
