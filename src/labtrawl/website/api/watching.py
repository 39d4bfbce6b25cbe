"""One job, live: what changes is sent, and what a crawler says here is a message as elsewhere."""

import asyncio
from contextlib import suppress

import msgspec
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from labtrawl.errors import BadMessage, LabtrawlError
from labtrawl.protocol import messages as wire
from labtrawl.protocol.messages import PROTOCOL, Envelope
from labtrawl.store import tasks
from labtrawl.store.tasks import TaskRow
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import envelope_of, is_too_deep, read, task_number
from labtrawl.website.api.shapes import progress_told
from labtrawl.website.door.callers import Reception, Visitor, visitor_of
from labtrawl.website.live.hub import STILL_SECONDS, TICK_SECONDS

# RFC 6455, 7.4.1; 4404 and 4401 are of the range that is left to programs.
NOT_TEXT, GOING_AWAY, NO_SUCH_TASK, SIGNED_OUT = 1003, 1001, 4404, 4401
# A session or a token that has ended is good for so long here.
RECOGNISE_SECONDS = 1.0
SPEAKERS = frozenset(
    {
        "PROGRESS_UPDATE",
        "JOBS_DISCOVERED",
        "renew_leases",
        "request_budget",
        "request_manifest",
    }
)


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal2/tasks/{task_id}/websocket."""

    @app.websocket("/api/internal2/tasks/{task_id}/websocket")
    async def watch(socket: WebSocket, task_id: str) -> None:
        await socket.accept()
        try:
            job_id = task_number(task_id)
            await desk.site.store.read(lambda c: tasks.one(c, job_id))
        except LabtrawlError as error:
            await socket.close(NO_SUCH_TASK, str(error))
            return
        await _Watch(desk, socket, job_id).run()


class _Watch:
    """One open socket."""

    def __init__(self, desk: Desk, socket: WebSocket, job_id: int) -> None:
        self._desk = desk
        self._socket = socket
        self._job_id = job_id
        self._reception = Reception(desk.site)
        self._visitor: Visitor = visitor_of(socket)
        self._looked = desk.site.clock.monotonic()

    async def run(self) -> None:
        """Tell and listen until one of both ends."""
        tasks_of_it = [asyncio.create_task(self._tell()), asyncio.create_task(self._listen())]
        self._desk.hub.sockets.add(tasks_of_it[0])
        try:
            await asyncio.wait(tasks_of_it, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._desk.hub.sockets.discard(tasks_of_it[0])
            for task in tasks_of_it:
                task.cancel()
            await asyncio.gather(*tasks_of_it, return_exceptions=True)
            await self._close(GOING_AWAY)

    async def _close(self, code: int, why: str = "") -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(code, why)

    async def _tell(self) -> None:
        """Send the job whenever it has changed; at most five times a second."""
        site, sent = self._desk.site, -1
        while await self._is_welcome():
            ticket = site.store.changes.ticket()
            row = await site.store.read(lambda c: tasks.one(c, self._job_id))
            if row.change != sent:
                sent = row.change
                await self._send("message", "jobUpdate", _told(row), None)
            with suppress(TimeoutError):
                async with asyncio.timeout(STILL_SECONDS):
                    await ticket.wait()
            await site.clock.sleep(TICK_SECONDS)

    async def _is_welcome(self) -> bool:
        """Look again, now and then, who this is; close where it is nobody any more."""
        now = self._desk.site.clock.monotonic()
        if now - self._looked < RECOGNISE_SECONDS:
            return True
        again = await self._reception.recognise(self._socket)
        if (again.roles, again.crawler) != (self._visitor.roles, self._visitor.crawler):
            await self._close(SIGNED_OUT, "signed out")
            return False
        self._looked = now
        return True

    async def _listen(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if text is None:
                await self._close(NOT_TEXT, "send text, not bytes")
                return
            if not await self._is_welcome():
                return
            await self._take(text)

    async def _take(self, text: str) -> None:
        body, reply_to = text.encode(), None
        try:
            envelope = read(body, Envelope)
            reply_to = envelope.id
            self._check(body, envelope)
            caller = self._visitor.caller(PROTOCOL)
            reply = await self._desk.site.exchange(caller, envelope)
        except LabtrawlError as error:
            report = wire.ErrorReport(code=error.reason, message=str(error), reply_to=reply_to)
            await self._send("message", "ERROR", msgspec.json.encode(report), reply_to)
        else:
            if reply is not None:
                await self._send(reply.type, reply.key, bytes(reply.payload), reply_to)

    def _check(self, body: bytes, envelope: Envelope) -> None:
        """A crawler may speak here, and of this job alone."""
        if is_too_deep(body):
            raise BadMessage("the message is deeper than 32 levels")
        if self._visitor.crawler is None or envelope.key not in SPEAKERS:
            raise BadMessage(f"{envelope.key!r} is not taken here from {self._visitor.client}")
        if envelope.key in {"PROGRESS_UPDATE", "JOBS_DISCOVERED"}:
            told = read(bytes(envelope.payload), wire.Command).task_id
            if told != str(self._job_id):
                raise BadMessage(f"this is the socket of task {self._job_id}, not of {told}")

    async def _send(self, type_: str, key: str, payload: bytes, reply_to: str | None) -> None:
        envelope = envelope_of(self._desk, self._visitor, type_, key, payload, reply_to=reply_to)
        from_us = msgspec.structs.replace(
            envelope, origin=self._desk.site.name, destination=envelope.origin
        )
        await self._socket.send_text(msgspec.json.encode(from_us).decode())


def _told(row: TaskRow) -> bytes:
    return msgspec.json.encode(progress_told(row))
