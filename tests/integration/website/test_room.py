"""What the website does when more connections come than a process may have files open."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labtrawl.store import commands
from labtrawl.website import serve
from labtrawl.website.door.room import WORDS
from tests.integration.website import world
from tests.integration.website.conftest import Client
from tests.integration.website.test_watching import Socket, path_of

SOFT, HARD = 64, 128
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@dataclass(frozen=True)
class FewFiles:
    """A website that may open few files, in a process of its own; `said` is what it logged."""

    port: int
    log: Path

    def said(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def come(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def ask(self, path: str, *headers: str) -> tuple[int, str]:
        """Ask over a connection of its own; (0, "") where that is closed without an answer."""
        lines = (f"GET {path} HTTP/1.1", "Host: x", *(headers or ("Connection: close",)), "", "")
        answer = b""
        with self.come() as sock, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall("\r\n".join(lines).encode())
            while part := sock.recv(65536):
                answer += part
        head, _, body = answer.decode().partition("\r\n\r\n")
        return (int(head.split()[1]), body) if head else (0, "")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FewFiles]:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "tests.integration.website.few_files"]
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [*command, str(tmp_path), str(SOFT), str(HARD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        yield FewFiles(int(process.stdout.readline()), log)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


def test_who_comes_when_there_is_no_room_is_told_so_and_the_log_stays_short(site: FewFiles) -> None:
    """Half of the files that the process may open at most are for connections."""
    with contextlib.ExitStack() as all_of_them:
        silent = [all_of_them.enter_context(site.come()) for _ in range(HARD // 2 - 1)]
        assert site.ask("/livez") == (200, '{"alive":true}')
        silent.append(all_of_them.enter_context(site.come()))
        assert site.ask("/livez") == (503, WORDS + "\n")
        told = {"error": {"code": "busy", "message": WORDS}}
        assert site.ask("/api/v1/jobs") == (503, json.dumps(told, separators=(",", ":")))
        assert site.ask("/api/v1/jobs", *UPGRADE) == (503, json.dumps(told, separators=(",", ":")))
        # More than there are files for.
        silent += [all_of_them.enter_context(site.come()) for _ in range(3 * HARD)]
        assert site.ask("/livez") == (0, "")
    answers = {site.ask("/livez") for _ in range(50)}
    assert (200, '{"alive":true}') in answers
    assert answers <= {(200, '{"alive":true}'), (503, WORDS + "\n"), (0, "")}
    assert site.ask("/livez") == (200, '{"alive":true}')
    (line,) = [each for each in site.said() if each["event"] == "connections_refused"]
    assert (line["refused"], line["places"]) == (1, HARD // 2)
    assert len(site.said()) == 1


async def test_connection_that_asks_for_nothing_is_closed_and_no_other_is(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream and a WebSocket say nothing for long, either."""
    monkeypatch.setattr(serve, "SILENT_SECONDS", 0.3)
    job_id = await admin.write(world.one_job)
    stream, leaves = await admin.open()
    leaves.write(
        f"GET /live?view=page HTTP/1.1\r\nHost: x\r\nCookie: {admin.cookie}\r\n\r\n".encode()
    )
    watching = await Socket.open(admin, path_of(job_id), Origin=admin.url)
    await watching.hear("jobUpdate")
    silent, _ = await admin.open()
    async with asyncio.timeout(10):
        # The last one that came: the time of the others is over before its own.
        assert await silent.read() == b""
    assert b": live" in await stream.readuntil(b": live")
    assert not stream.at_eof()
    await admin.write(lambda c: commands.pause_job(c, job_id))
    assert (await watching.hear("jobUpdate"))["payload"]["state"] == "held"
    watching.leave()
    admin.end(leaves)
