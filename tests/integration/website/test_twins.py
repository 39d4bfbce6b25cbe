"""A page and its JSON twin tell the same, and an action does the same, however it is asked."""

import json

from sqlalchemy import Connection

from labtrawl.domain.failure import GapReason
from labtrawl.store import jobs, ledger
from tests.integration.website import world
from tests.integration.website.conftest import Client


def gap(connection: Connection) -> int:
    """Plan a list that fails; return its area."""
    job_id = world.one_job(connection)
    world.start(connection)
    jobs.fail(connection, job_id, "failed", "it broke")
    area_id = jobs.place_of(connection, job_id).area_id
    ledger.explain(
        connection, area_id, "issues", ledger.Entry(reason=GapReason.FAILED, detail="it broke")
    )
    return area_id


async def test_list_told_to_programs_is_the_list_of_the_page(admin: Client) -> None:
    await admin.write(world.one_job)
    page = await admin.get("/areas?path=lab")
    reply = await admin.get("/api/v1/areas?path=lab")
    told = json.loads(reply.text)
    assert (page.status, reply.status) == (200, 200)
    assert reply.headers["content-type"] == "application/json"
    assert [row["row"]["full_path"] for row in told["rows"]] == ["kelp/labs"]
    assert told["pages"] == {"first": "/api/v1/areas?path=lab", "previous": None, "next": None}


async def test_action_as_a_form_goes_on_to_a_page(admin: Client) -> None:
    area_id = await admin.write(gap)
    reply = await admin.post(f"/areas/{area_id}/refill")
    assert (reply.status, reply.headers["location"]) == (303, f"/areas/{area_id}?lists=1")


async def test_action_as_json_tells_what_was_done(admin: Client) -> None:
    area_id = await admin.write(gap)
    path = f"/api/v1/areas/{area_id}/refill"
    assert await admin.json("POST", path) == (200, {"lists": 1})
    assert await admin.json("POST", path) == (200, {"lists": 0})
    assert (await admin.json("POST", "/api/v1/areas/4711/refill"))[0] == 404


async def test_twin_is_for_those_of_the_page_and_for_tokens_that_may_read(admin: Client) -> None:
    reads = admin.by(bearer=await admin.token("read"))
    crawls = admin.by(bearer=await admin.token("crawler"))
    assert (await reads.get("/api/v1/coverage")).status == 200
    assert (await reads.json("POST", "/api/v1/coverage/refill"))[0] == 403
    assert (await crawls.get("/api/v1/coverage")).status == 403
    assert (await admin.over_socket().get("/api/v1/coverage")).status == 200
