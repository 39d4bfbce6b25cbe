"""`labtrawl start` with an account that signed in: renewed, restarted, and under a new key meanwhile."""

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labtrawl.config import load
from labtrawl.sandbox import Application, Options, Server, World, build_world, running
from labtrawl.store.keyring import key_states
from labtrawl.store.secrets import key_path
from tests.integration.init.program import ALLOW
from tests.integration.init.test_oauth import sign_in
from tests.integration.sandbox.caller import Caller
from tests.integration.supervisor.commands import SETTINGS, Folder, Terminal

LIFE_SECONDS = 2


@contextlib.asynccontextmanager
async def gitlab(world: World) -> AsyncIterator[tuple[Server, str]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        redirect_uri = f"http://127.0.0.1:{found.getsockname()[1]}/callback"
    application = Application(client_id="labtrawl", redirect_uris=(redirect_uri,))
    options = Options(applications=(application,), expires_in=LIFE_SECONDS)
    async with running(world, options) as server:
        yield server, redirect_uri


async def started(folder: Folder) -> Terminal:
    terminal = await folder.open("start")
    await terminal.until("account_verified")
    await terminal.until("token_renewed")
    return terminal


@pytest.mark.seed("S1.15", "S1.18")
async def test_account_stays_signed_in_over_renewals_a_new_key_and_restarts(tmp_path: Path) -> None:
    world = build_world("small", 1, {}, [])
    async with gitlab(world) as (server, redirect_uri):
        flags = ("--client-id", "labtrawl", "--redirect-uri", redirect_uri, *ALLOW)
        ended = await sign_in(tmp_path, server, world, *flags, "--data-dir", str(tmp_path / "data"))
        assert (ended.code, ended.err) == (0, "")
        (tmp_path / "accounts.toml").write_text((tmp_path / "labtrawl.toml").read_text())
        folder = Folder(tmp_path, "")
        folder.set(SETTINGS)
        try:
            first = await started(folder)
            code, lines = await folder.run("keys", "rotate")
            assert (code, "in the database" in "".join(lines)) == (0, True)
            await first.until("token_renewed")
            first.interrupt()
            assert await first.end() == 0
            # The pair of the settings is long dead: the database has a newer one of this sign-in.
            second = await started(folder)
            second.interrupt()
            assert await second.end() == 0
            lines = first.lines + second.lines
            assert not [each for each in lines if "not_verified" in each or "not_renewed" in each]
        finally:
            await folder.close()
        states = [each.state for each in key_states(key_path(tmp_path / "data"))]
        assert states == ["current", "retired"]
        async with Caller(server.url) as caller:
            told = (await caller.call("GET", "/-/sandbox/oauth")).json["token_requests"]
        assert set(told) == {"authorization_code 200", "refresh_token 200"}
        assert load(tmp_path / "labtrawl.toml", {}, {}).accounts[0].refresh_token
