"""Whether everything is right: for a crawler in short, for an admin check by check with advice."""

import asyncio
import shutil
import stat
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

from labtrawl.errors import LabtrawlError
from labtrawl.protocol.messages import PROTOCOL
from labtrawl.store.migrate import is_newest
from labtrawl.store.secrets import key_path, open_cipher
from labtrawl.website.api.shapes import Check, DoorHealth, Health
from labtrawl.website.api.speaking import answer
from labtrawl.website.desk import Desk
from labtrawl.website.pages.health import database_answers

# Less than this and a full disk is near.
ROOM_BYTES = 512 * 1024 * 1024


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal2/health and /api/admin/health."""

    @app.get("/api/internal2/health")
    async def of_the_door() -> Response:
        database = await database_answers(desk)
        healthy = database and desk.site.ready()
        told = DoorHealth(
            healthy=healthy,
            database=database,
            protocol=PROTOCOL,
            server_time=desk.site.clock.now_ms(),
            heartbeat_interval_ms=int(desk.site.heartbeat_seconds * 1000),
        )
        return answer(told, 200 if healthy else 503)

    @app.get("/api/admin/health")
    async def whole() -> Response:
        return answer(await health_of(desk))


async def health_of(desk: Desk) -> Health:
    """Look at everything that has to be right."""
    checks = [
        _check("database", await database_answers(desk), "look at the website's log"),
        await _migrations(desk),
        *await asyncio.to_thread(_of_the_machine, desk),
        await _crawlers(desk),
        _accounts(desk),
    ]
    return Health(healthy=all(check.ok for check in checks), checks=checks)


def _check(name: str, ok: bool, advice: str) -> Check:
    return Check(name=name, ok=ok, advice="" if ok else advice)


async def _migrations(desk: Desk) -> Check:
    try:
        newest = await desk.site.store.read(is_newest)
    except LabtrawlError:
        newest = False
    advice = "the database is of another version; restart labtrawl, which brings it up to date"
    return _check("migrations", newest, advice)


def _of_the_machine(desk: Desk) -> list[Check]:
    return [_disk(desk.site.data_dir), _sockets(desk), _keys(desk.site.data_dir)]


def _disk(data_dir: Path) -> Check:
    free = shutil.disk_usage(data_dir).free
    advice = f"{free // 2**20} MiB are free; free some space: jobs wait when there is none"
    return _check("disk", free >= ROOM_BYTES, advice)


def _sockets(desk: Desk) -> Check:
    missing = [str(path) for path in desk.site.sockets.values() if not _is_socket(path)]
    advice = f"there is no socket at {', '.join(missing)}; labtrawl stop, then start makes it"
    return _check("sockets", not missing, advice)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _keys(data_dir: Path) -> Check:
    try:
        open_cipher(key_path(data_dir))
    except LabtrawlError as error:
        return _check("keys", ok=False, advice=str(error))
    return _check("keys", ok=True, advice="")


async def _crawlers(desk: Desk) -> Check:
    clients = await desk.site.crawling.clients()
    advice = "no crawler is there; `labtrawl status` says why, `labtrawl start crawler` starts one"
    return _check("crawlers", bool(clients), advice)


def _accounts(desk: Desk) -> Check:
    problems = list(desk.site.problems())
    return _check("accounts", not problems, "; ".join(problems))
