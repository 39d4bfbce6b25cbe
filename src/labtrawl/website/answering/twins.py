"""Pages and their JSON twins: one reading, one right, told twice.

For the pages. A page `/areas` answers people; `/api/v1/areas` tells programs the same, from the same
function. An action is a form for people (303 to the next page), a JSON body for programs.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_origin
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from labtrawl.errors import BadMessage
from labtrawl.website.access import twin_of
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import answer, asked
from labtrawl.website.parts.asking import form_body


@dataclass(frozen=True, slots=True)
class Shown:
    """A page: `told` is what programs get and the template has by this name, `values` its others.

    `live` is the address of the page's stream.
    """

    template: str
    told: Any
    live: str = ""
    status: int = 200
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """An action that was carried out: where people go next, and what programs are told of it."""

    next: str
    told: Any
    status: int = 200


@dataclass(frozen=True, slots=True)
class Described:
    """What a twin is for, what it takes and gives, for the OpenAPI description."""

    summary: str
    gives: Any
    takes: Any = None


KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY

Reader = Callable[..., Awaitable[Shown | Response]]
Doer = Callable[..., Awaitable[Done]]


def described(app: FastAPI) -> dict[tuple[str, str], Described]:
    """Return every twin of the app by (method, path); those to come are added here."""
    known: dict[tuple[str, str], Described] | None = getattr(app.state, "twins", None)
    if known is None:
        known = app.state.twins = {}
    return known


def page(
    app: FastAPI, desk: Desk, path: str, gives: Any, summary: str
) -> Callable[[Reader], Reader]:
    """Serve what a function reads as the page `path` and as its twin; `gives` is the type told.

    The function may answer with a Response of its own, such as a redirect: both send it.
    """
    twin = twin_of("GET", path)
    described(app)["GET", twin] = Described(summary, gives)

    def add(read: Reader) -> Reader:
        @functools.wraps(read)
        async def as_page(*args: Any, **given: Any) -> Response:
            shown = await read(*args, **given)
            if isinstance(shown, Response):
                return shown
            return desk.page(
                shown.template,
                live=shown.live,
                status=shown.status,
                told=shown.told,
                **shown.values,
            )

        @functools.wraps(read)
        async def as_json(*args: Any, **given: Any) -> Response:
            shown = await read(*args, **given)
            return shown if isinstance(shown, Response) else answer(shown.told, shown.status)

        app.get(path, response_model=None)(as_page)
        app.get(twin, response_model=None)(as_json)
        return read

    return add


def action(
    app: FastAPI, path: str, takes: type[msgspec.Struct] | None, gives: Any, summary: str
) -> Callable[[Doer], Doer]:
    """Serve what a function does as a form's target and as its twin.

    The function may take the `Request` by the name `request`; where `takes` is a type it gets `wanted`,
    the fields of the form, or the JSON body, as that type. Every field of a form is a text; the
    type says what it has to be. BadMessage (422) where it is not.
    """
    twin = twin_of("POST", path)
    described(app)["POST", twin] = Described(summary, gives, takes)

    def add(do: Doer) -> Doer:
        parameters = inspect.signature(do).parameters

        async def run(given: dict[str, Any], read: Callable[..., Awaitable[Any]]) -> Done:
            request = given["request"] if "request" in parameters else given.pop("request")
            wanted = {} if takes is None else {"wanted": await read(request, takes)}
            return await do(**wanted, **given)

        async def as_form(**given: Any) -> Response:
            return RedirectResponse((await run(given, _form)).next, 303)

        async def as_json(**given: Any) -> Response:
            done = await run(given, asked)
            return answer(done.told, done.status)

        for route, each in ((path, as_form), (twin, as_json)):
            app.post(route, response_model=None)(_like(do, each))
        return do

    return add


def _like(do: Doer, run: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Show the framework the parameters of `do`: without `wanted`, which is read here."""
    signature = inspect.signature(do)
    shown = {name: each for name, each in signature.parameters.items() if name != "wanted"}
    shown["request"] = inspect.Parameter("request", KEYWORD_ONLY, annotation=Request)
    run.__name__ = do.__name__
    kept = [each.replace(kind=KEYWORD_ONLY) for each in shown.values()]
    run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return run


async def _form(request: Request, takes: type[msgspec.Struct]) -> msgspec.Struct:
    """Return the fields of a form as what they have to be; a field of many values is a list."""
    body = await form_body(request)
    found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    many = {
        each.encode_name
        for each in msgspec.structs.fields(takes)
        if get_origin(each.type) in {list, tuple}
    }
    fields = {name: values if name in many else values[0] for name, values in found.items()}
    try:
        return msgspec.convert(fields, takes, strict=False)
    except msgspec.ValidationError as error:
        raise BadMessage(f"a field of the form is not understood: {error}") from error
