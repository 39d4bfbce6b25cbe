"""Default deny: a route that does not say who may use it stops the build."""

import pytest
from fastapi import FastAPI

from labtrawl.website import access


def app_with(*pairs: tuple[str, str]) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for method, path in pairs:
        if method == access.WEBSOCKET:
            app.add_api_websocket_route(path, lambda: None)
        else:
            app.add_api_route(path, lambda: None, methods=[method])
    return app


def test_check_with_every_route_declared_passes() -> None:
    access.check(app_with(*access.AUDIENCE))


def test_check_with_an_undeclared_route_fails() -> None:
    with pytest.raises(LookupError, match="/secret"):
        access.check(app_with(*access.AUDIENCE, ("GET", "/secret")))


def test_check_with_a_declaration_without_route_fails() -> None:
    routes = [pair for pair in access.AUDIENCE if pair != ("GET", "/jobs")]
    with pytest.raises(LookupError, match="/jobs"):
        access.check(app_with(*routes))


def test_check_with_an_undeclared_websocket_fails() -> None:
    with pytest.raises(LookupError, match="/secret"):
        access.check(app_with(*access.AUDIENCE, (access.WEBSOCKET, "/secret")))


def test_check_with_a_route_for_nobody_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(access.AUDIENCE, ("GET", "/jobs"), frozenset())
    with pytest.raises(LookupError, match="nobody may use"):
        access.check(app_with(*access.AUDIENCE))


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/livez", "/livez"),
        ("/livez/", None),
        ("/static/a.css", "/static/{name:path}"),
        ("/static", None),
        ("/LIVEZ", None),
        ("//livez", None),
        ("/api/admin/health/livez", None),
    ],
)
def test_route_of_a_path_is_exact(path: str, route: str | None) -> None:
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    found = access.route_of(app_with(*access.AUDIENCE), scope)
    assert found == (None if route is None else ("GET", route))
