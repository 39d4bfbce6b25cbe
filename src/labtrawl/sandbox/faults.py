"""Planned misbehaviour: answers that a crawler must survive.

Entered by the app, by tests at the start of a server, and through ``/-/sandbox/faults``.
"""

import re
from typing import Literal

import msgspec
from msgspec import Struct

from labtrawl.sandbox.faults_replies import STATUS, no_json, retry_after, spent, spoil_body
from labtrawl.sandbox.wire import Headers, Reply, Stream, encode_json

Kind = Literal[
    "429_http",
    "429_app",
    "429_bare",
    "500",
    "502_html",
    "503",
    "304",
    "401",
    "403",
    "403_spent",
    "403_scope",
    "403_granular",
    "403_blocked",
    "404",
    "405_offset",
    "408",
    "invalid_grant",
    "truncate",
    "html200",
    "wrong_type",
    "empty200",
    "charset",
    "surrogate",
    "twin_keys",
    "huge_number",
    "bomb",
    "drip",
    "endless",
    "reset",
    "delay",
    "no_total",
    "next_is_first",
    "graphql_timeout",
    "graphql_cancelled",
    "graphql_nulls",
    "graphql_no_field",
    "graphql_costly",
]


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Misbehave on requests whose path and query match the regular expression `path`.

    Of the matching requests the first `skip` pass, then every `every`-th is hit, `times` times in
    all (0: without end). `retry_after_seconds` goes into ``Retry-After`` where the kind has it;
    `retry_after` is its text as it is sent, for any status; for ``delay`` the seconds are how long
    the right answer is held back, for ``403_spent`` how long nothing is left of the limit. The kinds of ``/api/graphql`` alone:
    ``graphql_timeout`` (fields are null, told as timed out), ``graphql_nulls`` (every second one of
    them, as an internal error), ``graphql_cancelled`` (503), ``graphql_no_field`` (the schema lost
    it), ``graphql_costly`` (over the limit of complexity); `field` names the field as ``Type.field``, empty means every list.
    """

    path: str
    kind: Kind
    times: int = 1
    every: int = 1
    skip: int = 0
    retry_after_seconds: float = 1.0
    retry_after: str = ""
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


def spoil(fault: Fault, right: Reply) -> Reply:
    """The answer in place of the right one; ``reset`` and ``delay`` are the app's own affair."""
    wait = _wait(fault)
    if fault.kind in STATUS:
        status, body = STATUS[fault.kind]
        waits = fault.kind in ("429_app", "503") or fault.retry_after
        return Reply(status, encode_json(body), wait if waits else [])
    if fault.kind == "403_spent":
        status, body = STATUS["403"]
        return Reply(status, encode_json(body), spent(fault.retry_after_seconds))
    return spoil_body(fault.kind, right) or no_json(fault.kind, right, wait)


def _wait(fault: Fault) -> Headers:
    if fault.retry_after:
        return [(b"retry-after", fault.retry_after.encode())]
    return retry_after(fault.retry_after_seconds)


def streamed(fault: Fault | None) -> Stream | None:
    """What comes instead of a body that ends."""
    kind = fault.kind if fault else ""
    if kind == "drip":
        return Stream(b" ", 1.0)
    return Stream(b" " * 65_536, 0.0) if kind == "endless" else None


def decode_faults(body: bytes) -> list[Fault]:
    """Faults from a JSON array. Raises msgspec.ValidationError or DecodeError."""
    return msgspec.json.decode(body, type=list[Fault])
