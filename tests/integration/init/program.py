"""Runs `labtrawl` as a user does, without a terminal and on one."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from labtrawl.config import load
from labtrawl.store.secrets import account_place, key_path, open_cipher
from tests.integration.http.wire import Wire
from tests.integration.init.gitlab import TOKEN

ALLOW = ("--allow-address", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


async def labtrawl(folder: Path, *arguments: str, stdin: str = "") -> Ended:
    """Run the program as a user does, without a terminal."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LABTRAWL_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "labtrawl", *arguments),
        cwd=folder,
        env=environment | {"COLUMNS": "200", "http_proxy": "http://127.0.0.1:9"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def init(folder: Path, wire: Wire, *arguments: str, path: str = "") -> Ended:
    flags = ("--url", wire.base(path=path), "--token-file", "-")
    return await labtrawl(folder, "init", *flags, *arguments, stdin=TOKEN + "\n")


def files(folder: Path) -> set[str]:
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}


def tokens(folder: Path) -> list[tuple[str, str]]:
    """What `labtrawl start` would read: (instance, token in clear)."""
    settings = load(folder / "labtrawl.toml", {}, {})
    cipher = open_cipher(key_path(settings.data_dir))
    urls = {each.name: each.url for each in settings.instances}
    return [
        (
            each.instance,
            cipher.decrypt(each.token, account_place(urls[each.instance], each.user_id)).reveal(),
        )
        for each in settings.accounts
    ]


def one_sentence(ended: Ended) -> str:
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert ended.err.startswith("labtrawl: ")
    assert ended.err.count("\n") == 1
    return ended.err.removeprefix("labtrawl: ").rstrip("\n")


class Terminal:
    """The program on a terminal of its own (pty), spoken to line by line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._arguments = arguments
        self.shown = ""

    async def __aenter__(self) -> "Terminal":
        self._fd, child = os.openpty()
        os.set_blocking(self._fd, False)
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "labtrawl", "init", *self._arguments),
            cwd=self._folder,
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb", "COLUMNS": "200"},
        )
        os.close(child)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        os.close(self._fd)

    async def sees(self, text: str) -> None:
        """Read on until the text is shown; fail when the program ends before."""
        while text not in self.shown:
            more = await self._read()
            assert more, f"{text!r} never came, but: {self.shown}"
            self.shown += more

    async def types(self, line: str) -> None:
        os.write(self._fd, line.encode() + b"\n")

    async def ends(self) -> int:
        while more := await self._read():
            self.shown += more
        return await self.process.wait()

    async def _read(self) -> str:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
            return os.read(self._fd, 65536).decode()
        except OSError:  # how Linux says that the other end is closed
            return ""
        finally:
            loop.remove_reader(self._fd)
