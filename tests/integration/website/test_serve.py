"""Serving as the program does it: under uvloop, on a socket that is handed in."""

import asyncio
import socket
from pathlib import Path

import uvloop

from labtrawl.store.engine import open_store
from labtrawl.store.migrate import migrate
from tests.integration.website.running import Serving, Surroundings


async def alive(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def serve_twice(path: Path, sock: socket.socket) -> list[bytes]:
    port, answers = sock.getsockname()[1], []
    async with open_store(path) as store:
        serving = Serving(store, sock, Surroundings(base_url=f"http://127.0.0.1:{port}"))
        for _ in range(2):
            answers.append(await alive(port))
            async with asyncio.timeout(3):
                await serving.stop()
            serving.start()
        await alive(port)
        await serving.stop()
    return answers


def test_serve_under_uvloop_answers_and_leaves_the_socket_open(tmp_path: Path) -> None:
    path = tmp_path / "labtrawl.sqlite"
    migrate(path)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        answers = uvloop.run(serve_twice(path, sock))
    assert [answer.splitlines()[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 2
    assert all(answer.endswith(b'{"alive":true}') for answer in answers)
