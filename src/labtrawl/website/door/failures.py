"""What went wrong, in plain words: a page for people, the same as JSON for programs."""

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from labtrawl import logs
from labtrawl.errors import (
    BadMessage,
    ConfigError,
    Conflict,
    DiskFull,
    LabtrawlError,
    LeaseLost,
    MessageTooLarge,
    Missing,
    StoreError,
)
from labtrawl.website.access import API
from labtrawl.website.door import head
from labtrawl.website.door.callers import NotYours
from labtrawl.website.parts.render import Renderer

log = logs.get("website")


Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail: the status, a word for programs, and what people read."""

    status: int
    code: str
    title: str
    message: str


KNOWN = {
    each.status: each
    for each in (
        Failure(400, "bad_request", "That request makes no sense", "Go back and try again."),
        Failure(
            401,
            "not_signed_in",
            "Please sign in",
            "You are not signed in, or your session has ended.",
        ),
        Failure(
            403,
            "forbidden",
            "Not from there",
            "This was refused because it did not come from a page of this site."
            " Open the page here and try again.",
        ),
        Failure(404, "not_found", "Nothing here", "There is no such page, or it is gone."),
        Failure(
            405,
            "method_not_allowed",
            "Not like that",
            "This address is there, but cannot be used in this way.",
        ),
        Failure(
            413, "too_large", "Too much", "More was sent than this page takes. Nothing was done."
        ),
        Failure(
            415,
            "not_json",
            "JSON only",
            "Send JSON, with the header Content-Type: application/json. Nothing was done.",
        ),
        Failure(
            422,
            "invalid",
            "That address is not quite right",
            "A part of the address or of the form has a value that is not understood.",
        ),
        Failure(
            429,
            "too_many_tries",
            "Too many tries",
            "That was tried too often. Wait a moment, then try once more.",
        ),
        Failure(
            500,
            "internal",
            "Something broke on our side",
            "It is written down in the log. Try again; nothing was lost.",
        ),
        Failure(
            503,
            "store",
            "The database does not answer",
            "Nothing was done. Send the same again in a moment; the log says more.",
        ),
    )
}


def known(status: int, message: str = "") -> Failure:
    """Return the failure of a status, with a message of its own where there is one."""
    failure = KNOWN.get(status) or Failure(status, f"http_{status}", f"Error {status}", "")
    return Failure(status, failure.code, failure.title, message or failure.message)


WHO_ARE_YOU = (
    "Nobody knows who asks: come over the local socket, sign in, or send a token that is still good"
    " (Authorization: Bearer …)."
)

# What these say was written here for who asks; others carry the framework's words.
TOLD = frozenset({400})

# The first that fits counts: the more special before its base.
STATUSES: tuple[tuple[type[LabtrawlError], int, str], ...] = (
    (BadMessage, 422, "That is not understood"),
    (MessageTooLarge, 413, "Too much"),
    (Missing, 404, "Nothing here"),
    (NotYours, 403, "Not for you"),
    (LeaseLost, 409, "That is not yours any more"),
    (Conflict, 409, "That is not possible now"),
    (ConfigError, 409, "That is not possible now"),
    (DiskFull, 507, "The disk is full"),
)


def failure_of(error: LabtrawlError) -> Failure:
    """Return how an error of ours is told, whatever room it came from; 500 where that is no use."""
    for kind, status, title in STATUSES:
        if isinstance(error, kind):
            code = KNOWN[404].code if kind is Missing else error.reason
            return Failure(status, code, title, str(error))
    return known(500)


def wants_json(request: HTTPConnection) -> bool:
    """Say whether the asker is a program: of the API, or it takes JSON and speaks of no HTML."""
    if request.scope["path"].startswith(API):
        return True
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def _wanted(request: HTTPConnection) -> str:
    """Return the page that was asked for, to go on there after a sign-in; "" for an action."""
    if request.scope.get("method") != "GET":
        return ""
    url = request.url
    return f"{url.path}?{url.query}" if url.query else url.path


def _was_form(request: HTTPConnection) -> bool:
    """Say whether something was sent that a person may have written."""
    return request.scope.get("method") == "POST" and request.scope["path"] != "/sign-out"


class Failures:
    """Answers for everything that went wrong."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def answer(self, request: HTTPConnection, failure: Failure, error_id: str = "") -> Response:
        """Return the page or its JSON twin."""
        if wants_json(request):
            is_door = request.scope["path"].startswith(API) and failure == KNOWN[401]
            message = WHO_ARE_YOU if is_door else failure.message
            words = {"code": failure.code, "message": message}
            error = {**words, "id": error_id} if error_id else words
            return JSONResponse({"error": error}, failure.status)
        values = {"wanted": _wanted(request), "was_form": _was_form(request)}
        page = self._renderer.page("error.html", failure=failure, error_id=error_id, **values)
        return HTMLResponse(page, failure.status)

    def unexpected(self, request: HTTPConnection, error: Exception) -> Response:
        """Write down a fault of ours under an id, and tell the asker that id alone."""
        error_id = secrets.token_hex(4)
        log.error("request_failed", error_id=error_id, path=request.url.path, exc_info=error)
        is_api = request.scope["path"].startswith(API)
        status = 503 if is_api and isinstance(error, StoreError) else 500
        return self.answer(request, known(status), error_id)

    def of(self, request: HTTPConnection, error: Exception) -> Response:
        """Return the answer to an error: its sentence where it has one for the asker."""
        failure = failure_of(error) if isinstance(error, LabtrawlError) else known(500)
        if failure.status == 500:
            return self.unexpected(request, error)
        return self.answer(request, failure)

    def handlers(self) -> dict[int | type[Exception], Handler]:
        """Return FastAPI's exception handlers."""

        async def http(request: Request, error: HTTPException) -> Response:
            said = error.detail if error.status_code in TOLD else ""
            response = self.answer(request, known(error.status_code, said))
            response.headers.update(error.headers or {})
            if error.status_code == 405:
                # The framework knows the methods of the first route that has this path.
                response.headers["Allow"] = ", ".join(head.methods(request.app, request.scope))
            return response

        async def invalid(request: Request, error: RequestValidationError) -> Response:
            fields = ", ".join(sorted({str(each["loc"][-1]) for each in error.errors()}))
            message = f"{KNOWN[422].message} It is this: {fields}."
            return self.answer(request, known(422, message))

        async def refused(request: Request, error: LabtrawlError) -> Response:
            return self.of(request, error)

        async def unforeseen(_request: Request, error: Exception) -> Response:
            # The framework would answer in its own words; the guard, the last door, has ours.
            raise error

        return {
            Exception: unforeseen,
            HTTPException: http,
            RequestValidationError: invalid,
            LabtrawlError: refused,
        }
