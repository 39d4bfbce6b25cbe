"""What was asked and how it ended is in the audit log before who asked sees the answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

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
        await admin.post("/sign-in", f"token={await client.link()}")
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
