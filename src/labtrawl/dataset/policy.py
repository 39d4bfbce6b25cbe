"""The one gate before the sink: what may enter the dataset, and in which form.

`apply` is the only maker of a `GatedRecord`, and a sink takes nothing else. A record that leaves
the gate is a finished line: whole, valid JSON, one line long.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

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


class FetchedRecord(msgspec.Struct, frozen=True):
    """An object of GitLab's as it came: `body` holds its JSON bytes, not decoded.

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

    __slots__ = ("body", "id", "kind", "line")

    def __init__(self, gate: object, record: Record, line: bytes) -> None:
        if gate is not _GATE:
            raise TypeError("a GatedRecord comes from dataset.policy.apply and nowhere else")
        self.id = record.id
        self.kind = record.kind
        self.body = record.body
        self.line = line


_ENCODER: Final = msgspec.json.Encoder()
_LINE: Final = msgspec.json.Decoder(Record)
_VALUE: Final = msgspec.json.Decoder(msgspec.Raw)
# A raw line break can only stand between the tokens of valid JSON, where any white space will do.
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


def _as_is(body: bytes) -> bytes:
    """Keep GitLab's bytes; only line breaks between tokens become spaces."""
    if b"\n" in body or b"\r" in body:
        return body.translate(_ONE_LINE)
    return body


_POLICIES: Final[dict[str, Callable[[bytes], bytes]]] = {"as_is": _as_is}


def apply(policy: str, resource: str, record: FetchedRecord) -> GatedRecord:
    """Pass a fetched record of `resource` through `policy`.

    Raises ConfigError for an unknown policy, and DatasetError for a record that would make a
    line nobody can read: a body that is no whole JSON object in UTF-8, an id of another type.
    """
    shape = _POLICIES.get(policy)
    if shape is None:
        raise ConfigError(f"no policy {policy!r}; there are: {', '.join(sorted(_POLICIES))}")
    body = bytes(record.body)
    try:
        _check(record, body)
        gated = _record(record, policy, shape(body))
        line = _ENCODER.encode(gated) + b"\n"
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise DatasetError(
            f"{record.kind} {record.id!r} of {resource} was refused ({record.request}): {error}"
        ) from error
    return GatedRecord(_GATE, gated, line)


def _check(record: FetchedRecord, body: bytes) -> None:
    """Refuse what no reader could take back."""
    if type(record.id) not in {int, str}:
        raise TypeError(f"its id is {record.id!r}, not a number or a text")
    if not _is_instant(record.fetched_at):
        raise ValueError(f"fetched_at {record.fetched_at!r} is no instant in UTC")
    str(body, "utf-8")  # the JSON decoder skips over texts without looking at their encoding
    if memoryview(_VALUE.decode(body))[0] != OBJECT:
        raise ValueError("its body is no JSON object")
    if record.state not in STATES or (record.state != PRESENT and body != NO_BODY):
        raise ValueError(f"{record.state!r} with a body of {len(body)} bytes is no state of it")


@lru_cache(maxsize=64)
def _is_instant(text: str) -> bool:
    """Say whether this is an instant in UTC; all records of a page have the same."""
    return datetime.fromisoformat(text).utcoffset() == timedelta(0)


def _record(record: FetchedRecord, policy: str, body: bytes) -> Record:
    return Record(
        record.id,
        record.kind,
        record.fetched_at,
        record.request,
        record.page_sha256,
        record.gitlab_version,
        policy,
        msgspec.Raw(body),
        record.state,
    )


def parse_line(line: bytes) -> Record:
    """Read a line back; its `body` keeps GitLab's bytes. Raises msgspec.MsgspecError."""
    return _LINE.decode(line)
