"""A task without a token, where the environment has none: told, and GitLab is not asked."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labtrawl.clock import system_clock
from labtrawl.crawler.engine import Running
from labtrawl.crawler.work import BARE_TASK, Worker
from labtrawl.domain.credential import Secret
from labtrawl.protocol import messages as wire

TASK = wire.Task(
    task_id="7",
    command="issues",
    gitlab_api_url="https://gitlab.example.org",
    credentials=wire.Credentials(access_token=""),
    resource_type="project",
    resource_id="1",
    full_path="lab/ocean",
    data_types=["issues"],
    lease=wire.Lease(epoch=1, expires_at=0),
    account_id="1",
    provider_id="1",
    segments=wire.Segments(prefix="x", next=1),
)


@pytest.mark.seed("S1.14")
async def test_task_without_a_token_fails_for_another_try_and_asks_nobody() -> None:
    sent: list[wire.ProgressUpdate] = []

    async def send_event(_key: str, update: Any, _task: str) -> asyncio.Future[dict[str, Any]]:
        sent.append(update)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        answer.set_result({})
        return answer

    # Whatever else a worker has would raise when it is touched.
    tools = cast("Any", SimpleNamespace(clock=system_clock()))
    worker = Worker(tools, send_event, cast("Any", None), cast("Any", None), cast("Any", None))
    await worker.run(Running(TASK, Secret(""), 0.0))
    assert [(one.status, one.error, one.retryable) for one in sent] == [("failed", BARE_TASK, True)]
    assert worker.requests() == 0
