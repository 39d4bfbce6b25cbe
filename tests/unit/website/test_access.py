"""Default deny: a route that does not say who may use it stops the build."""

import pytest
from fastapi import FastAPI

from labtrawl.website import access


def app_with(*pairs: tuple[str, str]) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for method, path in pairs:
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


def test_check_with_public_behind_the_guard_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(access.AUDIENCE, ("GET", "/jobs"), access.Audience.PUBLIC)
    with pytest.raises(LookupError, match="guard thinks otherwise"):
        access.check(app_with(*access.AUDIENCE))


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("/livez", True),
        ("/livez/", False),
        ("/static/a.css", True),
        ("/static", False),
        ("/", False),
    ],
)
def test_public_paths_are_exact(path: str, public: bool) -> None:
    assert access.is_public(path) == public
