"""gidgetlab over httpx: 16 tasks over its page iterator."""

import asyncio

import httpx
from gidgetlab.httpx import GitLabAPI
from lists import LISTS, PROJECTS, Rows, Wanted, wanted

TASKS = 16


async def work(
    server: GitLabAPI, asked: Wanted, rows: Rows, queue: asyncio.Queue[tuple[str, int, object]]
) -> None:
    while True:
        name, project, key = await queue.get()
        one = LISTS[name]
        query = "&".join(filter(None, (one.query, "per_page=100")))
        path = f"/projects/{project}/{one.path.format(key=key)}?{query}"
        below = asked.below(name)
        async for row in server.getiter(path):
            rows.write(name, [row])
            for child in below:
                queue.put_nowait((child, project, row[LISTS[child].key]))
        queue.task_done()


async def main() -> None:
    asked = wanted()
    rows = Rows(asked)
    queue: asyncio.Queue[tuple[str, int, object]] = asyncio.Queue()
    limits = httpx.Limits(max_connections=TASKS)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        server = GitLabAPI(client, "bench", access_token=asked.token, url=asked.url)
        async for project in server.getiter(f"/projects?{PROJECTS}&per_page=100"):
            for name in asked.flat:
                queue.put_nowait((name, project["id"], ""))
        workers = [asyncio.create_task(work(server, asked, rows, queue)) for _ in range(TASKS)]
        done = asyncio.create_task(queue.join())
        await asyncio.wait([done, *workers], return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if worker.done():
                worker.result()  # it ends by an error only: gidgetlab gives up at a 429
            worker.cancel()
    rows.close()


asyncio.run(main())
