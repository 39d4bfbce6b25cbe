"""The doors of the API with the real handlers behind them: same messages, same effect."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest

from labtrawl.clock import system_clock
from labtrawl.protocol import proof
from labtrawl.protocol.ids import MessageIds
from labtrawl.store.engine import Connection
from tests.integration.website.house import SHARED, Crawler, house

TASKS = "/api/internal2/tasks"
ids = MessageIds(system_clock().now_ms, secrets.randbits)
AT = "2025-01-03T19:00:00.000Z"


def states(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql("SELECT state, lease_holder FROM job ORDER BY id").all()
    return [tuple(row) for row in rows]


def code(told: tuple[int, Any]) -> tuple[int, str]:
    return told[0], told[1]["error"]["code"]


def progress(task: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    epoch = task["lease"]["epoch"]
    return {"taskId": task["taskId"], "status": status, "timestamp": 1, "epoch": epoch, **more}


@pytest.mark.seed("S2.78", "S2.45")
async def test_crawler_without_a_socket_does_a_whole_job_over_http(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        (task,) = await crawler.claim()
        path = f"{TASKS}/{job_id}"
        assert (task["taskId"], task["credentials"]["accessToken"]) == (str(job_id), "token")
        _, told = await crawler.ask("GET", path)
        assert (told["state"], told["crawler"]) == ("running", "far-1")
        status, renewed = await crawler.ask("PUT", path, {"epoch": task["lease"]["epoch"]})
        assert (status, renewed["taskId"]) == (200, str(job_id))
        assert renewed["expiresAt"] >= task["lease"]["expiresAt"]
        one = progress(task, "processing", processedItems=7)
        assert (await crawler.ask("POST", f"{path}/progress", one, ids()))[0] == 200
        store = all_of_it.client.store
        async with asyncio.timeout(10):
            # A state is kept in memory, and written beside the answer.
            while True:
                ticket = store.changes.ticket()
                _, shown = await crawler.ask("GET", f"{path}/progress")
                if shown["processedItems"]:
                    break
                await ticket.wait()
        assert (shown["state"], shown["processedItems"]) == ("running", 7)
        done = progress(task, "completed")
        message_id = ids()
        first = await crawler.ask("POST", f"{path}/progress", done, message_id)
        again = await crawler.ask("POST", f"{path}/progress", done, message_id)
        assert (first[0], first) == (200, again)
        assert await all_of_it.client.store.read(states) == [("completed", None)]


async def test_same_request_gets_the_same_jobs(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(3)
        crawler = await all_of_it.crawler()
        first, again = await crawler.claim("a"), await crawler.claim("a")
        other = await crawler.claim("b")
        assert [task["taskId"] for task in (*first, *again, *other)] == ["1", "1", "2"]


async def test_job_is_given_back_with_its_epoch(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        (task,) = await crawler.claim()
        stale = await crawler.ask("DELETE", f"{TASKS}/1", {"epoch": 9}, ids())
        epoch = task["lease"]["epoch"]
        back = await crawler.ask("DELETE", f"{TASKS}/1", {"epoch": epoch}, ids())
        assert (code(stale), back[0]) == ((409, "lease_lost"), 200)
        assert await all_of_it.client.store.read(states) == [("queued", None)]


async def test_lease_of_another_is_not_renewed_or_reported(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        (task,) = await (await all_of_it.crawler("far-1")).claim()
        other = await all_of_it.crawler("far-2")
        epoch = {"epoch": task["lease"]["epoch"]}
        refresh = {"requestId": "r", "taskId": "1", **epoch}
        refused = [
            await other.ask("PUT", f"{TASKS}/1", epoch),
            await other.ask("DELETE", f"{TASKS}/1", epoch, ids()),
            await other.ask("POST", f"{TASKS}/1/progress", progress(task, "completed"), ids()),
            await other.ask("POST", "/api/internal/jobs/progress", progress(task, "failed"), ids()),
            await other.ask(
                "POST", f"{TASKS}/1/discovered", {"taskId": "1", "jobs": [], **epoch}, ids()
            ),
            await other.ask("POST", "/api/internal/refresh-token", refresh, ids()),
        ]
        assert [code(told) for told in refused] == [(409, "lease_lost")] * 6
        assert await all_of_it.client.store.read(states) == [("running", "far-1")]


@pytest.mark.seed("S2.34")
async def test_token_of_a_job_is_for_who_has_it_in_hand(tmp_path: Path) -> None:
    path = "/api/internal/refresh-token"
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        (task,) = await crawler.claim()
        own = {"requestId": "r", "taskId": "1", "epoch": task["lease"]["epoch"]}
        own["refusedSha256"] = "0" * 64
        _, told = await crawler.ask("POST", path, own)
        assert (told["success"], told["accessToken"], "refreshToken" in told) == (
            True,
            "token",
            False,
        )
        by_account = await crawler.ask("POST", path, {"requestId": "r", "accountId": "1"}, ids())
        assert code(by_account) == (422, "bad_message")
        unproved = await all_of_it.client.over_socket().json("POST", path, own)
        assert code(unproved) == (403, "not_a_crawler")


async def test_child_speaks_over_http_by_its_own_token(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        child = all_of_it.child("crawler-1")
        register = {"id": "crawler-1", "nonce": "n"}
        status, told = await child.ask("POST", "/api/internal2/connect", register)
        secret = proof.secret_of(child.client.bearer)
        assert status == 200
        assert proof.is_proved(told["proof"], secret, "n", "", proof.ROLE_WEBSITE, "copilot-study")
        foreign = await child.ask("POST", "/api/internal2/connect", {"id": "crawler-2"})
        assert code(foreign) == (409, "conflict")
        (task,) = await child.claim()
        assert (task["taskId"], await all_of_it.client.store.read(states)) == (
            "1",
            [("running", "crawler-1")],
        )


async def test_name_chooses_only_among_the_own(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        await (await all_of_it.crawler("far-1")).claim()
        bearer = await all_of_it.client.token("crawler")
        thief = Crawler(all_of_it.client.by(bearer=bearer), "far-1")
        assert code(await thief.ask("POST", "/api/internal2/connect", {"id": "far-1"})) == (
            409,
            "conflict",
        )
        wanted = {"requestId": "x"}
        assert code(await thief.ask("POST", TASKS, wanted)) == (403, "not_a_crawler")
        beat = {"timestamp": 1}
        assert code(await thief.ask("POST", "/api/internal2/heartbeat", beat)) == (
            403,
            "not_a_crawler",
        )


async def test_registering_again_frees_what_is_not_held(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(2)
        crawler = await all_of_it.crawler()
        first, _second = await crawler.claim(limit=2)
        holding = [{"taskId": first["taskId"], "epoch": first["lease"]["epoch"]}]
        register = {"id": "far-1", "holding": holding}
        _, told = await crawler.ask("POST", "/api/internal2/connect", register)
        assert told["released"] == ["2"]
        assert await all_of_it.client.store.read(states) == [("running", "far-1"), ("queued", None)]


@pytest.mark.seed("S2.92", "S2.33")
async def test_open_jobs_are_listed_without_effect_or_credential(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(2)
        for client in (all_of_it.client.over_socket(), await all_of_it.admin()):
            status, told = await client.json("GET", "/api/internal/jobs/open")
            assert (status, [task["command"] for task in told]) == (200, ["r0", "r1"])
            assert "credentials" not in told[0]
        assert await all_of_it.client.store.read(states) == [("queued", None)] * 2


async def test_legacy_peer_claims_by_asking_where_that_is_accepted(tmp_path: Path) -> None:
    async with house(tmp_path, accepts_legacy=True) as all_of_it:
        await all_of_it.site.plant(2)
        peer = all_of_it.client.over_socket()
        first = await peer.json("GET", "/api/internal/jobs/open")
        again = await peer.json("GET", "/api/internal/jobs/open")
        assert [task["credentials"]["accessToken"] for task in first[1]] == ["token"] * 2
        assert first == again
        _, listed = await (await all_of_it.admin()).json("GET", "/api/internal/jobs/open")
        assert listed == []


async def test_admin_adds_changes_and_cancels_a_job(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(0)
        admin = await all_of_it.admin()
        wanted = {"areaId": 1, "command": "issues", "priority": 3}
        status, made = await admin.json("POST", TASKS, wanted)
        assert (status, made["taskId"], made["priority"]) == (201, "1", 3)
        assert code(await admin.json("POST", TASKS, wanted)) == (409, "conflict")
        assert (await admin.json("PUT", f"{TASKS}/1", {"priority": 9}))[1]["priority"] == 9
        paused = await admin.json("PUT", f"{TASKS}/1", {"wanted": "pause"})
        assert (paused[1]["state"], paused[1]["holdReason"]) == ("held", "paused")
        assert (await admin.json("PUT", f"{TASKS}/1", {"wanted": "run"}))[1]["state"] == "queued"
        assert (await admin.json("DELETE", f"{TASKS}/1"))[1]["state"] == "cancelled"
        refused = [
            await admin.json("DELETE", f"{TASKS}/1"),
            await admin.json("PUT", f"{TASKS}/1", {"priority": 1}),
            await admin.json("PUT", f"{TASKS}/1", {}),
            await admin.json("PUT", f"{TASKS}/1", {"priority": 1, "wanted": "run"}),
            await admin.json("POST", TASKS, {"areaId": 9, "command": "issues"}),
            await admin.json("POST", TASKS, {"areaId": 1, "command": "unheard"}),
        ]
        assert [told[0] for told in refused] == [409, 409, 422, 422, 404, 422]


async def test_tasks_are_paged_and_filtered(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(3)
        reader = all_of_it.client.by(bearer=await all_of_it.client.token("read"))
        _, first = await reader.json("GET", f"{TASKS}?limit=2")
        _, second = await reader.json("GET", f"{TASKS}?limit=2&after={first['next']}")
        _, none = await reader.json("GET", f"{TASKS}?state=failed")
        pages = [[task["taskId"] for task in page["tasks"]] for page in (first, second, none)]
        assert (pages, second["next"]) == ([["1", "2"], ["3"], []], None)
        assert (await reader.json("GET", f"{TASKS}?state=asleep"))[0] == 422


@pytest.mark.parametrize("task_id", ["99", "0", "job-id", "1e3", "-1", "9" * 30, "%2e%2e"])
@pytest.mark.parametrize("what", ["", "/progress"])
async def test_unknown_job_is_one_sentence(tmp_path: Path, task_id: str, what: str) -> None:
    async with house(tmp_path) as all_of_it:
        admin = await all_of_it.admin()
        told = await admin.json("GET", f"{TASKS}/{task_id}{what}")
        assert code(told) == (404, "not_found")
        assert told[1]["error"]["message"].startswith("there is no job")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, "{}", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "a=b", 415),
        ({"Content-Type": "application/json"}, '{"action": "' + "x" * (1 << 20) + '"}', 413),
        ({"Content-Type": "application/json"}, "[" * 33 + "]" * 33, 400),
        ({"Content-Type": "application/json"}, '{"a":' * 33 + "1" + "}" * 33, 400),
        ({"Content-Type": "application/json"}, "[" * 100_000, 400),
        ({"Content-Type": "application/json"}, "", 422),
        ({"Content-Type": "application/json"}, "null", 422),
        ({"Content-Type": "application/json"}, '{"action": "explode"}', 422),
        ({"Content-Type": "application/json"}, '{"action": "\ud800"}', 400),
        ({"Content-Type": "application/json; charset=utf-8"}, '{"action": "status"}', 200),
    ],
)
async def test_bad_body_is_refused(
    tmp_path: Path, headers: dict[str, str], body: str, status: int
) -> None:
    async with house(tmp_path) as all_of_it:
        local = all_of_it.client.over_socket()
        text = body.encode("utf-8", "surrogatepass").decode("latin-1")
        reply = await local.ask("POST", "/api/admin/crawler", headers, text)
        assert (reply.status, reply.headers["content-type"]) == (status, "application/json")


HUGE = 2**63
HUGE_REPORT = {"taskId": "1", "status": "completed", "timestamp": 1, "epoch": HUGE}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", TASKS, {"areaId": HUGE, "command": "issues"}),
        ("PUT", f"{TASKS}/1", {"priority": HUGE}),
        ("POST", "/api/internal/jobs/progress", HUGE_REPORT),
    ],
)
async def test_number_that_no_column_can_hold_is_the_askers_fault(
    tmp_path: Path, method: str, path: str, body: object
) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        admin = await all_of_it.admin()
        assert code(await admin.json(method, path, body)) == (422, "bad_message")


async def test_epoch_that_no_column_can_hold_is_the_askers_fault(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        told = await crawler.ask("DELETE", f"{TASKS}/1", {"epoch": HUGE}, ids())
        assert code(told) == (422, "bad_message")


@pytest.mark.seed("S2.65", "S2.46")
async def test_shared_token_still_opens_the_crawlers_door(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        crawler = Crawler(all_of_it.client.by(bearer=SHARED), "old-1")
        assert (await crawler.ask("POST", "/api/internal2/connect", {"id": "old-1"}))[0] == 200
        assert [task["taskId"] for task in await crawler.claim()] == ["1"]
        assert (await crawler.ask("GET", "/api/admin/crawler"))[0] == 403


@pytest.mark.seed("S2.46")
async def test_answer_by_token_carries_a_warning(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        path, token = "/api/internal/jobs/open", await all_of_it.client.token("read")
        clients = (
            all_of_it.client.by(bearer=token),
            await all_of_it.admin(),
            all_of_it.client.over_socket(),
        )
        warned = [(await client.get(path)).headers.get("warning", "")[:13] for client in clients]
        assert warned == ["299 labtrawl ", "", ""]


async def test_heartbeat_and_budget_over_http(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        beat = {"timestamp": 1, "systemStatus": "processing", "activeJobs": 2}
        assert (await crawler.ask("POST", "/api/internal2/heartbeat", beat))[0] == 200
        _, told = await (await all_of_it.admin()).json("GET", "/api/admin/crawler")
        assert [
            (each["name"], each["transport"], each["activeJobs"]) for each in told["clients"]
        ] == [("far-1", "http", 2)]
        await crawler.claim()
        wanted = {"want": [{"accountId": "1", "class": "rest", "requests": 5}]}
        status, granted = await crawler.ask("POST", "/api/internal2/budget", wanted)
        assert (status, [each["accountId"] for each in granted["grants"]]) == (200, ["1"])


async def test_health_names_what_is_wrong(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        local = all_of_it.client.over_socket()

        async def bad() -> dict[str, bool]:
            _, told = await local.json("GET", "/api/admin/health")
            return {each["name"]: bool(each["advice"]) for each in told["checks"] if not each["ok"]}

        assert await bad() == {"crawlers": True}
        await all_of_it.crawler()
        assert await bad() == {}
        (tmp_path / "config" / "labtrawl.key").chmod(0o444)
        await all_of_it.client.write(
            lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
        )
        all_of_it.client.around.sockets["crawlers"].unlink()
        assert await bad() == {"keys": True, "migrations": True, "sockets": True}


def numbers(told: Any, path: str = "") -> dict[str, Any]:
    """Every figure of an answer, by its place."""
    if isinstance(told, dict):
        found: dict[str, Any] = {}
        for key, value in told.items():
            found |= numbers(value, f"{path}.{key}")
        return found
    return {path.removeprefix("."): told}


@pytest.mark.seed("S2.39", "S2.74", "S2.38", "S2.67", "S2.68", "S2.69", "S2.70")
async def test_statistics_and_status_move_with_what_happens(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        admin = await all_of_it.admin()
        _, before = await admin.json("GET", "/api/admin/statistics")
        assert sorted(before) == sorted(
            (
                *("messages", "dedup", "cooldown", "breaker", "queues", "reconnects", "auth"),
                *("jobs", "records", "overTime"),
            )
        )
        await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        (task,) = await crawler.claim()
        done, message_id = progress(task, "completed"), ids()
        for _ in range(2):
            await crawler.ask("POST", f"{TASKS}/1/progress", done, message_id)
        after = before
        async with asyncio.timeout(30):
            while after["jobs"] == before["jobs"]:  # sums are kept for a while
                _, after = await admin.json("GET", "/api/admin/statistics")
        old, new = numbers(before), numbers(after)
        moved = {key for key in new if new[key] != old.get(key)}
        assert {"jobs.completed", "dedup.duplicates"} <= moved
        _, told = await admin.json("GET", "/api/admin/crawler")
        assert sorted(told) == ["architecture", "clients", "connection", "health"]
        assert told["connection"]["role"] == "listen"
