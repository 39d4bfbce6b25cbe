"""A crawler without a usable socket works over the website's HTTP forms: same messages, same ids.

Everything above the connection stays as it is: what was not acknowledged is sent again, requests
are repeated under their ids. Commands come with the next renewal. It goes back to the socket as
soon as that can be used.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.domain.credential import Secret
from labtrawl.errors import LabtrawlError, PeerGone, ProtocolError
from labtrawl.http import Answer, Http
from labtrawl.protocol.link import Link
from labtrawl.protocol.meeting import HANDSHAKE_SECONDS, DialSocket, Introduction
from labtrawl.protocol.messages import (
    Command,
    Envelope,
    ErrorReport,
    Holding,
    LeasesRenewed,
    Record,
    Registered,
    RenewedLease,
    RenewLeases,
)

log = logs.get("messaging.direct-client")

# The socket is looked at after so long, and ever later while it speaks and takes nobody in.
PROBE_SECONDS = 5.0
LONGEST_PROBE_SECONDS = 300.0
# A child may be faster than its supervisor's word about it: so often it says again who it is.
INTRODUCTIONS = 6
INTRODUCTION_SECONDS = 0.5
# What may wait for answers, the window of events and some more; a state beyond it is dropped.
MOST_UNDER_WAY = 100
# So many failures of the socket in a row, and HTTP is tried.
FAILURES = 3
TASKS = "/api/internal2/tasks"
# Answers that say nothing about the message: it is sent again on the next connection.
UNKNOWN = 401
COME_AGAIN = frozenset({UNKNOWN, 403, 429, 500, 502, 503, 504, 507})
ORDERED = {"PROGRESS_UPDATE": "progress", "JOBS_DISCOVERED": "discovered"}
OF_TASK = ORDERED | {"request_manifest": "manifest"}
FORMS = {
    "heartbeat": "/api/internal2/heartbeat",
    "request_jobs": TASKS,
    "request_budget": "/api/internal2/budget",
    "TOKEN_REFRESH_REQUEST": "/api/internal/refresh-token",
}
# Key and type of what answers a message.
ANSWERS = {
    "request_jobs": ("jobResponse", "jobs_available"),
    "request_budget": ("jobResponse", "budget_granted"),
    "request_manifest": ("jobResponse", "manifest"),
    "renew_leases": ("jobResponse", "leases_renewed"),
    "TOKEN_REFRESH_REQUEST": ("message", "TOKEN_REFRESH_RESPONSE"),
    "PROGRESS_UPDATE": ("message", "ACK"),
    "JOBS_DISCOVERED": ("message", "ACK"),
}


class _Said(msgspec.Struct, frozen=True):
    code: str = "refused"
    message: str = "the website refused it"


class _Refusal(msgspec.Struct, frozen=True):
    error: _Said = _Said()


class NotKnownYet(PeerGone):
    """The website does not know the token that it was shown."""


class HttpLine:
    """One crawler's line over HTTP: messages in, answers out; reports about one job in order."""

    reading = True

    def __init__(self, http: Http, token: Secret, name: str, listener: Link) -> None:
        self._http = http
        self._headers = {
            "authorization": f"Bearer {token.reveal()}",
            "x-labtrawl-client": name,
            "content-type": "application/json",
        }
        self._listener = listener
        self._tails: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.received_at = asyncio.get_running_loop().time()
        self.open = True

    def __repr__(self) -> str:
        return "HttpLine(…)"

    def is_writable(self) -> bool:
        """Say whether the website takes what it is sent, or lets it pile up."""
        return self.open and len(self._tasks) < MOST_UNDER_WAY

    def send(self, envelope: Envelope) -> None:
        """Send a message behind those about the same job; raises PeerGone after the end."""
        if not self.open:
            raise PeerGone("the line is closed")
        if envelope.key in ORDERED:
            job = msgspec.json.decode(envelope.payload, type=Command).task_id or ""
            task = asyncio.create_task(self._in_turn(self._tails.get(job), envelope))
            self._tails[job] = task
            task.add_done_callback(lambda done: self._forget(job, done))
        elif envelope.key in ANSWERS or envelope.key in FORMS:
            task = asyncio.create_task(self._exchange(envelope))
        else:
            return  # an ACK of a command: by HTTP there was none
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget(self, job: str, done: asyncio.Task[None]) -> None:
        if self._tails.get(job) is done:
            del self._tails[job]

    async def _in_turn(self, before: "asyncio.Task[None] | None", envelope: Envelope) -> None:
        if before is not None:
            await asyncio.wait([before])
        if self.open:
            await self._exchange(envelope)

    async def _exchange(self, envelope: Envelope) -> None:
        try:
            answer = await self._ask(envelope)
        except (LabtrawlError, msgspec.MsgspecError) as error:
            log.warning("http_failed", key=envelope.key, error=str(error))
            self.close()
            return
        self.received_at = asyncio.get_running_loop().time()
        if self.open and answer is not None:
            self._listener.message_received(answer)

    async def _ask(self, envelope: Envelope) -> Envelope | None:
        """Return the answer as a message, None for a sign of life; raises where none came."""
        if envelope.key == "renew_leases":
            return await self._renew(envelope)
        path = FORMS.get(envelope.key)
        if path is None:
            job = msgspec.json.decode(envelope.payload, type=Command).task_id
            path = f"{TASKS}/{job}/{OF_TASK[envelope.key]}"
        answer = await self._post("POST", path, bytes(envelope.payload), envelope.id)
        if answer.status >= 400:
            return _refused(envelope, answer)
        if envelope.key not in ANSWERS:
            return None
        return _answered(envelope, answer.body)

    async def _renew(self, envelope: Envelope) -> Envelope:
        held = msgspec.json.decode(envelope.payload, type=RenewLeases).leases
        renewed = await asyncio.gather(*(self._renew_one(lease) for lease in held))
        return _answered(envelope, msgspec.json.encode(LeasesRenewed(leases=renewed)))

    async def _renew_one(self, lease: Holding) -> RenewedLease:
        body = msgspec.json.encode({"epoch": lease.epoch})
        answer = await self._post("PUT", f"{TASKS}/{lease.task_id}", body, None)
        if answer.status >= 400:
            return RenewedLease(task_id=lease.task_id, lost=True)
        return msgspec.json.decode(answer.body, type=RenewedLease)

    async def _post(self, method: str, path: str, body: bytes, message_id: str | None) -> Answer:
        headers = self._headers | ({"idempotency-key": message_id} if message_id else {})
        answer = await self._http.request(method, path, headers, body)
        if answer.status in COME_AGAIN:
            kind = NotKnownYet if answer.status == UNKNOWN else PeerGone
            raise kind(f"the website answered {answer.status} to {method} {path}")
        return answer

    async def register(self, words: Introduction) -> Registered:
        """Introduce this crawler; ProtocolError where the website does not want, or is not ours."""
        register = words.registration("")
        body = msgspec.json.encode(register)
        answer = await self._post("POST", "/api/internal2/connect", body, None)
        if answer.status >= 400:
            said = msgspec.json.decode(answer.body, type=_Refusal).error.message
            raise ProtocolError(f"the website refused the connection: {said}")
        registered = msgspec.json.decode(answer.body, type=Registered)
        words.check(registered.proof, register.nonce, "", registered.client_id)
        return registered

    def close(self) -> None:
        """End the line; what is under way is cut off and will be sent again."""
        if self.open:
            self.open = False
            for task in self._tasks - {asyncio.current_task()}:
                task.cancel()
            self._listener.connection_ended()


def _answered(asked: Envelope, body: bytes) -> Envelope:
    type_, key = ANSWERS[asked.key]
    return Envelope(
        origin="copilot-study", type=type_, key=key, payload=msgspec.Raw(body), reply_to=asked.id
    )


def _refused(asked: Envelope, answer: Answer) -> Envelope:
    said = msgspec.json.decode(answer.body, type=_Refusal).error
    report: Record = ErrorReport(code=said.code, message=said.message, reply_to=asked.id)
    raw = msgspec.Raw(msgspec.json.encode(report))
    return Envelope(
        origin="copilot-study", type="message", key="ERROR", payload=raw, reply_to=asked.id
    )


@dataclass(slots=True)
class FallBack:
    """The socket where it can be used, HTTP where not; `told` hears which of them it is."""

    by_socket: DialSocket
    http: Http
    token: Secret
    clock: Clock
    told: Callable[[bool], None]
    probe_seconds: float = PROBE_SECONDS
    _failed: int = 0
    # How often the socket spoke and took nobody in, since it last did.
    _in_vain: int = 0
    _probe: "asyncio.Task[None] | None" = field(default=None)

    async def meet(self, link: Link, words: Introduction) -> Registered:
        """Try the socket; after some failures in a row the HTTP forms, and then the socket again."""
        if self._failed >= FAILURES:
            self._failed = FAILURES - 1
            return await self._by_http(link, words)
        self._failed += 1
        registered = await self.by_socket.meet(link, words)
        self._failed = self._in_vain = 0
        self.told(False)
        return registered

    async def _by_http(self, link: Link, words: Introduction) -> Registered:
        line = HttpLine(self.http, self.token, words.dialler.name, link)
        link.attach(line)
        registered = await self._introduced(line, words)
        log.warning(
            "working_over_http", because="the socket cannot be used", then="it is tried again"
        )
        self.told(True)
        self._failed = 0
        if self._probe is not None:
            self._probe.cancel()
        self._probe = asyncio.create_task(self._until_socket(link), name="socket-probe")
        return registered

    async def _introduced(self, line: HttpLine, words: Introduction) -> Registered:
        for _ in range(INTRODUCTIONS):
            with contextlib.suppress(NotKnownYet):
                return await line.register(words)
            await self.clock.sleep(INTRODUCTION_SECONDS)
        return await line.register(words)

    async def _until_socket(self, link: Link) -> None:
        """End the line as soon as somebody listens on the socket again."""
        pause = min(LONGEST_PROBE_SECONDS, self.probe_seconds * 2.0 ** min(self._in_vain, 10))
        while not link.ended.is_set():
            await self.clock.sleep(pause)
            if not link.ended.is_set() and await self._listens():
                self._in_vain += 1
                log.info("socket_is_back")
                link.close()
                return

    async def _listens(self) -> bool:
        """Say whether the website speaks on the socket."""
        probe = Link(lambda _envelope: None)
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await self.by_socket.connect(probe)
                await probe.next("challenge")
        except (OSError, TimeoutError, PeerGone):
            return False
        finally:
            probe.close()
        return True
