"""What the website says on one connection; acknowledgements of one moment go in one message."""

import asyncio
import contextlib
from typing import Any

import msgspec

from labtrawl.dispatch.admission import Arrival
from labtrawl.dispatch.desk import Desk
from labtrawl.errors import PeerGone
from labtrawl.protocol import messages as wire
from labtrawl.protocol.connection import Connection
from labtrawl.protocol.exchange import Reply
from labtrawl.protocol.ids import MessageIds

# Characters of a refusal: it quotes the peer, whose words may be as long as a message.
MOST_WORDS = 500


class Answers:
    """Speaks the dialect of the peer, once it is known."""

    def __init__(self, connection: Connection, website: str, ids: MessageIds, desk: Desk) -> None:
        self._connection = connection
        self._website = website
        self._ids = ids
        self._desk = desk
        self._destination = wire.ANY_CRAWLER
        self._dialect = wire.PROTOCOL
        self._up_to: dict[str, str] = {}
        self._acked: list[str] = []
        self._results: dict[str, dict[str, Any]] = {}
        self._is_flush_due = False
        self._registered_by: str | None = None

    def begin(self, arrival: Arrival) -> None:
        """Speak to this peer from now on."""
        self._dialect = arrival.caller.dialect
        self._registered_by = arrival.reply_to
        first = arrival.first
        self._destination = first.origin if first is not None else arrival.name

    def registered(self, proof: str, released: list[int], heartbeat_seconds: float) -> None:
        """Say that the peer may speak, and what it holds no more."""
        answer = wire.Registered(
            client_id=self._website,
            protocol=wire.PROTOCOL,
            heartbeat_interval_ms=int(heartbeat_seconds * 1000),
            server_time=self._desk.clock.now_ms(),
            proof=proof,
            released=[str(job_id) for job_id in released],
        )
        self.send("command", "registered", answer, self._registered_by)

    def reply(self, reply: Reply, reply_to: str | None) -> None:
        """Answer a message; raises PeerGone."""
        if reply.ack is None:
            self.send(reply.type, reply.key, reply.body, reply_to)
        elif self._dialect > 1:  # the ancestors never learned to wait for one
            self._acknowledge(reply.ack)

    def acknowledge_state(self, message_id: str) -> None:
        """Keep the acknowledgement of a state until the read that brought it ends."""
        self._acked.append(message_id)

    def _acknowledge(self, ack: wire.Ack) -> None:
        """Keep an acknowledgement until the others of the same group commit are there."""
        for task_id, message_id in ack.up_to.items():
            self._up_to[task_id] = max(message_id, self._up_to.get(task_id, ""))
        self._acked += ack.ids
        self._results |= ack.results
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send the acknowledgements that wait, where there are any."""
        self._is_flush_due = False
        if not (self._up_to or self._acked or self._results):
            return
        ack = wire.Ack(up_to=self._up_to, ids=self._acked, results=self._results)
        self._up_to, self._acked, self._results = {}, [], {}
        if self._connection.open:
            self._send_now("message", "ACK", ack, None)

    def error(self, reply_to: str | None, code: str, message: str) -> None:
        """Say that a message was refused, and why."""
        report = wire.ErrorReport(code=code, message=message[:MOST_WORDS], reply_to=reply_to)
        with contextlib.suppress(PeerGone):
            self.send("message", "ERROR", report, reply_to)

    def jobs_error(self, asked: wire.Envelope, message: str) -> None:
        """Refuse a request for jobs in the words of dialect 1."""
        request_id = ""
        with contextlib.suppress(msgspec.MsgspecError):
            request_id = msgspec.json.decode(asked.payload, type=wire.RequestJobs).request_id
        body = {"error": message[:MOST_WORDS], "requestId": request_id}
        with contextlib.suppress(PeerGone):
            self.send("jobResponse", "jobs_error", body, None)

    def send(self, type_: str, key: str, body: object, reply_to: str | None) -> None:
        """Send a message behind all acknowledgements that came before it; raises PeerGone."""
        self.flush()
        self._send_now(type_, key, body, reply_to)

    def _send_now(self, type_: str, key: str, body: object, reply_to: str | None) -> None:
        is_legacy = self._dialect == 1
        self._connection.send(
            wire.Envelope(
                origin=self._website,
                destination=self._destination,
                type=type_,
                key=key,
                payload=msgspec.Raw(msgspec.json.encode(body)),
                timestamp=self._desk.clock.now_ms(),
                id=None if is_legacy else self._ids(),
                reply_to=None if is_legacy else reply_to,
            )
        )
        self._desk.statistics.sent[key] += 1
