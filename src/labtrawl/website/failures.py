"""What went wrong, in plain words: a page for people, the same as JSON for programs."""

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from labtrawl import logs
from labtrawl.errors import Conflict, LabtrawlError, Missing
from labtrawl.website.render import Renderer

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
            422,
            "invalid",
            "That address is not quite right",
            "A part of the address or of the form has a value that is not understood.",
        ),
        Failure(
            500,
            "internal",
            "Something broke on our side",
            "It is written down in the log. Try again; nothing was lost.",
        ),
    )
}


def known(status: int, message: str = "") -> Failure:
    """Return the failure of a status, with a message of its own where there is one."""
    failure = KNOWN.get(status) or Failure(status, f"http_{status}", f"Error {status}", "")
    return Failure(status, failure.code, failure.title, message or failure.message)


def wants_json(request: Request) -> bool:
    """Say whether the asker is a program: it accepts JSON and does not speak of HTML."""
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


class Failures:
    """Answers for everything that went wrong."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def answer(self, request: Request, failure: Failure, error_id: str = "") -> Response:
        """Return the page or its JSON twin."""
        if wants_json(request):
            words = {"code": failure.code, "message": failure.message}
            error = {**words, "id": error_id} if error_id else words
            return JSONResponse({"error": error}, failure.status)
        page = self._renderer.page("error.html", failure=failure, error_id=error_id)
        return HTMLResponse(page, failure.status)

    def unexpected(self, request: Request, error: Exception) -> Response:
        """Write down a fault of ours under an id, and tell the asker that id alone."""
        error_id = secrets.token_hex(4)
        log.error("request_failed", error_id=error_id, path=request.url.path, exc_info=error)
        return self.answer(request, known(500), error_id)

    def handlers(self) -> dict[int | type[Exception], Handler]:
        """Return FastAPI's exception handlers."""

        async def http(request: Request, error: HTTPException) -> Response:
            response = self.answer(request, known(error.status_code))
            response.headers.update(error.headers or {})
            return response

        async def invalid(request: Request, error: RequestValidationError) -> Response:
            fields = ", ".join(sorted({str(each["loc"][-1]) for each in error.errors()}))
            message = f"{KNOWN[422].message} It is this: {fields}."
            return self.answer(request, known(422, message))

        async def refused(request: Request, error: LabtrawlError) -> Response:
            if isinstance(error, Missing):
                return self.answer(request, known(404, str(error)))
            if isinstance(error, Conflict):
                failure = Failure(409, "conflict", "That is not possible now", str(error))
                return self.answer(request, failure)
            return self.unexpected(request, error)

        return {
            HTTPException: http,
            RequestValidationError: invalid,
            LabtrawlError: refused,
        }
