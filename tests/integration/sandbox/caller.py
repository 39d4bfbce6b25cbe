"""A small HTTP caller of our own: one connection, no retry, nothing hidden."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_NEXT = re.compile(r'<([^>]*)>; rel="next"')


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def next_query(self) -> str | None:
        """The query of ``Link`` rel=next; its host is never used."""
        found = _NEXT.search(self.headers.get("link", ""))
        return urlsplit(found[1]).query if found else None


class Caller:
    def __init__(self, url: str, token: str = "") -> None:
        self._host = urlsplit(url).netloc
        self._prefix = urlsplit(url).path
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> "Caller":
        host, _, port = self._host.rpartition(":")
        self._streams = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._streams
        self._streams[1].close()
        await self._streams[1].wait_closed()

    async def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        assert self._streams
        reader, writer = self._streams
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"PRIVATE-TOKEN: {self._token}"] if self._token else []
        lines += [f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        raw = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
        length = int(found.get("content-length", "0"))
        status = int(head[0].split(" ")[1])
        content = await reader.readexactly(length) if status != 304 else b""
        return Answer(status, raw, content)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.call("GET", f"/api/v4/{path}", b"", **headers)

    async def rows(self, path: str) -> list[Any] | int:
        """All rows of a list, by its ``Link`` headers; the status instead if it is refused."""
        start, rows, query = path.partition("?")[0], [], path.partition("?")[2]
        while True:
            answer = await self.get(f"{start}?{query}")
            if answer.status != 200:
                return answer.status
            rows += answer.json
            if answer.next_query is None:
                return rows
            query = answer.next_query
