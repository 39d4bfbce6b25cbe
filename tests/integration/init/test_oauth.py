"""`labtrawl init --oauth` against the look-alike: the browser's part is played by the test."""

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from labtrawl.config import load
from labtrawl.sandbox import Application, Options, Server, World, build_world, running
from labtrawl.store.secrets import account_place, client_secret_place, key_path, open_cipher
from tests.integration.init.program import ALLOW, Ended
from tests.integration.sandbox.caller import Caller

SECRET = "CANARY-client-secret"


@pytest.fixture(scope="module")
def world() -> World:
    return build_world("small", 1, {}, [])


@pytest.fixture
def redirect_uri() -> str:
    """A free port that is registered as the redirect URI."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}/callback"


@contextlib.asynccontextmanager
async def gitlab(world: World, redirect_uri: str) -> AsyncIterator[Server]:
    applications = (
        Application(client_id="public", redirect_uris=(redirect_uri,)),
        Application(client_id="confidential", redirect_uris=(redirect_uri,), secret=SECRET),
    )
    async with running(world, Options(applications=applications)) as server:
        yield server


class Browser:
    """The program and the user who opens what it shows."""

    def __init__(self, folder: Path, server: Server, *arguments: str) -> None:
        self._folder = folder
        self._arguments = ("--url", server.url, "--oauth", *arguments)
        self.out = ""

    async def __aenter__(self) -> "Browser":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LABTRAWL_")}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-m", "labtrawl", "init", *self._arguments),
            cwd=self._folder,
            env=environment | {"COLUMNS": "200"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()

    async def shown(self) -> str:
        """Return the address that the program asks to open."""
        assert self.process.stdout is not None
        while "Waiting for the answer" not in self.out:
            line = await self.process.stdout.readline()
            assert line, (await self.process.communicate())[1]
            self.out += line.decode()
        found = re.search(r"http\S+/oauth/authorize\S+", self.out)
        assert found is not None
        return found[0]

    async def ended(self) -> Ended:
        out, err = await self.process.communicate()
        self.out += out.decode()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, self.out, err.decode())


async def open_page(url: str) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(url)
    async with Caller(f"{parts.scheme}://{parts.netloc}") as caller:
        answer = await caller.call("GET", f"{parts.path}?{parts.query}")
    return answer.status, answer.headers, answer.body.decode()


async def allow(url: str, username: str) -> str:
    """Say yes on GitLab's page; return where it sends the browser."""
    return (await open_page(f"{url}&sandbox_user={username}"))[1]["location"]


async def sign_in(folder: Path, server: Server, world: World, *arguments: str) -> Ended:
    async with Browser(folder, server, *arguments) as browser:
        back = await allow(await browser.shown(), world.accounts[0].username)
        assert (await open_page(back))[0] == 200
        return await browser.ended()


def stored(folder: Path) -> list[tuple[str, str, str]]:
    """Decrypt what the file holds: application's secret, access token, refresh token."""
    settings = load(folder / "labtrawl.toml", {}, {})
    cipher = open_cipher(key_path(settings.data_dir))
    (instance,) = settings.instances
    found = []
    for account in settings.accounts:
        places = (
            (instance.client_secret, client_secret_place(instance.url)),
            (account.token, account_place(instance.url, account.user_id)),
            (account.refresh_token, account_place(instance.url, account.user_id, "refresh_token")),
        )
        found.append(tuple(cipher.decrypt(t, p).reveal() if t else "" for t, p in places))
    return found  # type: ignore[return-value]


async def test_sign_in_with_a_public_application_writes_an_encrypted_pair(
    tmp_path: Path, world: World, redirect_uri: str
) -> None:
    async with gitlab(world, redirect_uri) as server:
        flags = ("--client-id", "public", "--redirect-uri", redirect_uri, *ALLOW)
        ended = await sign_in(tmp_path, server, world, *flags)
        assert (ended.code, ended.err) == (0, "")
        ((secret, token, refresh_token),) = stored(tmp_path)
        text = (tmp_path / "labtrawl.toml").read_text()
        assert (secret, token in text + ended.out, refresh_token in text + ended.out) == (
            "",
            False,
            False,
        )
        (account,) = load(tmp_path / "labtrawl.toml", {}, {}).accounts
        assert account.user_id == world.accounts[0].user_id
        assert account.expires_at > 1_700_000_000_000
        async with Caller(server.url, token) as caller:
            assert (await caller.call("GET", "/api/v4/user")).status == 200


async def test_second_sign_in_of_the_same_user_takes_the_place_of_the_first(
    tmp_path: Path, world: World, redirect_uri: str
) -> None:
    async with gitlab(world, redirect_uri) as server:
        (tmp_path / "secret").write_text(SECRET + "\n")
        flags = ("--client-id", "confidential", "--redirect-uri", redirect_uri, *ALLOW)
        first = await sign_in(
            tmp_path, server, world, *flags, "--client-secret-file", str(tmp_path / "secret")
        )
        assert (first.code, first.err) == (0, "")
        with (tmp_path / "labtrawl.toml").open("a") as file:
            file.write("\n# mine, to be kept\n[website]\nport = 0\n")
        (before,) = stored(tmp_path)
        before_text = (tmp_path / "labtrawl.toml").read_text()
        # The application is taken from the file, and the addresses that are allowed too.
        second = await sign_in(tmp_path, server, world, "--add")
        assert (second.code, second.err) == (0, "")
        (after,) = stored(tmp_path)
        assert after[0] == before[0] == SECRET
        assert after[1:] != before[1:]
        lines = (tmp_path / "labtrawl.toml").read_text().splitlines()
        changed = [b for a, b in zip(before_text.splitlines(), lines, strict=True) if a != b]
        assert [each.split(" = ")[0] for each in changed] == [
            "token",
            "refresh_token",
            "expires_at",
        ]


async def test_answer_that_is_not_this_sign_ins_changes_nothing_and_the_right_one_still_counts(
    tmp_path: Path, world: World, redirect_uri: str
) -> None:
    async with gitlab(world, redirect_uri) as server:
        flags = ("--client-id", "public", "--redirect-uri", redirect_uri, *ALLOW)
        async with Browser(tmp_path, server, *flags) as browser:
            back = await allow(await browser.shown(), world.accounts[0].username)
            foreign = re.sub(r"state=[^&]+", "state=other", back)
            statuses = [
                (await open_page(each))[0]
                for each in (
                    foreign,
                    re.sub(r"[?&]state=[^&]+", "", back),
                    f"{back}&iss=https://evil.example",
                    f"{redirect_uri.removesuffix('callback')}other?{urlsplit(back).query}",
                )
            ]
            assert statuses == [400, 400, 400, 404]
            async with Caller(server.url) as caller:
                told = (await caller.call("GET", "/-/sandbox/oauth")).json
            assert told["token_requests"] == {}
            assert (await open_page(back))[0] == 200
            assert (await browser.ended()).code == 0


async def test_user_who_says_no_is_told_so(tmp_path: Path, world: World, redirect_uri: str) -> None:
    async with gitlab(world, redirect_uri) as server:
        flags = ("--client-id", "public", "--redirect-uri", redirect_uri, *ALLOW)
        async with Browser(tmp_path, server, *flags) as browser:
            state = re.search(r"state=([^&]+)", await browser.shown())
            assert state is not None
            await open_page(f"{redirect_uri}?error=access_denied&state={state[1]}")
            ended = await browser.ended()
            assert (ended.code, ended.err) == (
                2,
                "labtrawl: GitLab did not sign you in (access_denied): try again\n",
            )
            assert not (tmp_path / "labtrawl.toml").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "--oauth needs --client-id: register an application in GitLab"),
        (("--client-id", "x", "--token-file", "-"), "--oauth and --token-file exclude each other"),
        (
            ("--client-id", "public", "--redirect-uri", "https://example.org/x"),
            "the redirect URI must be on this machine",
        ),
        (("--client-id", "x", "--client-secret-file", "none"), "cannot be read"),
    ],
)
async def test_wrong_flags_are_told_in_one_sentence(
    tmp_path: Path, world: World, redirect_uri: str, flags: tuple[str, ...], said: str
) -> None:
    async with gitlab(world, redirect_uri) as server:
        async with Browser(tmp_path, server, *flags, *ALLOW) as browser:
            ended = await browser.ended()
        assert (ended.code, said in ended.err, ended.err.count("\n")) == (2, True, 1)


async def test_gitlab_that_calls_itself_otherwise_gets_no_code(
    tmp_path: Path, world: World, redirect_uri: str
) -> None:
    options = Options(external_url="https://other.example.org")
    async with running(world, options) as server:
        async with Browser(tmp_path, server, "--client-id", "labtrawl-public", *ALLOW) as browser:
            ended = await browser.ended()
        assert ended.code == 2
        assert "calls itself https://other.example.org: give that as the URL" in ended.err
