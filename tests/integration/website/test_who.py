"""Every route with every identity: the whole table of who may do what, written out."""

import asyncio
from collections.abc import Mapping

import pytest

from labtrawl.store.engine import Connection
from labtrawl.store.sessions import Role
from labtrawl.website.access import AUDIENCE
from tests.integration.website import world
from tests.integration.website.conftest import Client

pytestmark = pytest.mark.long

# n: nobody, A and B: participants, o: operator, a: admin, e: a session that has expired,
# c, d and r: API tokens of the scopes crawler, admin and read, s: the authorised socket
WHO = "nABoaecdrs"
ALL = WHO
PAGE, SESSION, COMMAND = "oa", "ABoa", "ads"
READ, CRAWL, SELF, TASK, TASK_READ = "adrs", "acs", "cs", "acds", "acdrs"

TASKS = "/api/internal2/tasks"
TABLE = {
    ("GET", "/livez"): ALL,
    ("GET", "/readyz"): ALL,
    ("GET", "/sign-in"): ALL,
    ("POST", "/sign-in"): ALL,
    ("POST", "/sign-in/gitlab/{place}"): ALL,
    ("GET", "/sign-in/gitlab/{place}/answer"): ALL,
    ("POST", "/sign-in/token"): ALL,
    ("GET", "/static/{name:path}"): ALL,
    ("POST", "/sign-out"): SESSION,
    ("POST", "/about/stop"): ALL,
    ("GET", "/insights/{insight}/parquet"): PAGE,
    ("GET", "/operations/new"): PAGE,
    ("GET", "/live"): SESSION,
    ("GET", "/streams"): SESSION,
    ("GET", "/supervisor/live"): PAGE,
    ("GET", "/crawlers/live"): PAGE,
    ("GET", "/logs/live"): PAGE,
    ("GET", "/logs/download"): PAGE,
    ("GET", "/audit/download"): PAGE,
    ("GET", "/api/internal/jobs/open"): TASK_READ,
    ("POST", "/api/internal/jobs/progress"): CRAWL,
    ("POST", "/api/internal/refresh-token"): CRAWL,
    ("GET", "/api/internal2/health"): TASK_READ,
    ("POST", "/api/internal2/connect"): SELF,
    ("POST", "/api/internal2/heartbeat"): SELF,
    ("POST", "/api/internal2/budget"): SELF,
    ("GET", TASKS): TASK_READ,
    ("POST", TASKS): TASK,
    ("GET", TASKS + "/{task_id}"): TASK_READ,
    ("PUT", TASKS + "/{task_id}"): TASK,
    ("DELETE", TASKS + "/{task_id}"): TASK,
    ("GET", TASKS + "/{task_id}/progress"): TASK_READ,
    ("POST", TASKS + "/{task_id}/progress"): CRAWL,
    ("POST", TASKS + "/{task_id}/discovered"): CRAWL,
    ("POST", TASKS + "/{task_id}/manifest"): SELF,
    ("WEBSOCKET", TASKS + "/{task_id}/websocket"): TASK_READ,
    ("GET", "/api/admin/crawler"): READ,
    ("POST", "/api/admin/crawler"): COMMAND,
    ("POST", "/api/admin/ledger/refill"): COMMAND,
    ("GET", "/api/admin/statistics"): READ,
    ("GET", "/api/admin/health"): READ,
    ("GET", "/api/openapi.json"): READ,
}

# Each of these is there twice: for people, and below /api/v1 for programs that speak for them.
TWINS = {
    ("GET", "/"): PAGE,
    ("GET", "/consent-text"): ALL,
    ("GET", "/me/consent"): SESSION,
    ("POST", "/me/consent/agree"): SESSION,
    ("POST", "/me/consent/withdraw"): SESSION,
    ("GET", "/consents"): PAGE,
    ("POST", "/consents"): "a",
    ("GET", "/statistics"): PAGE,
    ("GET", "/insights"): PAGE,
    ("GET", "/jobs"): PAGE,
    ("GET", "/jobs/{job_id}"): PAGE,
    ("POST", "/jobs/{job_id}/retry"): PAGE,
    ("POST", "/jobs/{job_id}/pause"): PAGE,
    ("POST", "/jobs/{job_id}/resume"): PAGE,
    ("POST", "/jobs/{job_id}/priority"): PAGE,
    ("GET", "/operations"): PAGE,
    ("POST", "/operations"): PAGE,
    ("GET", "/operations/{operation_id}"): PAGE,
    ("POST", "/operations/{operation_id}/stop"): PAGE,
    ("GET", "/areas"): PAGE,
    ("GET", "/areas/{area_id}"): PAGE,
    ("POST", "/areas/{area_id}/refill"): PAGE,
    ("GET", "/coverage"): PAGE,
    ("POST", "/coverage/refill"): PAGE,
    ("GET", "/settings"): PAGE,
    ("POST", "/settings/apply"): "a",
    ("POST", "/settings/{setting}"): "a",
    ("GET", "/supervisor"): PAGE,
    ("POST", "/supervisor/restart"): "a",
    ("GET", "/crawlers"): PAGE,
    ("POST", "/crawlers/order"): PAGE,
    ("GET", "/logs"): PAGE,
    ("GET", "/audit"): PAGE,
    ("POST", "/audit/check"): PAGE,
    ("GET", "/accounts"): PAGE,
    ("POST", "/accounts/{account_id}/verify"): "a",
    ("POST", "/accounts/{account_id}/switch"): "a",
    ("POST", "/accounts/{account_id}/remove"): "a",
    ("GET", "/health"): PAGE,
    ("GET", "/backups"): PAGE,
    ("POST", "/backups/make"): "a",
    ("GET", "/notices"): PAGE,
    ("POST", "/notices/test"): "a",
    ("POST", "/notices/stop-requests/{number}"): PAGE,
    ("GET", "/about"): ALL,
    ("GET", "/me"): SESSION,
    ("GET", "/me/areas/{area_id}"): SESSION,
    ("POST", "/me/areas/{area_id}/choice"): SESSION,
    ("GET", "/me/records"): SESSION,
    ("GET", "/me/records/{place}"): SESSION,
    ("GET", "/me/download"): SESSION,
    ("POST", "/me/download"): SESSION,
    ("GET", "/me/account"): SESSION,
    ("POST", "/me/account/sessions/{session_id}/end"): SESSION,
    ("POST", "/me/account/sessions/end-others"): SESSION,
    ("POST", "/me/account/disconnect"): "AB",
    ("GET", "/sessions"): "a",
    ("POST", "/sessions/{session_id}/end"): "a",
    ("GET", "/areas/{area_id}/records"): PAGE,
    ("GET", "/areas/{area_id}/records/{place}"): PAGE,
}


def twin(method: str, path: str) -> str:
    return "/api/v1" + ("/overview" if path == "/" else path)


def programs(method: str, allowed: str) -> str:
    """Who uses a twin: whom its page lets in, and tokens and the socket where that is no person."""
    if allowed not in {PAGE, "a"}:
        return allowed
    return allowed + "ds" + ("r" if method == "GET" and allowed == PAGE else "")


TABLE |= TWINS
TABLE |= {
    (method, twin(method, path)): programs(method, allowed)
    for (method, path), allowed in TWINS.items()
}

PLACES = {"{job_id}": "1", "{area_id}": "1", "{task_id}": "1", "{name:path}": "app.css"}
PLACES |= {"{account_id}": "1", "{number}": "1"}
PLACES |= {"{session_id}": "999", "{setting}": "crawler.count", "{place}": "1-issues-1.1.0.0"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def filled(path: str) -> str:
    for name, value in PLACES.items():
        path = path.replace(name, value)
    return path + ("?view=page" if path == "/live" else "")


def expected(who: str, allowed: str) -> str:
    if who in allowed:
        return "in"
    return "401" if who in "ne" else "403"


async def outcome(client: Client, method: str, path: str) -> str:
    """How the guard decides; what a route makes of an empty body is its own affair."""
    headers = {"Origin": client.url, "Content-Type": "application/json"}
    if method == "WEBSOCKET":
        status = await client.status("GET", filled(path), headers | UPGRADE)
    elif path.endswith("/live"):
        status = await client.status(method, filled(path), headers)
    else:
        reply = await client.ask(method, filled(path), headers)
        if path == "/" and reply.headers.get("location") == "/me":
            return "403"  # a participant is not let in, but led to the pages of participants
        if reply.status == 403 and '"not_a_crawler"' in reply.text:
            return "in"  # let in by the guard: the socket without a crawler's proof
        status = reply.status
    return str(status) if status in {401, 403} else "in"


async def everybody(stranger: Client) -> Mapping[str, Client]:
    first, second = await stranger.write(
        lambda c: [world.participant(c, number) for number in (101, 102)]
    )
    expired = await stranger.session()
    await stranger.write(lambda c: c.exec_driver_sql("UPDATE session SET expires_at = 1"))
    return {
        "n": stranger,
        "A": stranger.by(cookie=await stranger.session(Role.PARTICIPANT, first)),
        "B": stranger.by(cookie=await stranger.session(Role.PARTICIPANT, second)),
        "o": stranger.by(cookie=await stranger.session(Role.OPERATOR)),
        "a": stranger.by(cookie=await stranger.session()),
        "e": stranger.by(cookie=expired),
        "c": stranger.by(bearer=await stranger.token("crawler")),
        "d": stranger.by(bearer=await stranger.token("admin")),
        "r": stranger.by(bearer=await stranger.token("read")),
        "s": stranger.over_socket(),
    }


def test_table_names_every_route() -> None:
    assert sorted(TABLE) == sorted(AUDIENCE)


@pytest.mark.seed("S2.29", "S2.31", "S2.33", "S2.34", "S2.35", "S2.36", "S2.37", "S2.82", "S2.114")
async def test_every_route_lets_in_whom_the_table_says(stranger: Client) -> None:
    await stranger.write(world.one_job)
    known = await everybody(stranger)
    found = {}
    last = ("POST", "/sign-out")
    for pair in [*(each for each in TABLE if each != last), last]:
        found[pair] = dict(
            zip(
                WHO,
                await asyncio.gather(*(outcome(known[who], *pair) for who in WHO)),
                strict=True,
            )
        )
    assert found == {
        pair: {who: expected(who, allowed) for who in WHO} for pair, allowed in TABLE.items()
    }


INTERNAL = (
    {"X-Request-Source": "unix"},
    {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=unix"},
    {"X-Socket-Request": "true", "X-Labtrawl-Peer": "0", "labtrawl.peer": "0"},
    {"X-Labtrawl-Client": "crawler-1", "X-Client-Id": "crawler-1"},
    {"X-Original-URL": "/livez", "X-Rewrite-URL": "/livez"},
    {"Authorization": "Bearer "},
    {"Authorization": "Basic YWRtaW46YWRtaW4="},
    {"Authorization": "Bearer ltw_00000000_" + "A" * 43},
    {"Cookie": "labtrawl=1; admin=true"},
)


@pytest.mark.seed("S2.32", "S2.98")
async def test_header_opens_nothing_over_tcp(stranger: Client) -> None:
    own = {"Origin": stranger.url, "Content-Type": "application/json"}
    closed = [
        (method, path)
        for (method, path), allowed in TABLE.items()
        if allowed != ALL and method != "WEBSOCKET"
    ]
    found = {
        (next(iter(headers)), number, *pair): await stranger.status(
            pair[0], filled(pair[1]), own | headers
        )
        for number, headers in enumerate(INTERNAL)
        for pair in closed
    }
    assert {asked: status for asked, status in found.items() if status != 401} == {}
    assert len(found) == len(INTERNAL) * len(closed)


BESIDE = (
    "/api/admin/crawler/livez",
    "/api/admin/health/../../livez",
    "/livez/../api/admin/health",
    "/livez%2f..%2fapi/admin/health",
    "/livez;x/api/admin/health",
    "/api/admin/health;/livez",
    "/api/admin/health%3b.css",
    "/api/admin/health?/livez",
    "/api/admin/health%00/livez",
    "/API/admin/health",
    "//api/admin/health",
    "/api//admin/health",
    "/api/admin/health/",
    "/api/internal2/health",
    "/api/internal2/tasks/1/websocket",
)


async def test_path_beside_an_exempt_one_stays_closed(stranger: Client) -> None:
    found = {path: await stranger.status("GET", path, {}) for path in BESIDE}
    assert found == dict.fromkeys(BESIDE, 401)


async def test_path_below_the_shipped_files_finds_no_api(stranger: Client) -> None:
    assert await stranger.status("GET", "/static%2f..%2fapi/admin/health", {}) == 404


async def test_socket_asked_from_elsewhere_is_refused(stranger: Client) -> None:
    """A browser sends the session cookie with a WebSocket of any page (Prefect CVE-2026-7723)."""
    await stranger.write(world.one_job)
    await stranger.sign_in()
    path = TASKS + "/1/websocket"
    foreign = [
        await stranger.status("GET", path, UPGRADE | headers)
        for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"})
    ]
    own = await stranger.status("GET", path, UPGRADE | {"Origin": stranger.url})
    assert (foreign, own) == ([403, 403, 403], 101)


CHANGING = [
    pair for pair, who in TABLE.items() if pair[0] in {"POST", "PUT", "DELETE"} and "a" in who
]


async def test_change_from_elsewhere_is_refused(admin: Client) -> None:
    kinds = (
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json", "Origin": "https://evil.example"},
        {"Content-Type": "text/plain", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-site"},
    )
    found = {
        (method, path): [
            await admin.status(method, filled(path), headers, "{}") for headers in kinds
        ]
        for method, path in CHANGING
    }
    assert found == dict.fromkeys(CHANGING, [403] * 4)


def everything(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table but those that say who was here."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    names = set(connection.exec_driver_sql(query).scalars()) - {"audit", "session", "api_token"}
    return {
        name: sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {name}").all()))
        for name in names
    }


async def test_looking_changes_nothing(stranger: Client) -> None:
    await stranger.write(world.one_job)
    known = await everybody(stranger)
    before = await stranger.store.read(everything)
    for method, path in TABLE:
        if method == "GET":
            for who in "acs":
                await outcome(known[who], method, path)
    assert await stranger.store.read(everything) == before


CANARY = "glpat-canaryCanaryCanary"


async def test_fault_in_any_door_tells_an_id_and_nothing_else(
    stranger: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a fault that nobody foresaw")

    stranger.store.read = broken  # type: ignore[method-assign, assignment]
    local = stranger.over_socket()
    doors = [
        pair
        for pair, who in TABLE.items()
        if pair[1].startswith("/api/") and "s" in who and pair[0] in {"GET", "POST"}
    ]
    body = {
        "action": "status",
        "areaId": 1,
        "command": CANARY,
        "taskId": "1",
        "jobs": [],
        "epoch": 1,
    }
    found = {}
    for method, path in doors:
        sent = body if method == "POST" else None
        status, told = await local.json(method, filled(path), sent)
        assert CANARY not in str(told)
        if status == 500:
            found[method, path] = (told["error"]["code"], len(told["error"]["id"]))
    assert len(found) >= 8
    assert set(found.values()) == {("internal", 8)}
    assert CANARY not in capsys.readouterr().err
