"""The sandbox as a process of its own, and what happens to a port in use."""

import asyncio
import contextlib
import gc
import signal
import socket
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


@pytest.mark.parametrize("rounds", range(6))
def test_connection_that_comes_while_it_closes_is_closed_too(world: World, rounds: int) -> None:
    """However far its accepting is; what stays open warns, which fails a test."""

    async def meet() -> socket.socket:
        async with running(world) as server:
            caller = socket.create_connection(("127.0.0.1", server.port))
            for _ in range(rounds):
                await asyncio.sleep(0)
        return caller

    with asyncio.Runner() as runner:
        caller = runner.run(meet())
    with caller:
        caller.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert caller.recv(1) == b""
    gc.collect()
