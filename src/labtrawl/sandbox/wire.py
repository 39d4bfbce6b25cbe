"""Requests and replies of the look-alike, apart from any socket.

Entered by the app (which makes Requests and sends Replies), the routes and the pager.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from labtrawl.sandbox.access import Denied

Headers = list[tuple[bytes, bytes]]
JSON_TYPE = b"application/json"
encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    `segments` are the decoded parts of the path after ``/api/v4``; `url` is the address of the path
    as links name it; `query` keeps the order and repeats of the caller.
    """

    method: str
    segments: tuple[str, ...]
    url: str
    query: tuple[tuple[str, str], ...] = ()
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    def get(self, name: str, default: str = "") -> str:
        """The last value of a parameter."""
        for key, value in reversed(self.query):
            if key == name:
                return value
        return default

    def all(self, name: str) -> list[str]:
        """All values of ``name[]``, and those of ``name`` split at commas."""
        values = [value for key, value in self.query if key == f"{name}[]"]
        return values or [part for part in self.get(name).split(",") if part]

    def is_true(self, name: str) -> bool | None:
        """A boolean parameter; None if absent. Raises Refused (400) for another text."""
        text = self.get(name).lower()
        if text == "":
            return None
        if text in ("true", "t", "1", "yes", "on"):
            return True
        if text in ("false", "f", "0", "no", "off"):
            return False
        raise Refused(400, {"error": f"{name} is invalid"})

    def number(self, name: str) -> int | None:
        """A whole number; None if absent. Raises Refused (400) for another text."""
        text = self.get(name)
        if text == "":
            return None
        try:
            return int(text)
        except ValueError:
            raise Refused(400, {"error": f"{name} is invalid"}) from None

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """One of the allowed texts. Raises Refused (400) for another one."""
        text = self.get(name, default)
        if text not in allowed:
            raise Refused(400, {"error": f"{name} does not have a valid value"})
        return text


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body and headers of an answer; `tag` is the body's ETag once it is known."""

    status: int
    body: bytes
    headers: Headers = field(default_factory=list)
    content_type: bytes = JSON_TYPE
    tag: bytes = b""


class Asked(NamedTuple):
    """A request as it came over the wire: names of headers in lower case, `target` as sent."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    body: bytes = b""


class Stream(NamedTuple):
    """A body without an end: `piece` again and again, one every `seconds` (0: as fast as it goes)."""

    piece: bytes
    seconds: float


class Answer(NamedTuple):
    """What goes back: after `hold_seconds`; `torn` = half of it, then the connection is dropped.

    With a `stream` the reply gives the status and headers alone.
    """

    reply: Reply
    hold_seconds: float = 0.0
    torn: bool = False
    stream: Stream | None = None


class Refused(Exception):
    """An answer that is no success, raised from wherever it is found out."""

    def __init__(self, status: int, body: object, headers: Headers | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.reply = Reply(status, encode_json(body), headers or [])


def refusal(denied: Denied) -> Refused:
    """The refusal as GitLab words it."""
    if denied.status == 200:
        return Refused(200, [])
    return Refused(denied.status, {"message": denied.message})


def json_reply(body: object, headers: Headers | None = None) -> Reply:
    """A 200 with `body` as JSON."""
    return Reply(200, encode_json(body), headers or [])
