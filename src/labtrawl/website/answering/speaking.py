"""What all doors of the API share: JSON in, JSON out, and the way to the handlers."""

import re
from typing import Any, TypeVar

import msgspec
from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from labtrawl.errors import BadMessage, LabtrawlError, Missing
from labtrawl.protocol.exchange import Reply
from labtrawl.protocol.messages import PROTOCOL, Envelope
from labtrawl.website.answering.desk import Desk
from labtrawl.website.door.callers import NotYours, Visitor, visitor_of

T = TypeVar("T")

LARGEST_BODY = 1 << 20
DEEPEST = 32
FIRST_DIALECT = "/api/internal/"

# Never goes back, and a text without an end is one too: else it would cost its length squared.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def is_too_deep(body: bytes) -> bool:
    """Say whether JSON is nested deeper than 32 levels; each round takes one level away."""
    brackets = _STRING.sub(b"", body).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


async def body_of(request: Request) -> bytes:
    """Return a body that is JSON; 415 for another type, 413 over 1 MiB, 400 where it is too deep."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(413)
    if kind != "application/json" and (body or kind):
        raise HTTPException(415)
    if is_too_deep(body):
        raise HTTPException(400, f"The JSON is no whole text, or deeper than {DEEPEST} levels.")
    return body


async def asked(request: Request, wanted: type[T]) -> T:
    """Return a body as what it has to be; BadMessage says what is wrong with it."""
    return read(await body_of(request), wanted)


def read(body: bytes, wanted: type[T]) -> T:
    """Return JSON as what it has to be; BadMessage says what is wrong with it."""
    try:
        return msgspec.json.decode(body, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"the body has another shape: {error}") from error


def answer(told: object, status: int = 200) -> Response:
    """Return anything that msgspec can write as JSON."""
    return Response(msgspec.json.encode(told), status, media_type="application/json")


def task_number(task_id: str) -> int:
    """Return a job's number; Missing for what can be none."""
    if not (task_id.isascii() and task_id.isdecimal() and len(task_id) <= 18):
        raise Missing(f"there is no job {task_id[:64]!r}")
    return int(task_id)


def crawler_of(request: Request) -> str:
    """Return which crawler asks; NotYours where nobody has proved to be one."""
    visitor = visitor_of(request)
    if visitor.crawler is None:
        raise NotYours(
            "only a crawler may do this: POST /api/internal2/connect with its token, then name"
            " it in the header X-Labtrawl-Client"
        )
    return visitor.crawler


def _dialect(request: Request) -> int:
    is_first = request.scope["path"].startswith(FIRST_DIALECT)
    return 1 if is_first and "idempotency-key" not in request.headers else PROTOCOL


def envelope_of(
    desk: Desk, visitor: Visitor, type_: str, key: str, payload: bytes, **more: Any
) -> Envelope:
    """Return a message as if it had come over the socket."""
    return Envelope(
        origin=visitor.caller(PROTOCOL).name,
        destination=desk.site.name,
        type=type_,
        key=key,
        payload=msgspec.Raw(payload),
        timestamp=desk.site.clock.now_ms(),
        **more,
    )


async def exchange(desk: Desk, request: Request, type_: str, key: str, payload: bytes) -> Reply:
    """Hand a message to the handlers; its id is the Idempotency-Key. LabtrawlError as they raise."""
    visitor = visitor_of(request)
    message_id = request.headers.get("idempotency-key") or None
    envelope = envelope_of(desk, visitor, type_, key, payload, id=message_id)
    reply = await desk.site.exchange(visitor.caller(_dialect(request)), envelope)
    if reply is None:
        raise LabtrawlError(f"{key} has no answer")
    return reply


async def exchanged(desk: Desk, request: Request, type_: str, key: str, payload: bytes) -> Response:
    """Do as `exchange` and send what the handlers answer."""
    reply = await exchange(desk, request, type_, key, payload)
    return Response(bytes(reply.payload), media_type="application/json")
