"""The Unix socket: known by the connection; other users' processes are shut out, headers say nothing."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.store.engine import open_store
from labtrawl.store.migrate import migrate
from labtrawl.website.app import build
from labtrawl.website.serve import LocalDoor, serve
from tests.integration.website.conftest import Client
from tests.integration.website.running import Surroundings, site_of

NOBODY = 65534
# A program of its own: one that gave up its rights cannot get them back.
ASK = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[2])
    try:
        sock.sendall(b"GET /api/admin/health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        sys.stdout.buffer.write(sock.recv(65536))
    except ConnectionError:
        pass
"""


async def asked_by(uid: int, path: Path) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", ASK, str(uid), str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said


@pytest.mark.seed("S2.17", "S2.40", "S2.72", "S2.83")
async def test_own_process_is_authorised_and_told_in_the_log(stranger: Client) -> None:
    logs.set_up(Logs(level="info"))
    with capture_logs() as written:
        status, _ = await stranger.over_socket().json("GET", "/api/admin/health")
    (told,) = (each for each in written if each["event"] == "request_allowed")
    assert (status, told["tier"], told["client"], told["security_level"]) == (
        200,
        "authorised_socket",
        f"process {os.getpid()}",
        "high",
    )


@pytest.mark.seed("S2.20", "S2.97", "S2.99")
async def test_stranger_is_told_in_the_log(stranger: Client) -> None:
    logs.set_up(Logs(level="info"))
    with capture_logs() as written:
        await stranger.get("/api/admin/health")
    assert [(each["event"], each["log_level"], each["outcome"]) for each in written] == [
        ("request_refused", "warning", "401")
    ]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("allowed", [False, True])
async def test_process_of_another_user_is_shut_out_unless_allowed(
    tmp_path: Path, short_folder: Path, allowed: bool
) -> None:
    path = tmp_path / "labtrawl.sqlite"
    await asyncio.to_thread(migrate, path)
    os.chmod(short_folder, 0o755)  # noqa: PTH101
    door = short_folder / "open.sock"
    with socket.socket() as web, socket.socket(socket.AF_UNIX) as local:
        web.bind(("127.0.0.1", 0))
        web.listen()
        local.bind(str(door))
        local.listen()
        os.chmod(door, 0o777)  # noqa: PTH101
        async with open_store(path) as store:
            around = Surroundings(base_url="http://127.0.0.1:1", data_dir=tmp_path)
            stopping = asyncio.Event()
            users = frozenset({NOBODY}) if allowed else frozenset()
            serving = asyncio.create_task(
                serve(build(site_of(store, around)), web, stopping, local=LocalDoor(local, users))
            )
            said = await asked_by(NOBODY, door)
            stopping.set()
            await serving
    assert (said[:12] == b"HTTP/1.1 200") == allowed
    assert bool(said) == allowed


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Cookie": "labtrawl=x", "X-Labtrawl-Client": "a"}, 200),
        ({"X-Forwarded-For": "10.0.0.1", "X-Request-Source": "tcp"}, 200),
        ({"Authorization": "Bearer ltw_no"}, 401),
    ],
)
async def test_headers_change_nothing_over_the_socket_but_a_bad_token_is_one(
    stranger: Client, headers: dict[str, str], status: int
) -> None:
    local = stranger.over_socket()
    assert (await local.json("GET", "/api/admin/health", None, headers))[0] == status


async def forwarded(tmp_path: Path, proxies: tuple[str, ...]) -> int:
    """Say as a proxy that somebody came over https; the status of what only a session may do."""
    path = tmp_path / "labtrawl.sqlite"
    await asyncio.to_thread(migrate, path)
    with socket.socket() as web:
        web.bind(("127.0.0.1", 0))
        web.listen()
        async with open_store(path) as store:
            around = Surroundings(base_url=f"http://127.0.0.1:{web.getsockname()[1]}")
            stopping = asyncio.Event()
            site = build(site_of(store, around))
            serving = asyncio.create_task(serve(site, web, stopping, trusted_proxies=proxies))
            client = Client(around.base_url, store, around, stopping, serving)
            headers = {"X-Forwarded-For": "unix", "X-Forwarded-Proto": "https"}
            status = await client.status("GET", "/api/admin/health", headers)
            stopping.set()
            await serving
            await client.close()
            return status


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1",)])
async def test_proxy_makes_nobody_more_trusted(tmp_path: Path, proxies: tuple[str, ...]) -> None:
    assert await forwarded(tmp_path, proxies) == 401
