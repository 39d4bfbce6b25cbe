"""Doing one thing to many jobs, as a person does it: tick or filter, confirm, watch, stop."""

import asyncio
import json
import re
import time
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Connection

from labtrawl.store import audit, commands, jobs, leases, operations
from labtrawl.store.operations import Action, Wish
from labtrawl.store.pages.jobs import JobFilter
from labtrawl.store.pages.operations import OperationRow, one_operation
from labtrawl.store.pages.walks import Target
from tests.integration.website import world
from tests.integration.website.conftest import Client
from tests.integration.website.test_pages import every_row, rows


def address(page: str, link: str) -> str:
    found = re.search(rf'id="{link}"[^>]* href="([^"]+)"', page)
    assert found is not None, link
    return found[1].replace("&amp;", "&")


def fields(page: str, form: str) -> list[tuple[str, str]]:
    """The hidden fields of a form, as a browser would send them."""
    inside = re.search(rf'<form id="{form}".*?</form>', page, re.DOTALL)
    assert inside is not None, form
    return re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', inside[0])


async def ended(admin: Client, number: int = 1, seconds: float = 20) -> OperationRow:
    """The operation as it is at its end; the website carries it out."""
    async with asyncio.timeout(seconds):
        while True:
            ticket = admin.store.changes.ticket()
            row = await admin.store.read(lambda c: one_operation(c, number))
            if row.state != "running":
                return row
            await ticket.wait()


async def states(admin: Client) -> dict[str, int]:
    sql = "SELECT state, COUNT(*) FROM job GROUP BY state"
    return dict(await admin.write(lambda c: c.exec_driver_sql(sql).all()))


async def test_failed_jobs_of_a_filter_are_retried_after_a_reason_was_given(admin: Client) -> None:
    await admin.write(world.build)
    before = await states(admin)
    page = (await admin.get("/jobs?state=failed")).text
    query = urlencode([*fields(page, "bulk"), ("action", "retry"), ("of", "all")])
    confirm = (await admin.get(f"/operations/new?{query}")).text
    assert f"Retry: {before['failed']} jobs" in confirm
    form = fields(confirm, "confirm")
    assert ("state", "failed") in form
    reply = await admin.post("/operations", urlencode([*form, ("because", " it is\nback ")]))
    assert (reply.status, reply.headers["location"]) == (303, "/operations/1")
    row = await ended(admin)
    assert (row.state, row.done, row.because) == ("completed", before["failed"], "it is back")
    assert "failed" not in await states(admin)
    shown = (await admin.get("/operations/1")).text
    assert "it is back" in shown
    assert 'id="stop"' not in shown
    assert "it is back" in (await admin.get("/operations")).text
    (told,) = await admin.write(lambda c: audit.newest_of(c, ["POST /operations"], 5))
    assert told.entry.detail == f"operation 1: retry {before['failed']} jobs: it is back"


async def test_ticks_stay_while_paging_and_only_those_are_done(admin: Client) -> None:
    await admin.write(world.build)
    first = (await admin.get("/jobs?size=25&state=queued")).text
    ids = rows(first)
    sent = [*fields(first, "bulk"), ("pick", str(ids[0])), ("pick", str(ids[1]))]
    kept = await admin.get(f"/jobs?{urlencode(sent)}")
    assert kept.status == 303
    again = (await admin.get(kept.headers["location"])).text
    assert re.findall(r'value="(\d+)" form="bulk"[^>]* checked>', again) == [*map(str, ids[:2])]
    second = (await admin.get(address(again, "page-next"))).text
    assert "2 more ticked on other pages" in second
    other = rows(second)[3]
    # On the first page one tick is taken back.
    sent = [*fields(second, "bulk"), ("pick", str(other))]
    back = (await admin.get(f"/jobs?{urlencode(sent)}")).headers["location"]
    newer = (await admin.get(address((await admin.get(back)).text, "page-previous"))).text
    sent = [*fields(newer, "bulk"), ("pick", str(ids[1])), ("action", "pause"), ("of", "ticked")]
    confirm = (await admin.get(f"/operations/new?{urlencode(sent)}")).text
    assert "Pause: 2 jobs" in confirm
    body = urlencode([*fields(confirm, "confirm"), ("because", "a look at them")])
    await admin.post("/operations", body)
    assert (await ended(admin)).done == 2
    sql = "SELECT id FROM job WHERE hold_reason = 'paused' ORDER BY id"
    paused = await admin.write(lambda c: c.exec_driver_sql(sql).scalars().all())
    assert paused == sorted([ids[1], other])


async def test_who_does_nothing_is_led_back_to_the_very_page_of_the_list(admin: Client) -> None:
    await admin.write(world.build)
    first = (await admin.get("/jobs?resource=issues&size=25")).text
    here = address(first, "page-next")
    wanted = fields((await admin.get(here)).text, "bulk")
    for of in ("all", "ticked"):
        query = urlencode([*wanted, ("action", "retry"), ("of", of)])
        confirm = (await admin.get(f"/operations/new?{query}")).text
        assert [address(confirm, link) for link in ("back", "crumb-jobs")] == [here, here]


@pytest.mark.parametrize("page", ["/jobs", "/operations/new"])
async def test_more_ticks_than_can_be_picked_are_told_and_none_is_dropped(
    admin: Client, page: str
) -> None:
    await admin.write(world.one_job)
    kept = ",".join(map(str, range(2, 1001)))
    sent = {"picked": kept, "shown": "1001,1002", "pick": "1001", "action": "pause"}
    fits = await admin.get(f"{page}?{urlencode(sent)}")
    assert fits.status in {200, 303}
    beyond = await admin.get(f"{page}?{urlencode(sent)}&pick=1002")
    assert beyond.status == 422
    assert "At most 1000 jobs can be picked one by one; use a filter for more" in beyond.text


async def test_nothing_is_asked_to_be_confirmed_for_no_job(admin: Client) -> None:
    await admin.write(world.one_job)
    assert "No job is ticked." in (await admin.get("/operations/new?action=cancel")).text
    nobody = await admin.get("/operations/new?action=cancel&of=all&resource=x")
    assert "No job matches." in nobody.text
    useless = await admin.get("/operations/new?action=retry&of=all&state=queued")
    assert "nothing would be done" in useless.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "explode", "because": "x", "ids": [1]}, 422),
        ({"action": "cancel", "because": "  ", "ids": [1]}, 422),
        ({"action": "cancel", "because": "x"}, 422),
        ({"action": "cancel", "because": "x", "ids": [1], "all": True}, 422),
        ({"action": "cancel", "because": "x", "ids": [0]}, 422),
        ({"action": "cancel", "because": "x", "all": True, "state": "lost"}, 422),
        ({"action": "priority", "because": "x", "ids": [1]}, 422),
        ({"action": "priority", "because": "x", "ids": [1], "value": 10**12}, 422),
        ({"action": "cancel", "because": "y" * 201, "ids": [1]}, 422),
    ],
)
async def test_operation_that_makes_no_sense_is_refused(
    admin: Client, body: dict[str, Any], status: int
) -> None:
    await admin.write(world.one_job)
    assert (await admin.json("POST", "/api/v1/operations", body))[0] == status
    assert (await admin.json("GET", "/api/v1/operations"))[1]["rows"] == []


async def test_programs_begin_watch_and_stop_an_operation(admin: Client) -> None:
    await admin.write(world.build)
    body = {
        "action": "priority",
        "value": 7,
        "because": "urgent",
        "all": True,
        "resource": "issues",
    }
    status, told = await admin.json("POST", "/api/v1/operations", body)
    assert (status, told) == (202, {"id": 1, "expected": {"number": 48, "more": False}})
    done = await ended(admin)
    status, told = await admin.json("GET", "/api/v1/operations/1")
    assert (status, told["state"], told["done"]) == (200, "completed", done.done)
    sql = "SELECT DISTINCT priority FROM job WHERE resource = 'issues' AND finished_at IS NULL"
    assert await admin.write(
        lambda c: c.exec_driver_sql(f"{sql} AND state <> 'cancelled'").scalars().all()
    ) == [7]
    assert (await admin.json("POST", "/api/v1/operations/1/stop"))[0] == 409
    assert (await admin.json("POST", "/api/v1/operations/9/stop"))[0] == 404
    assert (await admin.json("GET", "/api/v1/operations/9"))[0] == 404
    listed = (await admin.json("GET", "/api/v1/operations"))[1]
    assert [row["id"] for row in listed["rows"]] == [1]


async def test_operation_is_stopped_by_its_button(admin: Client) -> None:
    def begin(connection: Connection) -> None:
        world.build(connection)
        # No batch is ever its last one: somebody has to stop it.
        connection.exec_driver_sql(
            "CREATE TRIGGER again AFTER UPDATE OF looked_id ON operation WHEN NEW.state ="
            " 'completed' BEGIN UPDATE operation SET state = 'running', ended_at = NULL,"
            " looked_id = 0 WHERE id = NEW.id; END"
        )
        wish = Wish(Action.PRIORITY, Target(JobFilter()), "because", "somebody", 1)
        operations.begin(connection, wish)

    await admin.write(begin)
    assert 'id="stop"' in (await admin.get("/operations/1")).text
    reply = await admin.post("/operations/1/stop")
    row = await ended(admin)
    assert (reply.status, row.state) == (303, "stopped")
    assert row.ended_by.startswith("admin")
    assert (await admin.post("/operations/1/stop")).status == 409


async def test_crawlers_that_have_such_a_job_in_hand_are_told(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    await admin.write(world.start)
    body = {"action": "cancel", "because": "not wanted", "ids": [job_id]}
    await admin.json("POST", "/api/v1/operations", body)
    assert (await ended(admin)).done == 1
    await asyncio.wait_for(admin.around.commanded.wait(), 5)
    assert admin.around.commands == [("cancel", "crawler-1", job_id)]


async def test_what_was_under_way_when_the_website_ended_goes_on_with_the_next(
    admin: Client,
) -> None:
    def begin(connection: Connection) -> None:
        world.build(connection)
        wish = Wish(Action.CANCEL, Target(JobFilter()), "because", "somebody")
        number = operations.begin(connection, wish)
        operations.go_on(connection, number, 3)

    # Written behind the website's back, as by one that is gone: it finds it there.
    await admin.write(begin)
    row = await ended(admin)
    assert (row.state, row.matching) == ("completed", 829)
    assert set(await states(admin)) == {"cancelled", "completed", "failed"}


async def test_one_job_is_paused_resumed_and_put_first(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    page = (await admin.get(f"/jobs/{job_id}")).text
    assert all(f'id="{name}"' in page for name in ("pause", "cancel", "set-priority"))
    for action in ("pause", "resume"):
        reply = await admin.post(f"/jobs/{job_id}/{action}")
        assert (reply.status, reply.headers["location"]) == (303, f"/jobs/{job_id}")
    assert admin.around.commands == [("pause", None, job_id), ("resume", None, job_id)]
    assert (await admin.post(f"/jobs/{job_id}/priority", "value=12")).status == 303
    assert (await admin.json("GET", f"/api/v1/jobs/{job_id}"))[1]["row"]["priority"] == 12
    assert (await admin.post(f"/jobs/{job_id}/priority", "value=x")).status == 422
    await admin.write(lambda c: commands.pause_job(c, job_id))
    assert 'id="resume"' in (await admin.get(f"/jobs/{job_id}")).text
    missing = await admin.json("POST", "/api/v1/jobs/99/priority", {"value": 1})
    assert missing[0] == 404


async def test_attempts_of_a_job_are_shown_with_what_came_of_each(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    for number, holder in enumerate(("crawler-1", "crawler-2", "crawler-1")):
        claim = partial(leases.claim, holder=holder, claim_id=f"c{number}", limit=1)
        await admin.write(partial(claim, lease_seconds=60))
        if number == 0:
            await admin.write(lambda c: jobs.progress(c, job_id, jobs.Progress(5, 9, 4)))
            await admin.write(lambda c: jobs.retry_later(c, job_id, "502 Bad <Gateway>", 0))
            await admin.write(lambda c: c.exec_driver_sql("UPDATE job SET run_after = NULL"))
        elif number == 1:
            await admin.write(lambda c: leases.give_back(c, job_id))
        else:
            await admin.write(lambda c: jobs.fail(c, job_id, "forbidden", "403"))
    told = (await admin.json("GET", f"/api/v1/jobs/{job_id}"))[1]["attempts"]
    found = [
        (one["holder"], one["outcome"], one["reason"], one["message"], one["requests"])
        for one in told
    ]
    assert found == [
        ("crawler-1", "queued", None, "502 Bad <Gateway>", 4),
        ("crawler-2", "queued", None, None, 0),
        ("crawler-1", "failed", "forbidden", "403", 0),
    ]
    page = (await admin.get(f"/jobs/{job_id}")).text
    assert "502 Bad &lt;Gateway&gt;" in page
    assert page.count('<rect class="queued"') == 2
    assert 'id="retry"' in page


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("hold=credential", "hold_reason = 'credential' ORDER BY id DESC"),
        ("error=unavailable", "error_reason = 'unavailable' ORDER BY id DESC"),
        ("account=1&state=running", "account_id = 1 AND state = 'running' ORDER BY id DESC"),
        ("sort=changed", "1 ORDER BY change DESC, id DESC"),
        ("sort=priority", "state IN ('queued', 'running', 'held') ORDER BY priority DESC, id"),
        ("sort=duration&state=completed",
         "state = 'completed' AND started_at IS NOT NULL"
         " ORDER BY finished_at - started_at DESC, id DESC"),
        ("sort=duration&state=queued", "state = 'queued' ORDER BY id DESC"),
    ],
)  # fmt: skip
async def test_list_of_jobs_in_any_order_shows_each_match_once(
    admin: Client, query: str, condition: str
) -> None:
    await admin.write(world.build)
    sql = f"SELECT id FROM job WHERE {condition}"
    wanted = await admin.write(lambda c: c.exec_driver_sql(sql).scalars().all())
    assert await every_row(admin, f"/jobs?size=200&{query}", "page-next") == wanted


async def test_jobs_told_to_programs_are_those_of_the_page(admin: Client) -> None:
    await admin.write(world.build)
    page = await admin.get("/jobs?sort=priority&size=25")
    status, told = await admin.json("GET", "/api/v1/jobs?sort=priority&size=25")
    assert (status, [row["id"] for row in told["rows"]]) == (200, rows(page.text))
    following = await admin.get(told["pages"]["next"])
    assert (await admin.get("/jobs?sort=nothing")).status == 422
    assert json.loads(following.text)["order"] == "priority"


MANY = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 100000)
INSERT INTO job (area_id, resource, state, error_reason, error_message, account_id, created_at,
  started_at, finished_at, updated_at, change)
SELECT (SELECT MAX(id) FROM area), 'list_' || n, 'failed', 'unavailable', '502', 1, 1, 1, 2, 2, n + 9
FROM number
"""


@pytest.mark.proof
async def test_hundred_thousand_jobs_are_retried_from_one_button(admin: Client) -> None:
    def build(connection: Connection) -> None:
        world.one_job(connection)
        connection.exec_driver_sql(MANY)

    await admin.write(build)
    body = urlencode(
        [("action", "retry"), ("all", "true"), ("state", "failed"), ("because", "back")]
    )
    began = time.perf_counter()
    reply = await admin.post("/operations", body)
    spent = time.perf_counter() - began
    assert reply.headers["location"] == "/operations/1"
    assert spent <= 0.3
    row = await ended(admin, seconds=300)
    assert (row.expected, row.matching, row.done, row.skipped) == (100_000, 100_000, 100_000, {})
    assert await states(admin) == {"queued": 100_001}
