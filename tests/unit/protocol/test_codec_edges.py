"""The codec at its limits: sizes, cuts inside code points and escapes, memory, dialects."""

import json

import msgspec
import pytest

from labtrawl.protocol.codec import HOPELESS_FACTOR, Decoder, Refused, encode
from labtrawl.protocol.messages import Credentials, Envelope, Heartbeat, RenewedLease, Task

CAP = 4096


def _envelope(payload: object, key: str = "k") -> Envelope:
    return Envelope(
        origin="o", type="message", key=key, payload=msgspec.Raw(json.dumps(payload).encode())
    )


def _of_length(length: int) -> bytes:
    """A message of exactly so many bytes, without its line end."""
    empty = encode(_envelope(""))[:-1]
    return encode(_envelope("x" * (length - len(empty))))[:-1]


def _kinds(found: list[Envelope | Refused]) -> list[str]:
    return [one.reason if isinstance(one, Refused) else "message" for one in found]


@pytest.mark.parametrize(
    ("length", "outcome"),
    [(CAP - 1, "message"), (CAP, "message"), (CAP + 1, "message_too_large")],
)
@pytest.mark.parametrize("step", [1 << 20, 7])
def test_message_at_the_limit_is_taken_and_one_byte_more_refused(
    length: int, outcome: str, step: int
) -> None:
    decoder, data = Decoder(max_bytes=CAP), _of_length(length) + b"\n" + encode(_envelope(1))
    found: list[Envelope | Refused] = []
    for start in range(0, len(data), step):
        found += decoder.feed(data[start : start + step])
    assert _kinds(found) == [outcome, "message"]


def test_empty_reads_and_white_space_give_nothing() -> None:
    decoder = Decoder()
    assert [decoder.feed(data) for data in (b"", b" \r\n\t", b"", b"\n")] == [[], [], [], []]


@pytest.mark.seed("S2.16")
def test_memory_stays_below_the_limit_plus_one_read_for_a_message_without_end() -> None:
    decoder, read = Decoder(max_bytes=CAP), b'"' + b"x" * 999
    fatal: list[Refused] = []
    decoder.feed(b'{"a": ')
    for _ in range(HOPELESS_FACTOR * CAP // len(read) + 10):
        found = decoder.feed(read)
        assert len(decoder._buffer) <= CAP + len(read)
        fatal += [one for one in found if isinstance(one, Refused) and one.fatal]
        if fatal:
            break
    assert [one.reason for one in fatal] == ["message_too_large"]


@pytest.mark.parametrize(
    "text", ["😀é\u2028", '\\"}{', "a\\u007bb", "[]{}", '"', "\\", "\u0000", "line\nbreak"]
)
def test_text_that_looks_like_structure_survives_every_cut(text: str) -> None:
    data = encode(_envelope({"t": text, text: [text]})) + encode(_envelope(2))
    whole = Decoder().feed(data)
    assert _kinds(whole) == ["message", "message"]
    for cut in range(len(data)):
        decoder = Decoder()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == whole


@pytest.mark.seed("S2.57")
def test_messages_without_anything_between_them_are_told_apart() -> None:
    data = b"".join(encode(_envelope(n))[:-1] for n in range(50))
    assert [bytes(one.payload) for one in Decoder().feed(data) if isinstance(one, Envelope)] == [
        str(n).encode() for n in range(50)
    ]


def test_unbalanced_garbage_every_few_messages_costs_no_message() -> None:
    lines = [encode(_envelope(n)) if n % 5 else b'{"a": [{"b": "}\n' for n in range(100)]
    found = Decoder().feed(b"".join(lines))
    assert (_kinds(found).count("message"), _kinds(found).count("bad_message")) == (80, 20)


@pytest.mark.seed("S2.14")
def test_message_too_deep_is_refused_and_the_next_taken() -> None:
    deep = b'{"origin": "o", "type": "m", "key": "k", "payload": %s}' % (b"[" * 40 + b"]" * 40)
    assert _kinds(Decoder().feed(deep + encode(_envelope(1)))) == ["too_deep", "message"]


def test_invalid_utf8_inside_a_text_is_refused_and_the_next_taken() -> None:
    bad = encode(_envelope("ab")).replace(b"ab", b"\xff\xfe")
    assert _kinds(Decoder().feed(bad + encode(_envelope(1)))) == ["bad_message", "message"]


def test_unknown_fields_and_keys_of_a_newer_peer_are_ignored() -> None:
    told = {"origin": "o", "type": "t", "key": "new", "payload": {"a": 1}, "signature": "x"}
    (found,) = Decoder().feed(json.dumps(told).encode())
    assert isinstance(found, Envelope)
    assert (found.key, bytes(found.payload)) == ("new", b'{"a": 1}')


@pytest.mark.parametrize("timestamp", [1, 1.5, "2026-01-01T00:00:00Z"])
@pytest.mark.seed("S2.76")
def test_timestamp_of_every_dialect_is_taken(timestamp: object) -> None:
    told = {"origin": "o", "type": "t", "key": "k", "timestamp": timestamp}
    (found,) = Decoder().feed(json.dumps(told).encode())
    assert isinstance(found, Envelope)
    assert found.timestamp == timestamp


def test_encoded_message_is_one_line_and_camel_case() -> None:
    line = encode(Envelope(origin="o", type="t", key="k", reply_to="x"))
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"origin": "o", "type": "t", "key": "k", "replyTo": "x"}


def test_payload_without_camel_case_names_is_read() -> None:
    beat = msgspec.json.decode(b'{"timestamp": 1, "activeJobs": 2}', type=Heartbeat)
    assert (beat.active_jobs, beat.system_status) == (2, "idle")


def test_token_in_a_message_is_in_no_repr() -> None:
    task = {
        "taskId": "1",
        "command": "issues",
        "gitlabApiUrl": "u",
        "credentials": {"accessToken": "glpat-canary"},
        "resourceType": "project",
        "resourceId": "1",
        "fullPath": "a/b",
        "dataTypes": [],
        "lease": {"epoch": 1, "expiresAt": 1},
        "segments": {"prefix": "p", "next": 1},
    }
    shown = [
        repr(msgspec.convert(task, Task)),
        repr(Credentials(access_token="glpat-canary")),
        repr(RenewedLease(task_id="1", access_token="glpat-canary")),
        repr(_envelope(task)),
    ]
    assert [text for text in shown if "canary" in text] == []
