"""Troubleshooting of a start: each trouble is caused, and its hint found in log, status or page."""

import asyncio
import json
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labtrawl.supervisor.listeners import bind_unix
from tests.integration.supervisor.commands import Folder, folder_with_gitlab, overview


@pytest.fixture
async def place(folder: Path) -> AsyncIterator[Folder]:
    async with folder_with_gitlab(folder) as made:
        yield made


@pytest.mark.seed("S1.34")
async def test_start_without_credentials_names_init_and_makes_nothing(place: Folder) -> None:
    (place.path / "labtrawl.toml").write_text("")
    before = sorted(place.path.rglob("*"))
    for what in ((), ("--daemon",), ("website",)):
        assert await place.run("start", *what) == (
            2,
            ["labtrawl: no GitLab is connected yet: run `labtrawl init`, then start again"],
        )
    assert sorted(place.path.rglob("*")) == before


@pytest.mark.seed("S1.34")
async def test_token_that_gitlab_refuses_is_told_in_log_status_and_page(folder: Path) -> None:
    async with folder_with_gitlab(folder, token="glpat-no-longer-valid-0") as place:
        whole = await place.open("start")
        failed = await whole.until("account_not_verified")
        refused = "GitLab refuses the token (401 Unauthorized): make one with the scope read_api"
        assert str(failed["error"]).startswith(refused)
        _code, lines = await place.run("status")
        address = lines[0].split()[2].rstrip(",")
        assert lines[2].endswith(f"waiting for credentials from the website; sign in at {address}")
        link = (await place.run("admin", "link"))[1][0]
        page = await asyncio.to_thread(overview, link)
        assert "An account is not collected now" in page
        assert f"here: {refused}" in page


@contextmanager
def trouble(folder: Path, kind: str) -> Iterator[tuple[Path, str]]:
    """A path for a socket that cannot be used, and the sentence about it."""
    path = folder / "x" / "a.sock"
    if kind == "long":
        path = folder / ("x" * 100) / "a.sock"
        size = len(str(path))
        yield path, f"makes a socket path of {size} bytes and the system allows 107; set "
        return
    path.parent.mkdir(mode=0o700)
    if kind == "open":
        path.parent.chmod(0o777)
        yield path, f"others can write in {path.parent}; run: chmod go-w '{path.parent}'"
    elif kind == "file":
        path.write_text("mine")
        yield path, f"{path} is no socket; move it away, a socket is needed there"
    elif kind == "link":
        path.symlink_to("/nowhere")
        yield path, f"{path} is a link; remove it, a socket is needed there"
    elif kind == "owner":
        bind_unix(path).close()
        os.chown(path, 65534, 65534)
        yield path, f"{path} belongs to another user; remove it or set another path"
    elif kind == "no folder":
        (folder / "y").write_text("")
        yield (
            folder / "y" / "a.sock",
            f"the folder {folder}/y cannot be made: File exists; name another one",
        )
    else:
        with bind_unix(path):
            yield path, f"another process listens on {path}; stop it or set another path"


# Only root can make a file another's.
OWNER = ("owner",) if os.getuid() == 0 else ()
KINDS = ("long", "open", "file", "link", "no folder", "live", *OWNER)
SOCKETS = ["AUTH_IPC_SOCKET_PATH", "SOCKET_PATH", "LABTRAWL_SOCKET_HTTP_PATH"]


@pytest.mark.seed("S1.35", "S2.94", "S2.95")
@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        *((variable, kind) for variable in SOCKETS[:2] for kind in KINDS),
        (SOCKETS[2], "long"),
        (SOCKETS[2], "live"),
    ],
)
async def test_socket_that_cannot_be_used_is_one_sentence_with_its_path(
    place: Folder, variable: str, kind: str
) -> None:
    with trouble(place.path, kind) as (path, sentence):
        place.environment[variable] = str(path)
        code, lines = await place.run("start")
        place.environment.clear()
    assert (code, len(lines)) == (2, 1)
    assert sentence in lines[0]
    assert (await place.run("status"))[0] == 3


@pytest.mark.parametrize("kind", ["open", "file", "link", "live", *OWNER])
async def test_folder_of_the_control_socket_that_cannot_be_used_is_one_sentence(
    place: Folder, kind: str
) -> None:
    with trouble(place.path, kind) as (path, sentence):
        if kind != "open":
            path.rename(path.with_name("control.sock"))
        place.environment["LABTRAWL_RUNTIME_DIR"] = str(path.parent)
        code, lines = await place.run("start")
        place.environment.clear()
    assert (code, len(lines)) == (2, 1)
    assert sentence.replace("a.sock", "control.sock") in lines[0]


async def test_socket_files_that_nobody_listens_on_any_more_are_replaced(place: Folder) -> None:
    folder = place.path / "x"
    paths = {variable: folder / f"{number}.sock" for number, variable in enumerate(SOCKETS)}
    every = [*paths.values(), folder / "control.sock"]
    for path in every:
        bind_unix(path).close()
    place.environment |= {variable: str(path) for variable, path in paths.items()}
    place.environment["LABTRAWL_RUNTIME_DIR"] = str(folder)
    whole = await place.open("start")
    await whole.until("program_ready", program="crawler-1")
    for path in every:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert (await place.run("stop"))[0] == 0
    assert await whole.end() == 0
    place.environment.clear()
    assert list(folder.iterdir()) == []


@pytest.mark.seed("S1.36")
async def test_log_of_the_supervisor_shows_that_credentials_came_and_never_which(
    place: Folder,
) -> None:
    whole = await place.open("start")
    received = await whole.until("credentials_received")
    assert set(received) == {"timestamp", "level", "logger", "event", "verified_at"}
    assert received["logger"] == "supervisor"
    await whole.until("program_starting", program="crawler-1")
    whole.interrupt()
    assert await whole.end() == 0


@pytest.mark.seed("S2.94")
async def test_crawler_with_another_socket_path_than_the_website_is_told_so(
    place: Folder,
) -> None:
    website = await place.open("start", "website")
    await website.until("program_ready", program="website")
    place.environment["SOCKET_PATH"] = str(place.path / "another.sock")
    assert await place.run("start", "crawler") == (
        2,
        ["labtrawl: the labtrawl that runs here has another socket; use the same one"],
    )
    place.environment.clear()
    website.interrupt()
    assert await website.end() == 0


@pytest.mark.seed("S2.32", "S2.98", "S2.99")
async def test_header_that_claims_a_socket_is_worth_nothing_and_the_answer_says_what_is(
    place: Folder,
) -> None:
    website = await place.open("start", "website")
    await website.until("program_ready", program="website")
    status = json.loads((await place.run("status", "--json"))[1][-1])
    code, said = await asyncio.to_thread(asked, f"{status['address']}/api/internal/jobs/open")
    assert code == 401
    assert re.search("come over the local socket, sign in, or send a token", said)
    log = await place.open("logs", "--json", "website")
    refused = await log.until("request_refused")
    assert (refused["logger"], refused["tier"], refused["action"], refused["outcome"]) == (
        "auth.direct-socket",
        "none",
        "GET /api/internal/jobs/open",
        "401",
    )
    website.interrupt()
    assert await website.end() == 0


def asked(url: str) -> tuple[int, str]:
    """Ask with the header by which the ancestors knew a socket."""
    headers = {"x-request-source": "unix", "x-forwarded-for": "127.0.0.1"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
