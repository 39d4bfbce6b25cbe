"""Bytes that are almost messages, and what must hold for every one of them.

    python -m tests.unit.protocol.malformed RUNS

examines so many inputs of atheris (coverage-guided, github.com/google/atheris) and ends with code 0
where nothing broke.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import FunctionType

import msgspec

from labtrawl.protocol import messages as wire
from labtrawl.protocol.codec import HOPELESS_FACTOR, Decoder, Refused, encode
from labtrawl.protocol.messages import Envelope

CAP = 16_384
# For the fuzzer: small inputs are quick, and some of them are to outgrow the limit.
SMALL_CAP = 256
# An interpreter with atheris has about 50; one input that stays for good would show.
MOST_MB = 150
PAYLOADS: dict[str, type] = {
    "register": wire.Register,
    "request_jobs": wire.RequestJobs,
    "renew_leases": wire.RenewLeases,
    "request_budget": wire.RequestBudget,
    "request_manifest": wire.RequestManifest,
    "PROGRESS_UPDATE": wire.ProgressUpdate,
    "JOBS_DISCOVERED": wire.JobsDiscovered,
    "TOKEN_REFRESH_REQUEST": wire.TokenRefreshRequest,
    "ACK": wire.Ack,
    "ERROR": wire.ErrorReport,
}
_SEGMENT = {"name": "i1/project-7/r0/j1-f1-000001.jsonl.zst", "length": 1, "sha256": "0" * 64}
WHOLE = [
    encode(
        Envelope(origin="o", type="message", key=key, payload=msgspec.Raw(json.dumps(p).encode()))
    )
    for key, p in {
        "register": {"id": "crawler-1", "nonce": "n", "holding": [{"taskId": "1", "epoch": 1}]},
        "request_jobs": {"requestId": "r", "limit": 5},
        "renew_leases": {"leases": [{"taskId": "1", "epoch": 2}]},
        "request_budget": {"want": [{"accountId": "1", "class": "rest", "requests": 5}]},
        "PROGRESS_UPDATE": {
            "taskId": "1",
            "status": "processing",
            "timestamp": 1,
            "message": 'é\u2028😀 "}{[\\',
            "segments": [_SEGMENT | {"records": 1}],
        },
        "JOBS_DISCOVERED": {"taskId": "1", "epoch": 1, "jobs": [{"command": "issues"}] * 3},
        "ACK": {"upTo": {"1": "0" * 26}, "ids": ["1"], "results": {"1": {"new": 3}}},
    }.items()
]
BOMBS = [
    b"[" * 40 + b"]" * 40,
    b'{"a":' * 500,
    b"9" * 5000,
    b"-" + b"9" * 400 + b"e" + b"9" * 400,
    b'"' + b"x" * (CAP + 1) + b'"',
    b"\\u" * 50,
    b"\xff\xfe\x00",
    b"\xf0\x9f\x98",
    b'"\\',
    b"}{",
    b"\n",
]


def examine(data: bytes) -> None:
    """Feed some bytes whole and in three reads: nothing breaks, nothing is kept too long.

    The same comes out of both, unless an object outgrows the limit: what follows it may be found
    sooner or later then.
    """
    outcome(data, SMALL_CAP)


def outcome(data: bytes, cap: int = CAP) -> list[str]:
    """Do so, and return what came out: keys, and reasons of refusals."""
    whole = _feed([data], cap)
    first, second = len(data) // 3, len(data) * 2 // 3
    cut = _feed([data[:first], data[first:second], data[second:]], cap)
    assert cut == whole or len(data) > cap
    return [_understood(one) for one in whole]


def _feed(reads: list[bytes], cap: int) -> list[Envelope | Refused]:
    decoder = Decoder(max_bytes=cap)
    found: list[Envelope | Refused] = []
    for read in reads:
        found += decoder.feed(read)
        if found and isinstance(found[-1], Refused) and found[-1].fatal:
            break
        assert len(decoder._buffer) <= cap + len(read)
        assert decoder._discarded <= cap * HOPELESS_FACTOR + len(read)
    return found


def _understood(found: Envelope | Refused) -> str:
    """Read the payload as a handler would: any shape is right or a MsgspecError."""
    if isinstance(found, Refused):
        return found.reason
    if found.key not in PAYLOADS:
        return "unknown key"
    try:
        msgspec.json.decode(found.payload, type=PAYLOADS[found.key])
    except (msgspec.MsgspecError, RecursionError):
        return "another payload"
    return found.key


def inputs(seed: int) -> Iterator[bytes]:
    """Messages with a few wounds, without end: cuts, flips, doublings, bombs, joins."""
    chance = Random(seed)
    while True:
        data = bytearray(b"".join(chance.choices(WHOLE, k=chance.randint(1, 3))))
        for _ in range(chance.randint(1, 4)):
            _wound(data, chance)
        yield bytes(data)


def _wound(data: bytearray, chance: Random) -> None:
    at, to = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    match chance.randrange(5):
        case 0:
            del data[at : min(to, at + 40)]
        case 1 if at < len(data):
            data[at] = chance.randrange(256)
        case 2:
            data[at:at] = data[at : at + 60]
        case 3:
            data[at:at] = chance.choice(BOMBS)
        case _:
            data[at:at] = bytes(chance.choices(b'{}[]":,\\\n e-+.0', k=3))


def main(runs: int) -> None:
    """Let atheris choose the inputs: it begins with whole messages and looks for other ways."""
    import atheris

    for function in vars(Decoder).values():
        if isinstance(function, FunctionType):
            atheris.instrument_func(function)
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate([*WHOLE, *BOMBS]):
            (Path(folder) / str(number)).write_bytes(data)
        limits = [
            f"-runs={runs}",
            f"-max_len={SMALL_CAP + 64}",
            f"-rss_limit_mb={MOST_MB}",
        ]
        atheris.Setup([sys.argv[0], *limits, folder], examine)
        atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]))
