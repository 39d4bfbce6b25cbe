"""`labtrawl admin link`: with a website that runs, without one, and without data."""

import asyncio
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from click.testing import CliRunner, Result

from labtrawl.cli.admin import admin
from labtrawl.errors import ConfigError
from labtrawl.store.engine import database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import create_key_file, key_path
from labtrawl.store.sessions import LinkState, use_link


def ask(data_dir: Path) -> Result:
    return CliRunner().invoke(admin, ["link", "--data-dir", str(data_dir)])


def announce(data_dir: Path, url: str) -> None:
    migrate(database_path(data_dir))
    create_key_file(key_path(data_dir))
    (data_dir / "config" / "website.json").write_bytes(msgspec.json.encode({"url": url}))


async def link_state(data_dir: Path, link: str) -> LinkState:
    token = link.partition("token=")[2]
    async with open_store(database_path(data_dir)) as store:
        return await store.write(lambda connection: use_link(connection, token))


async def test_admin_link_while_the_site_runs_prints_its_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        await asyncio.to_thread(announce, tmp_path, url)
        result = await asyncio.to_thread(ask, tmp_path)
    assert (result.exit_code, result.stderr) == (0, "It signs in once, within 15 minutes.\n")
    assert re.fullmatch(rf"{url}/sign-in\?token=[\w-]{{43}}\n", result.stdout)
    assert await link_state(tmp_path, result.stdout.strip()) is LinkState.FRESH


async def test_admin_link_while_the_site_is_down_says_so(tmp_path: Path) -> None:
    await asyncio.to_thread(announce, tmp_path, "http://127.0.0.1:1")
    result = await asyncio.to_thread(ask, tmp_path)
    assert "The website is not running" in result.stderr
    assert urlsplit(result.stdout).path == "/sign-in"
    assert await link_state(tmp_path, result.stdout.strip()) is LinkState.FRESH


def test_admin_link_without_data_creates_nothing(tmp_path: Path) -> None:
    result = ask(tmp_path)
    assert isinstance(result.exception, ConfigError)
    assert "labtrawl start" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
