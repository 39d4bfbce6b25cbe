"""The other ends of `bench.ipc`: aiohttp and gRPC with the same message and the same effect."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from labtrawl.protocol import messages as wire
from labtrawl.protocol.ids import MessageIds

WINDOW = 64
# As many jobs as ten crawlers have under way at once.
JOBS = 80
TOKEN = "token-of-the-bench"
Call = Callable[[int], Awaitable[object]]
Client = Callable[[Path], contextlib.AbstractAsyncContextManager[Call]]
Serve = Callable[[Path, Callable[[Path], Awaitable[dict[str, float]]]], Awaitable[dict[str, float]]]


def state(job_id: int, epoch: int, number: int) -> wire.ProgressUpdate:
    """About 320 bytes on the wire, as the crawlers send them."""
    return wire.ProgressUpdate(
        task_id=str(job_id),
        epoch=epoch,
        status="processing",
        timestamp=1_760_000_000_000 + number,
        processed_items=number,
        total_items=100_000,
        current_data_type="issues",
        stage="page 17 of 250",
        message="lab/ocean",
        requests=number,
    )


class Effects:
    """What a peer's server does with a message: known sender, once, the latest of each job."""

    def __init__(self) -> None:
        self._applied: dict[str, str] = {}
        self._latest: dict[str, wire.ProgressUpdate] = {}

    def apply(self, token: str, body: bytes) -> bytes:
        """Return the encoded answer."""
        if not secrets.compare_digest(token, TOKEN):
            raise PermissionError
        envelope = msgspec.json.decode(body, type=wire.Envelope)
        update = msgspec.json.decode(envelope.payload, type=wire.ProgressUpdate)
        message_id = str(envelope.id)
        if message_id > self._applied.get(envelope.origin, ""):
            self._applied[envelope.origin] = message_id
            self._latest[update.task_id] = update
        return msgspec.json.encode(wire.Ack(ids=[message_id]))


class Bodies:
    """What a peer's client sends: the same envelope with the same payload."""

    def __init__(self) -> None:
        self._ids = MessageIds(lambda: time.time_ns() // 1_000_000, secrets.randbits)

    def body(self, number: int) -> bytes:
        payload = msgspec.json.encode(state(1 + number % JOBS, 1, number))
        return msgspec.json.encode(
            wire.Envelope(
                origin="crawler-1",
                destination="copilot-study",
                type="progressUpdate",
                key="PROGRESS_UPDATE",
                payload=msgspec.Raw(payload),
                timestamp=time.time_ns() // 1_000_000,
                id=self._ids(),
            )
        )


async def serve_aiohttp(
    folder: Path, run: Callable[[Path], Awaitable[dict[str, float]]]
) -> dict[str, float]:
    from aiohttp import web

    effects = Effects()

    async def take(request: web.Request) -> web.Response:
        answer = effects.apply(request.headers["Authorization"], await request.read())
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/internal/jobs/progress", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "s")).start()
    try:
        return await run(folder / "s")
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def call_aiohttp(path: Path) -> AsyncIterator[Call]:
    import aiohttp

    bodies = Bodies()
    headers = {"Authorization": TOKEN, "Content-Type": "application/json"}
    connector = aiohttp.UnixConnector(str(path), limit=WINDOW)
    async with aiohttp.ClientSession("http://x", connector=connector, headers=headers) as session:

        async def call(number: int) -> object:
            body = bodies.body(number)
            async with session.post("/api/internal/jobs/progress", data=body) as response:
                return msgspec.json.decode(await response.read(), type=wire.Ack)

        yield call


async def serve_grpc(
    folder: Path, run: Callable[[Path], Awaitable[dict[str, float]]]
) -> dict[str, float]:
    import grpc

    effects = Effects()

    async def take(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        told = dict(context.invocation_metadata())
        return effects.apply(told["authorization"], body)

    # Bytes as they are: no generated code, nothing that gRPC would have to pack.
    method = grpc.unary_unary_rpc_method_handler(take)
    server = grpc.aio.server()
    handlers = grpc.method_handlers_generic_handler("labtrawl.Jobs", {"Progress": method})
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"unix:{folder / 's'}")
    await server.start()
    try:
        return await run(folder / "s")
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def call_grpc(path: Path) -> AsyncIterator[Call]:
    import grpc

    bodies = Bodies()
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        ask = channel.unary_unary("/labtrawl.Jobs/Progress")

        async def call(number: int) -> object:
            answer = await ask(bodies.body(number), metadata=(("authorization", TOKEN),))
            return msgspec.json.decode(answer, type=wire.Ack)

        yield call
