"""Planned misbehaviour: answers that a crawler must survive.

Entered by the app, by tests at the start of a server, and through ``/-/sandbox/faults``.
"""

import re
from typing import Literal

import msgspec
from msgspec import Struct

from labtrawl.sandbox.wire import Reply, encode_json

Kind = Literal[
    "429_http",
    "429_app",
    "429_bare",
    "500",
    "502_html",
    "503",
    "401",
    "403",
    "404",
    "invalid_grant",
    "truncate",
    "html200",
    "wrong_type",
    "reset",
    "delay",
    "graphql_timeout",
    "graphql_cancelled",
    "graphql_nulls",
    "graphql_no_field",
]


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Misbehave on requests whose path and query match the regular expression `path`.

    Of the matching requests the first `skip` pass, then every `every`-th is hit, `times` times in
    all (0: without end). `retry_after_seconds` goes into ``Retry-After`` where the kind has it;
    for ``delay`` it is how long the right answer is held back. The kinds of ``/api/graphql`` alone:
    ``graphql_timeout`` (fields are null, told as timed out), ``graphql_nulls`` (every second one of
    them, as an internal error), ``graphql_cancelled`` (503), ``graphql_no_field`` (the schema lost
    it); `field` names the field as ``Type.field``, empty means every list.
    """

    path: str
    kind: Kind
    times: int = 1
    every: int = 1
    skip: int = 0
    retry_after_seconds: float = 1.0
    field: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from None
        if self.every < 1 or self.times < 0 or self.skip < 0:
            raise ValueError("every must be at least 1, times and skip at least 0")


class Armed:
    """A fault and how often it matched and struck so far."""

    __slots__ = ("_pattern", "_seen", "_struck", "fault")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._pattern = re.compile(fault.path)
        self._seen = 0
        self._struck = 0

    def strikes(self, target: str) -> bool:
        """True if this request is to be hit; counts it."""
        if self.fault.times and self._struck >= self.fault.times:
            return False
        if not self._pattern.search(target):
            return False
        self._seen += 1
        due = (
            self._seen > self.fault.skip and (self._seen - self.fault.skip) % self.fault.every == 0
        )
        self._struck += due
        return due


class Mischief:
    """All faults of a server; the first that strikes decides."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._armed = [Armed(fault) for fault in faults]

    def arm(self, faults: list[Fault]) -> None:
        """Add faults."""
        self._armed += [Armed(fault) for fault in faults]

    def clear(self) -> None:
        """Forget all faults."""
        self._armed = []

    def strike(self, target: str) -> Fault | None:
        """The fault that hits this request, if any."""
        return next((armed.fault for armed in self._armed if armed.strikes(target)), None)


_APP_LIMIT = {
    "message": {"error": "This endpoint has been requested too many times. Try again later."}
}
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body>GitLab</body></html>"
_CHALLENGE = b"<!DOCTYPE html><html><title>Just a moment...</title><body>Checking</body></html>"
# What a replica says that has not seen the pair yet (doc/api/oauth2.md; GitLab issue 599181).
_INVALID_GRANT = {
    "error": "invalid_grant",
    "error_description": "The provided authorization grant is invalid, expired, revoked, does not "
    "match the redirection URI used in the authorization request, or was issued to another client.",
}
_STATUS: dict[str, tuple[int, object]] = {
    "invalid_grant": (400, _INVALID_GRANT),
    "429_app": (429, _APP_LIMIT),
    "429_bare": (429, _APP_LIMIT),
    "500": (500, {"message": "500 Internal Server Error"}),
    "503": (503, {"message": "503 Service Unavailable"}),
    "401": (401, {"message": "401 Unauthorized"}),
    "403": (403, {"message": "403 Forbidden"}),
    "404": (404, {"message": "404 Not Found"}),
}


def spoil(fault: Fault, right: Reply) -> Reply:
    """The answer in place of the right one; ``reset`` and ``delay`` are the app's own affair."""
    if fault.kind in _STATUS:
        status, body = _STATUS[fault.kind]
        waits = fault.kind in ("429_app", "503")
        headers = retry_after(fault.retry_after_seconds) if waits else []
        return Reply(status, encode_json(body), headers)
    if fault.kind == "truncate":
        return Reply(right.status, right.body[: len(right.body) * 2 // 3], right.headers)
    if fault.kind == "wrong_type":
        wrong = b'{"unexpected":true}' if right.body[:1] == b"[" else b"[]"
        return Reply(200, wrong, right.headers)
    return _no_json(fault, right)


def _no_json(fault: Fault, right: Reply) -> Reply:
    if fault.kind == "429_http":
        wait = retry_after(fault.retry_after_seconds)
        return Reply(429, b"Retry later\n", wait, b"text/plain")
    if fault.kind == "502_html":
        return Reply(502, _BAD_GATEWAY, [], b"text/html")
    return Reply(200, _CHALLENGE, [], b"text/html") if fault.kind == "html200" else right


def retry_after(seconds: float) -> list[tuple[bytes, bytes]]:
    """The header, in whole seconds rounded up."""
    return [(b"retry-after", str(int(-(-seconds // 1))).encode())]


def decode_faults(body: bytes) -> list[Fault]:
    """Faults from a JSON array. Raises msgspec.ValidationError or DecodeError."""
    return msgspec.json.decode(body, type=list[Fault])
