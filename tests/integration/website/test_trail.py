"""What was asked and how it ended is in the audit log before who asked sees the answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from labtrawl.store import tasks
from tests.integration.website.house import house


def code(told: tuple[int, Any]) -> tuple[int, str]:
    return told[0], told[1]["error"]["code"]


AUDITED = (
    "SELECT tier, client, level, action, target, outcome FROM audit"
    " WHERE client NOT LIKE 'process%' ORDER BY id"
)


@pytest.mark.seed("S2.44", "S2.47", "S2.48", "S2.49", "S2.50")
async def test_answers_are_in_the_audit_log(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        client = all_of_it.client
        token = await client.token("read")
        admin = await all_of_it.admin()
        await client.get("/api/admin/health")
        await client.by(bearer=token).get("/api/internal/jobs/open")
        await admin.json("POST", "/api/admin/crawler", {"action": "drain", "crawler": "nobody"})
        await admin.get("/jobs")
        await admin.post("/sign-out")
        found = await client.store.read(lambda c: c.exec_driver_sql(AUDITED).all())
    session = found[2][1]
    assert session.startswith("admin ")
    command, leave = ("POST", "/api/admin/crawler"), ("POST", "/sign-out")
    assert [tuple(row) for row in found] == [
        ("none", "nobody", "none", "GET /api/admin/health", "/api/admin/health", "401"),
        (
            "api_token",
            token[:12],
            "low",
            "GET /api/internal/jobs/open",
            "/api/internal/jobs/open",
            "200",
        ),
        ("admin_session", session, "medium", " ".join(command), command[1], "404"),
        ("admin_session", session, "medium", " ".join(leave), leave[1], "303"),
    ]


async def test_what_people_do_on_pages_is_in_the_audit_log(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        client = all_of_it.client
        admin = await all_of_it.admin()
        await client.post("/sign-in", f"token={await client.link()}")
        await admin.post(f"/jobs/{job_id}/retry")
        found = await client.store.read(lambda c: c.exec_driver_sql(AUDITED).all())
    assert [tuple(row[3:]) for row in found] == [
        ("POST /sign-in", "/sign-in", "303"),
        ("POST /jobs/{job_id}/retry", f"/jobs/{job_id}/retry", "409"),
    ]


async def test_answer_that_cannot_be_audited_is_not_given(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.client.write(lambda c: c.exec_driver_sql("DROP TABLE audit"))
        told = await all_of_it.client.over_socket().json("GET", "/api/internal/jobs/open")
        assert (code(told), len(told[1]["error"]["id"])) == ((503, "store"), 8)


async def test_strangers_cannot_fill_the_audit_log(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        for _ in range(4):
            await asyncio.gather(
                *(all_of_it.client.status("GET", "/api/admin/health", {}) for _ in range(25))
            )
        count = "SELECT COUNT(*) FROM audit"
        kept = await all_of_it.client.store.read(lambda c: c.exec_driver_sql(count).scalar_one())
        assert kept == 60


DETAILS = "SELECT action, outcome, detail FROM audit WHERE client NOT LIKE 'process%' ORDER BY id"


async def test_commands_are_in_the_audit_log_with_what_they_say(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        admin = await all_of_it.admin()
        door, task = "/api/admin/crawler", f"/api/internal2/tasks/{job_id}"
        await admin.json("POST", door, {"action": "pause", "crawler": "far-1"})
        await admin.json("POST", door, {"action": "resume"})
        await admin.json("POST", door, {"action": "cancel", "taskId": "99"})
        await admin.json("PUT", task, {"priority": 7})
        await admin.json("PUT", task, {"wanted": "pause"})
        await admin.json("DELETE", task)
        await admin.json("POST", "/api/internal2/tasks", {"areaId": 1, "command": "nothing"})
        asked = {"requestId": "1", "taskId": str(job_id), "epoch": 1}
        await crawler.ask("POST", "/api/internal/refresh-token", asked)
        found = await admin.store.read(lambda c: c.exec_driver_sql(DETAILS).all())
    door, task = f"POST {door}", "/api/internal2/tasks/{task_id}"
    assert [tuple(row) for row in found] == [
        ("POST /api/internal2/connect", "200", "far-1"),
        (door, "200", "pause far-1"),
        (door, "200", "resume"),
        (door, "404", "cancel job 99"),
        (f"PUT {task}", "200", "priority 7"),
        (f"PUT {task}", "200", "pause"),
        (f"DELETE {task}", "200", "cancel"),
        ("POST /api/internal2/tasks", "422", "nothing of area 1"),
        ("POST /api/internal/refresh-token", "200", "token of job 1"),
    ]


async def test_sign_in_is_in_the_audit_log_whatever_strangers_do(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        client = all_of_it.client
        for _ in range(61):
            await client.status("GET", "/api/admin/health", {})
        signed_in = await client.post("/sign-in", f"token={await client.link()}")
        cookie = signed_in.headers["set-cookie"].partition(";")[0]
        await client.by(cookie=cookie).post("/sign-out")
        found = await client.store.read(lambda c: c.exec_driver_sql(AUDITED).all())
        details = await client.store.read(lambda c: c.exec_driver_sql(DETAILS).all())
    entry, leave = tuple(found[-2]), tuple(found[-1])
    assert entry == ("none", "nobody", "none", "POST /sign-in", "/sign-in", "303")
    assert details[-2][2] == f"signed in as {leave[1]}"
    assert leave[3:] == ("POST /sign-out", "/sign-out", "303")


async def test_request_that_breaks_is_in_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_of_it: object) -> None:
        raise RuntimeError("unforeseen")

    async with house(tmp_path) as all_of_it:
        monkeypatch.setattr(tasks, "after", break_down)
        admin = await all_of_it.admin()
        assert (await admin.json("GET", "/api/internal2/tasks"))[0] == 500
        found = await admin.store.read(lambda c: c.exec_driver_sql(AUDITED).all())
    assert [tuple(row[3:]) for row in found] == [
        ("GET /api/internal2/tasks", "/api/internal2/tasks", "500")
    ]
