"""The sandbox as a process of its own, and what happens to a port in use."""

import asyncio
import signal
import sys

import pytest

from labtrawl.sandbox import World, build_world, running
from labtrawl.sandbox.serve import bind
from tests.integration.sandbox.caller import Caller


async def test_process_says_address_and_token_and_ends_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "labtrawl.sandbox", "--world", "small", "--port", "0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    first = (await process.stdout.readline()).decode().strip()
    token = (await process.stdout.readline()).decode().strip()
    async with Caller(first.removeprefix("listening on "), token) as caller:
        answer = await caller.get("user")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2):
            _, errors = await process.communicate()
    assert (answer.status, process.returncode, errors) == (200, 0, b"")
    assert token == build_world("small").accounts[0].token


async def test_port_in_use_raises_oserror(world: World) -> None:
    async with running(world) as server:
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", server.port)
