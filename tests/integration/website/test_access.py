"""Who gets in, by which way, and what every response carries."""

import json
import re

import pytest
from structlog.testing import capture_logs

from labtrawl.store.sessions import IDLE_SECONDS, SESSION_SECONDS
from labtrawl.website.door.security import HEADERS
from tests.integration.website import world
from tests.integration.website.conftest import Client


async def test_response_carries_the_headers(stranger: Client) -> None:
    for path in ("/", "/livez", "/nothing", "/static/app.css", "/sign-in"):
        reply = await stranger.get(path)
        sent = {name: reply.headers.get(name.lower()) for name in HEADERS}
        assert (path, sent) == (path, HEADERS)


async def statuses(client: Client, *paths: str) -> dict[str, int]:
    return {path: (await client.get(path)).status for path in paths}


async def test_path_near_an_exempt_one_needs_a_session(stranger: Client) -> None:
    paths = ("//jobs", "/JOBS", "/jobs/", "/livez/", "/sign-in/x", "/staticx", "/%2e/jobs")
    assert await statuses(stranger, *paths) == dict.fromkeys(paths, 401)


async def test_static_path_that_leaves_the_folder_is_not_found(stranger: Client) -> None:
    paths = ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/")
    assert await statuses(stranger, *paths) == dict.fromkeys(paths, 404)


async def test_sign_in_by_link_gives_a_session_once(stranger: Client) -> None:
    token = await stranger.link()
    shown = [(await stranger.get(f"/sign-in?token={token}")).status for _ in range(2)]
    first = await stranger.post("/sign-in", f"token={token}")
    second = await stranger.post("/sign-in", f"token={token}")
    cookie = first.headers["set-cookie"]
    stranger.cookie = cookie.split(";")[0]
    assert shown == [200, 200]
    assert (first.status, first.headers["location"], second.status) == (303, "/", 410)
    assert {"httponly", "samesite=lax", "path=/"} <= set(cookie.lower().split("; "))
    assert (await stranger.get("/")).status == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE admin_link SET expires_at = 1", "too old"),
        ("UPDATE admin_link SET used_at = 1", "used already"),
        ("DELETE FROM admin_link", "not known here"),
    ],
)
async def test_link_that_is_no_good_says_so(stranger: Client, change: str, words: str) -> None:
    token = await stranger.link()
    await stranger.write(lambda connection: connection.exec_driver_sql(change))
    page = await stranger.get(f"/sign-in?token={token}")
    done = await stranger.post("/sign-in", f"token={token}")
    assert (page.status, words in page.text, "labtrawl admin link" in page.text) == (
        410,
        True,
        True,
    )
    assert (done.status, "set-cookie" in done.headers) == (410, False)


async def test_post_from_elsewhere_is_refused(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    ways: tuple[dict[str, str], ...] = (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    )
    replies = [await admin.ask("POST", f"/jobs/{job_id}/retry", headers) for headers in ways]
    assert [reply.status for reply in replies] == [403] * 5


async def test_post_with_our_origin_passes(admin: Client) -> None:
    reply = await admin.ask("POST", "/sign-out", {"Origin": admin.url})
    assert (reply.status, reply.headers["location"]) == (303, "/sign-in")
    assert (await admin.get("/")).status == 401


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE session SET seen_at = seen_at - {IDLE_SECONDS * 1000}",
        f"UPDATE session SET expires_at = expires_at - {SESSION_SECONDS * 1000}",
        "UPDATE session SET revoked_at = 1",
        "DELETE FROM session",
    ],
)
@pytest.mark.seed("S2.43")
async def test_session_that_has_ended_is_refused(admin: Client, change: str) -> None:
    assert (await admin.get("/")).status == 200
    await admin.write(lambda connection: connection.exec_driver_sql(change))
    assert (await admin.get("/")).status == 401


async def test_session_in_use_is_kept_awake(admin: Client) -> None:
    almost = f"UPDATE session SET seen_at = seen_at - {IDLE_SECONDS * 1000 - 9000}"
    await admin.write(lambda connection: connection.exec_driver_sql(almost))
    await admin.get("/")
    await admin.write(lambda connection: connection.exec_driver_sql(almost))
    assert (await admin.get("/")).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/me", {"X-Labtrawl-Unattended": "1"}),
        ("/live?view=page", {}),
        ("/crawlers/live", {}),
        ("/streams?watch=1~~/live%3Fview%3Dpage", {}),
    ],
)
async def test_page_that_nobody_touches_keeps_no_session_awake(
    admin: Client, path: str, headers: dict[str, str]
) -> None:
    async def seen_at() -> int:
        query = "SELECT MAX(seen_at) FROM session"
        return int(await admin.write(lambda c: c.exec_driver_sql(query).scalar_one()))

    await admin.write(lambda c: c.exec_driver_sql("UPDATE session SET seen_at = seen_at - 600000"))
    before = await seen_at()
    assert await admin.status("GET", path, headers) == 200
    assert await seen_at() == before
    assert await admin.status("GET", "/me", {}) == 200
    assert await seen_at() > before


async def test_database_holds_no_token(stranger: Client) -> None:
    token = await stranger.link()
    query = "SELECT token_sha256 FROM admin_link"
    kept = await stranger.write(lambda c: c.exec_driver_sql(query).scalars().all())
    assert [(len(each), token in each) for each in kept] == [(64, False)]


FAILURES = {
    ("GET", "/nothing"): (404, "not_found"),
    ("GET", "/jobs/99"): (404, "not_found"),
    ("GET", "/areas/99"): (404, "not_found"),
    ("DELETE", "/jobs"): (405, "method_not_allowed"),
    ("GET", "/jobs?state=asleep"): (422, "invalid"),
    ("GET", "/jobs/0"): (422, "invalid"),
    ("GET", f"/jobs/{2**63}"): (422, "invalid"),
    ("GET", "/areas?after=x"): (422, "invalid"),
    ("GET", "/live?view=jobs&ids=1;2"): (422, "invalid"),
    ("POST", "/jobs/99/retry"): (404, "not_found"),
}


async def test_failure_has_a_page_and_a_json_twin(admin: Client) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    found = {}
    for method, path in FAILURES:
        page = await admin.ask(method, path, own)
        twin = await admin.ask(method, path, own | {"Accept": "application/json"})
        assert page.status == twin.status, path
        assert re.search("<h1>[^<]+</h1>", page.text), path
        found[method, path] = (twin.status, json.loads(twin.text)["error"]["code"])
    assert found == FAILURES


HOSTILE = (
    "/jobs?area=%00%ff%ed%a0%80",
    "/jobs?area=" + "x" * 255,
    "/jobs?after=5&before=5",
    "/jobs?state=&resource=&kind=&area=&after=",
    "/areas?after=&before=&kind=",
    "/areas?after=5:%00/%27--&path=%25_%5c",
    "/coverage?before=0:",
    "/sign-in?token=%00%ff",
    "/live?view=job&since=9223372036854775807&job=9223372036854775808",
    "/jobs?resource='--",
    "/jobs/1e3",
    "/areas/-1",
)


async def test_hostile_query_is_answered_in_plain_words(admin: Client) -> None:
    found = await statuses(admin, *HOSTILE)
    assert {path: code for path, code in found.items() if code not in {200, 410, 422}} == {}


async def test_fault_of_ours_shows_an_id_and_no_traceback(admin: Client) -> None:
    await admin.write(lambda connection: connection.exec_driver_sql("DROP TABLE ledger"))
    with capture_logs() as written:
        reply = await admin.get("/coverage")
        twin = await admin.get("/coverage", Accept="application/json")
    error = json.loads(twin.text)["error"]
    assert (reply.status, error["code"], len(error["id"])) == (500, "internal", 8)
    assert "Traceback" not in reply.text
    assert "ledger" not in reply.text
    assert [each["event"] for each in written] == ["request_failed"] * 2
    assert written[1]["error_id"] == error["id"]


async def test_body_over_the_limit_is_refused(stranger: Client) -> None:
    assert (await stranger.post("/sign-in", "token=" + "x" * 20_000)).status == 413


@pytest.mark.seed("S2.106")
async def test_health_follows_what_the_site_is_told(stranger: Client) -> None:
    before = await stranger.get("/readyz")
    stranger.around.ready = False
    after = await stranger.get("/readyz")
    assert json.loads(before.text) == {"ready": True, "database": True, "programs": True}
    assert (after.status, json.loads(after.text)["programs"]) == (503, False)
    assert (await stranger.get("/livez")).status == 200


async def test_asset_with_its_version_is_kept_by_browsers(stranger: Client) -> None:
    page = await stranger.get("/sign-in")
    (address,) = re.findall(r'href="(/static/app\.css\?v=[0-9a-f]+)"', page.text)
    named = await stranger.get(address, Accept_Encoding="gzip")
    plain = await stranger.get("/static/app.css")
    again = await stranger.get("/static/app.css", If_None_Match=plain.headers["etag"])
    assert named.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert named.headers["content-encoding"] == "gzip"
    assert (plain.headers["cache-control"], again.status) == ("no-cache", 304)
