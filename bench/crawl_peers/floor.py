"""The floor: labtrawl's HTTP library, 16 connections, orjson for each item, a file, nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import orjson
import uvloop
from lists import LISTS, PROJECTS, Wanted, wanted
from pyreqwest.client import Client, ClientBuilder

CONNECTIONS = 16


class Floor:
    def __init__(self, asked: Wanted, client: Client) -> None:
        self.asked = asked
        self.client = client
        self.queue: asyncio.Queue[tuple[str, int, str, int]] = asyncio.Queue()
        self.files: dict[str, BinaryIO] = {
            name: (asked.out / f"{name}.jsonl").open("wb") for name in asked.lists
        }

    async def pages(self, path: str) -> AsyncIterator[list[dict[str, Any]]]:
        following: str | None = path
        while following:
            answer = await self.client.get(following).build().send()
            yield orjson.loads(bytes(await answer.bytes()))
            following = next_path(answer.headers.get("link") or "")

    async def read(self, name: str, project: int, path: str) -> None:
        below = self.asked.below(name)
        async for rows in self.pages(path):
            for row in rows:
                self.files[name].write(orjson.dumps(row) + b"\n")
                for child in below:
                    self.put(child, project, row[LISTS[child].key])

    def put(self, name: str, project: int, key: object = "") -> None:
        one = LISTS[name]
        query = "&".join(filter(None, (one.query, "per_page=100")))
        path = f"/api/v4/projects/{project}/{one.path.format(key=key)}?{query}"
        self.queue.put_nowait((name, project, path, 0))

    async def work(self) -> None:
        while True:
            name, project, path, _ = await self.queue.get()
            await self.read(name, project, path)
            self.queue.task_done()

    async def run(self) -> None:
        async for projects in self.pages(f"/api/v4/projects?{PROJECTS}&per_page=100"):
            for project in projects:
                for name in self.asked.flat:
                    self.put(name, project["id"])
        workers = [asyncio.create_task(self.work()) for _ in range(CONNECTIONS)]
        done = asyncio.create_task(self.queue.join())
        await asyncio.wait([done, *workers], return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if worker.done():
                worker.result()
            worker.cancel()
        for file in self.files.values():
            file.close()


def next_path(link: str) -> str | None:
    for part in link.split(","):
        if 'rel="next"' in part:
            found = urlsplit(part[part.index("<") + 1 : part.index(">")])
            return f"{found.path}?{found.query}"
    return None


async def main() -> None:
    asked = wanted()
    builder = ClientBuilder().base_url(asked.url).max_connections(CONNECTIONS)
    async with builder.default_headers({"private-token": asked.token}).build() as client:
        await Floor(asked, client).run()


uvloop.run(main())
