"""What a job does when GitLab refuses its token."""

import hashlib
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from labtrawl.crawler.engine import Running
from labtrawl.crawler.token import ask_newer
from labtrawl.domain.credential import Secret
from labtrawl.errors import BadMessage, LeaseLost
from labtrawl.protocol import messages as wire

OLD, NEW = Secret("CANARY-old"), Secret("CANARY-new")
TASK = wire.Task(
    task_id="3",
    command="issues",
    gitlab_api_url="http://gitlab",
    credentials=wire.Credentials(access_token=OLD.reveal()),
    resource_type="project",
    resource_id="1",
    full_path="a/b",
    data_types=["issues"],
    lease=wire.Lease(epoch=2, expires_at=0),
    account_id="9",
    provider_id="1",
    segments=wire.Segments(prefix="", next=0),
)
Ask = Callable[[str, str, wire.Record, float], Awaitable[wire.Envelope]]


def website(answer: wire.TokenRefreshResponse | Exception, asked: list[wire.Record]) -> Ask:
    async def ask(type_: str, key: str, payload: wire.Record, _seconds: float) -> wire.Envelope:
        assert (type_, key) == ("message", "TOKEN_REFRESH_REQUEST")
        asked.append(payload)
        if isinstance(answer, Exception):
            raise answer
        raw = msgspec.Raw(msgspec.json.encode(answer))
        return wire.Envelope(
            origin="w", type="message", key="TOKEN_REFRESH_RESPONSE", payload=raw, id="0" * 26
        )

    return ask


async def test_newer_token_is_asked_for_once_and_taken() -> None:
    asked: list[wire.Record] = []
    running = Running(TASK, OLD, 0.0)
    answer = wire.TokenRefreshResponse(request_id="r", success=True, access_token=NEW.reveal())
    assert await ask_newer(website(answer, asked), running, OLD)
    assert running.token == NEW
    # Another request of the job, sent with the old one: the newer is there already.
    assert await ask_newer(website(answer, asked), running, OLD)
    (sent,) = asked
    assert isinstance(sent, wire.TokenRefreshRequest)
    assert (sent.account_id, sent.provider_id, sent.task_id, sent.epoch) == ("9", "1", "3", 2)
    assert sent.refused_sha256 == hashlib.sha256(OLD.reveal().encode()).hexdigest()


@pytest.mark.parametrize(
    "answer",
    [
        wire.TokenRefreshResponse(request_id="r", success=False, error="sign in again"),
        wire.TokenRefreshResponse(request_id="r", success=True),
        TimeoutError(),
        BadMessage("an older website"),
    ],
)
async def test_without_a_newer_token_the_job_keeps_what_it_has(
    answer: wire.TokenRefreshResponse | Exception,
) -> None:
    running = Running(TASK, OLD, 0.0)
    assert not await ask_newer(website(answer, []), running, OLD)
    assert running.token == OLD


async def test_job_that_is_not_ours_any_more_is_dropped() -> None:
    with pytest.raises(LeaseLost):
        await ask_newer(website(LeaseLost("gone"), []), Running(TASK, OLD, 0.0), OLD)
