"""Whether the site lives and is ready, for whoever watches it; and the files it ships."""

from collections.abc import Mapping

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from labtrawl.website.answering.desk import Desk
from labtrawl.website.care.looking import database_answers
from labtrawl.website.parts.assets import Asset


def add(app: FastAPI, desk: Desk, assets: Mapping[str, Asset]) -> None:
    """Add /livez, /readyz and /static/."""

    @app.get("/livez")
    async def livez() -> JSONResponse:
        return JSONResponse({"alive": True})

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        checks = {"database": await database_answers(desk.site), "programs": desk.site.ready()}
        ready = all(checks.values())
        return JSONResponse({"ready": ready, **checks}, 200 if ready else 503)

    @app.get("/static/{name:path}")
    async def static(request: Request, name: str) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise HTTPException(404)
        return _serve(request, asset)


def _serve(request: Request, asset: Asset) -> Response:
    etag = f'"{asset.version}"'
    # The address names the content: what is cached can never be stale.
    is_named = request.query_params.get("v") == asset.version
    age = "public, max-age=31536000, immutable" if is_named else "no-cache"
    headers = {"ETag": etag, "Cache-Control": age, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
