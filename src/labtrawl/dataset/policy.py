"""The one gate before the sink: what may enter the dataset, and in which form.

`apply` is the only maker of a `GatedRecord`, and a sink takes nothing else. A record that leaves
the gate is a finished line: whole, valid JSON, one line long.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from labtrawl.domain.json_object import JsonObject
from labtrawl.errors import ConfigError, DatasetError

PRESENT: Final = "present"
# What a whole reading that misses a known object can say of it: deleted, no longer to be seen with
# the same token and scope, or nobody can tell which.
GONE: Final = "gone"
FORBIDDEN: Final = "forbidden"
UNKNOWN: Final = "unknown"
STATES: Final = frozenset({PRESENT, GONE, FORBIDDEN, UNKNOWN})
NO_BODY: Final = b"{}"
OBJECT: Final = ord("{")


class FetchedRecord(msgspec.Struct, frozen=True, gc=False):
    """An object of GitLab's as it came: `body` holds its JSON bytes, not decoded.

    A `JsonObject` was looked at where it came in; the gate looks at all others.

    `fetched_at` is an instant in ISO 8601, UTC; `request` the path and query that it came from,
    `page_sha256` the hash of that page as received. With another `state` than present it is a
    tombstone: the object was there before and is no longer, and the body is `{}`.
    """

    id: int | str
    kind: str
    fetched_at: str
    request: str
    page_sha256: str
    gitlab_version: str
    body: msgspec.Raw | bytes
    state: str = PRESENT


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of a segment; the order of the fields is their order in the line.

    `state` is left out of the line of an object that is present.
    """

    id: int | str
    kind: str
    fetched_at: str
    request: str
    page_sha256: str
    gitlab_version: str
    policy: str
    body: msgspec.Raw
    state: str = PRESENT


_GATE: Final = object()


class GatedRecord:
    """A record that passed the gate: `line` is its JSON line, newline included."""

    __slots__ = ("id", "kind", "line")

    def __init__(self, gate: object, record: FetchedRecord | Record, line: bytes) -> None:
        if gate is not _GATE:
            raise TypeError("a GatedRecord comes from dataset.policy.apply and nowhere else")
        self.id = record.id
        self.kind = record.kind
        self.line = line

    @property
    def body(self) -> msgspec.Raw:
        """What the line says of the object."""
        return parse_line(self.line).body


_ENCODER: Final = msgspec.json.Encoder()
_LINE: Final = msgspec.json.Decoder(Record)
_VALUE: Final = msgspec.json.Decoder(msgspec.Raw)
# Where the body goes; what stands behind it, a state, has no such thing in it.
_HERE: Final = msgspec.Raw(b"{}")
# A raw line break can only stand between the tokens of valid JSON, where any white space will do.
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


def _as_is(body: bytes) -> bytes:
    """Keep GitLab's bytes; only line breaks between tokens become spaces."""
    if b"\n" in body or b"\r" in body:
        return body.translate(_ONE_LINE)
    return body


AS_IS: Final = "as_is"


class Shaping(Protocol):
    """A policy that changes what a record says: `policy_study.Study`."""

    @property
    def name(self) -> str:
        """What the lines say that they passed."""

    def shaped(self, record: FetchedRecord) -> FetchedRecord:
        """Return what may be kept of a record; ValueError, which tells no value, for one of none."""


Policy = str | Shaping
"""The name of the policy that keeps everything, or one that was made with a study's key."""


def apply(policy: Policy, resource: str, record: FetchedRecord) -> GatedRecord:
    """Pass a fetched record of `resource` through `policy`.

    Raises ConfigError for an unknown policy, and DatasetError for a record that would make a
    line nobody can read: a body that is no whole JSON object in UTF-8, an id of another type.
    """
    return apply_all(policy, resource, [record])[0]


def apply_all(policy: Policy, resource: str, records: Iterable[FetchedRecord]) -> list[GatedRecord]:
    """Do as `apply` with each of them."""
    if not isinstance(policy, str):
        return [_shaped(policy, resource, record) for record in records]
    if policy != AS_IS:
        raise ConfigError(f"no policy {policy!r}, or it needs a study's key; there is: {AS_IS}")
    gated = []
    for record in records:
        try:
            line = _line(record, policy)
        except _UNUSABLE as error:
            raise DatasetError(
                f"{record.kind} {record.id!r} of {resource} was refused ({record.request}): {error}"
            ) from error
        gated.append(GatedRecord(_GATE, record, line))
    return gated


_UNUSABLE: Final = (ValueError, TypeError, RecursionError, msgspec.MsgspecError)


def _shaped(policy: Shaping, resource: str, record: FetchedRecord) -> GatedRecord:
    """Pass a record through a policy that changes it; what is wrong with one is told without it."""
    try:
        shaped = policy.shaped(record)
        return GatedRecord(_GATE, shaped, _line(shaped, policy.name))
    except _UNUSABLE as error:
        # An error of a decoder may show what it read: its kind has to do.
        raise DatasetError(
            f"a {record.kind} of {resource} was refused by the policy {policy.name}:"
            f" {type(error).__name__}"
        ) from None


def _line(record: FetchedRecord, policy: str) -> bytes:
    """Return the line of a record; refuse what no reader could take back."""
    body = record.body
    if type(body) is not JsonObject:
        body = _checked(bytes(body))
    if type(record.id) is not int and type(record.id) is not str:
        raise TypeError(f"its id is {record.id!r}, not a number or a text")
    if record.state != PRESENT and body != NO_BODY:
        raise ValueError(f"{record.state!r} with a body of {len(body)} bytes is no state of it")
    before, behind = _envelope(
        record.kind,
        record.fetched_at,
        record.request,
        record.page_sha256,
        record.gitlab_version,
        policy,
        record.state,
    )
    return b"".join((b'{"id":', _ENCODER.encode(record.id), before, _as_is(body), behind))


def _checked(body: bytes) -> bytes:
    if not body.isascii():
        str(body, "utf-8")  # the JSON decoder skips over texts without looking at their encoding
    if memoryview(_VALUE.decode(body))[0] != OBJECT:
        raise ValueError("its body is no JSON object")
    return body


@lru_cache(maxsize=64)
def _envelope(
    kind: str,
    fetched_at: str,
    request: str,
    page_sha256: str,
    gitlab_version: str,
    policy: str,
    state: str,
) -> tuple[bytes, bytes]:
    """Return what a line has between its id and its body, and behind it.

    All records of a page have the same.
    """
    if datetime.fromisoformat(fetched_at).utcoffset() != timedelta(0):
        raise ValueError(f"fetched_at {fetched_at!r} is no instant in UTC")
    if state not in STATES:
        raise ValueError(f"{state!r} is no state")
    told = Record(0, kind, fetched_at, request, page_sha256, gitlab_version, policy, _HERE, state)
    before, _, behind = _ENCODER.encode(told).rpartition(bytes(_HERE))
    return before.removeprefix(b'{"id":0'), behind + b"\n"


def parse_line(line: bytes) -> Record:
    """Read a line back; its `body` keeps GitLab's bytes. Raises msgspec.MsgspecError."""
    return _LINE.decode(line)
