"""`labtrawl` commands as processes in a folder with a GitLab look-alike, as in several terminals."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from labtrawl.cli.settings_file import Access, Draft
from labtrawl.config import Instance
from labtrawl.domain.credential import Secret
from labtrawl.sandbox import build_world
from labtrawl.sandbox.serve import running

SECONDS = 40.0
SETTINGS = """
[website]
port = 0
[logs]
format = "json"
"""


@dataclass
class Terminal:
    """A running command and what it wrote so far; both of its streams in one."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def until(self, event: str, **keys: str) -> dict[str, object]:
        """Read up to an event; a text that the value of a key must hold is enough."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            async for line in self.process.stdout:
                self.lines.append(line.decode())
                found: dict[str, object] = json.loads(line) if line.startswith(b"{") else {}
                if found.get("event") == event and all(
                    text in str(found.get(key)) for key, text in keys.items()
                ):
                    return found
        raise AssertionError(f"no {event} in {self.lines}")

    async def line(self) -> str:
        """Read one more line, of whatever form."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            line = (await self.process.stdout.readline()).decode()
        assert line, f"it ended: {self.lines}"
        self.lines.append(line)
        return line

    async def end(self) -> int:
        """Wait for its end, having read all that it wrote."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            self.lines += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()

    def interrupt(self) -> None:
        """Do as Ctrl+C."""
        self.process.send_signal(signal.SIGINT)


@dataclass
class Folder:
    """A folder with labtrawl.toml, in which commands run."""

    path: Path
    token: str
    """The account's, which nobody may ever see."""
    started: list[Terminal] = field(default_factory=list)
    program: tuple[str, ...] = (sys.executable, "-m", "labtrawl")
    environment: dict[str, str] = field(default_factory=dict)
    """What commands find there beside the least."""

    @property
    def data_dir(self) -> Path:
        return self.path / "data"

    async def open(self, *arguments: str) -> Terminal:
        """Run a command and leave it running."""
        process = await asyncio.create_subprocess_exec(
            *(*self.program, *arguments),
            cwd=self.path,
            env={
                "PATH": os.environ["PATH"],
                "XDG_RUNTIME_DIR": str(self.path),
                **self.environment,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.started.append(Terminal(process))
        return self.started[-1]

    async def run(self, *arguments: str) -> tuple[int, list[str]]:
        """Run a command to its end; return its exit code and its lines."""
        terminal = await self.open(*arguments)
        return await terminal.end(), terminal.lines

    async def status(self) -> dict[str, str]:
        """Return the state of each program, as `labtrawl status` tells."""
        _code, lines = await self.run("status", "--json")
        return {each["name"]: each["state"] for each in json.loads(lines[-1])["programs"]}

    def set(self, text: str) -> None:
        """Write other settings beside the instance and the account."""
        kept = (self.path / "accounts.toml").read_text()
        (self.path / "labtrawl.toml").write_text(kept + text)

    async def close(self) -> None:
        """End whatever still runs, the supervisor in the background first."""
        self.set(SETTINGS)  # a test may have left settings that no command can read
        await self.run("stop")
        for terminal in self.started:
            if terminal.process.returncode is None:
                terminal.process.kill()
            await terminal.end()


def overview(link: str) -> str:
    """Sign in as a browser does; return the first page."""
    site, _, query = link.partition("/sign-in?")
    token = parse_qs(query)["token"][0]
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    body = urlencode({"token": token}).encode()
    request = urllib.request.Request(f"{site}/sign-in", body, {"Origin": site})
    with opener.open(request) as answer:
        text: str = answer.read().decode()
    return text


@contextlib.asynccontextmanager
async def folder_with_gitlab(path: Path, token: str = "") -> AsyncIterator[Folder]:
    """Connect a small GitLab look-alike, as `labtrawl init` does, or with a wrong token."""
    world = build_world("small", 1, {}, [])
    async with running(world) as server:
        folder = Folder(path, token or world.accounts[0].token)
        instance = Instance(name="here", url=server.url, address_allow=("127.0.0.1/32",))
        account = world.accounts[0]
        config = path / "labtrawl.toml"
        draft = Draft(config, folder.data_dir, "", instance, None, account.username, 0)
        draft.write(Access(Secret(token or account.token)), overwrite=False)
        config.rename(path / "accounts.toml")
        config.touch(mode=0o600)
        folder.set(SETTINGS)
        try:
            yield folder
        finally:
            await folder.close()
