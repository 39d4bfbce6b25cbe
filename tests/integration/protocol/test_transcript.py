"""The other side of the recorded conversation: what the ancestors' website said, at our crawler's end."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.protocol import messages as wire
from labtrawl.protocol.codec import Decoder
from tests.integration.protocol.test_dialect_1 import recorded


def _said(reads: list[str], sizes: int) -> list[tuple[str, Any]]:
    """What a decoder makes of the reads, cut into pieces of so many bytes."""
    decoder, found = Decoder(), list[tuple[str, Any]]()
    whole = "".join(reads).encode()
    for start in range(0, len(whole), sizes):
        for one in decoder.feed(whole[start : start + sizes]):
            assert isinstance(one, wire.Envelope)
            found.append((one.key, msgspec.json.decode(one.payload)))
    return found


@pytest.mark.seed("S2.57", "S2.76")
@pytest.mark.parametrize("sizes", [1, 7, 64, 1 << 16])
def test_recorded_website_is_understood_however_its_words_are_cut(
    gitlab_truth: Path | None, sizes: int
) -> None:
    reads = recorded(gitlab_truth, "web")
    told = _said(reads, sizes)
    assert [key for key, _ in told] == [
        "jobs_available",
        "jobs_error",
        "TOKEN_REFRESH_RESPONSE",
        "heartbeat",
    ]
    assert told[1][1] == {"error": "no more jobs", "requestId": "rq-1"}


def test_refresh_token_of_the_recorded_website_stops_at_the_decoder(
    gitlab_truth: Path | None,
) -> None:
    told = dict(_said(recorded(gitlab_truth, "web"), 1 << 16))
    answer = told["TOKEN_REFRESH_RESPONSE"]
    assert "refreshToken" in answer
    read = msgspec.json.decode(msgspec.json.encode(answer), type=wire.TokenRefreshResponse)
    assert msgspec.to_builtins(read) == {
        "requestId": "tr-1",
        "success": True,
        "accessToken": "new",
        "expiresAt": "2026-11-22T02:00:00.000Z",
        "providerId": "gitlab-onprem",
    }
