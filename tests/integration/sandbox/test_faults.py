"""Planned misbehaviour, limits and the control endpoints."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from labtrawl.sandbox import Fault, Options, World, running
from tests.integration.sandbox.caller import Answer, Caller

LIMITED = {
    "message": {"error": "This endpoint has been requested too many times. Try again later."}
}


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    async with running(world) as server, Caller(server.url, world.accounts[0].token) as found:
        yield found


async def arm(caller: Caller, **fault: object) -> Answer:
    return await caller.call("POST", "/-/sandbox/faults", json.dumps([fault]).encode())


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "retry_after"),
    [
        ("429_http", 429, "text/plain", "3"),
        ("429_app", 429, "application/json", "3"),
        ("429_bare", 429, "application/json", None),
        ("500", 500, "application/json", None),
        ("502_html", 502, "text/html", None),
        ("503", 503, "application/json", "3"),
        ("401", 401, "application/json", None),
        ("403", 403, "application/json", None),
        ("404", 404, "application/json", None),
        ("304", 304, "application/json", None),
        ("408", 408, "application/json", None),
        ("403_spent", 403, "application/json", None),
        ("403_scope", 403, "application/json", None),
        ("403_granular", 403, "application/json", None),
        ("403_blocked", 403, "application/json", None),
        ("405_offset", 405, "application/json", None),
        ("empty200", 200, "application/json", None),
        ("html200", 200, "text/html", None),
    ],
)
async def test_fault_answers_as_its_kind_says_and_once(
    caller: Caller, kind: str, status: int, content_type: str, retry_after: str | None
) -> None:
    await arm(caller, path="/user$", kind=kind, retry_after_seconds=2.5)
    hit, spared = await caller.get("user"), await caller.get("user")
    assert hit.status == status
    assert (hit.headers["content-type"], hit.headers.get("retry-after")) == (
        content_type,
        retry_after,
    )
    assert spared.status == 200


async def test_application_limit_has_gitlabs_words(caller: Caller) -> None:
    await arm(caller, path="groups", kind="429_app")
    assert (await caller.get("groups")).json == LIMITED


async def test_truncate_cuts_the_json_off(caller: Caller) -> None:
    await arm(caller, path="groups", kind="truncate")
    answer = await caller.get("groups")
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)


async def test_wrong_type_gives_an_object_for_a_list(caller: Caller) -> None:
    await arm(caller, path="groups", kind="wrong_type")
    assert (await caller.get("groups")).json == {"unexpected": True}


@pytest.mark.parametrize("kind", ["charset", "huge_number"])
async def test_body_that_no_reader_takes_is_a_list_by_its_form(caller: Caller, kind: str) -> None:
    await arm(caller, path="groups", kind=kind)
    answer = await caller.get("groups")
    assert (answer.body[:2], answer.body[-2:]) == (b"[{", b"}]")
    with pytest.raises(ValueError):  # noqa: PT011 - of two kinds
        json.loads(answer.body)


async def test_field_comes_twice_and_half_a_pair_alone(caller: Caller) -> None:
    right = (await caller.get("groups")).json
    await arm(caller, path="groups", kind="twin_keys")
    assert (await caller.get("groups")).json == right
    await arm(caller, path="groups", kind="surrogate")
    assert {row["half"] for row in (await caller.get("groups")).json} == {"\ud83d"}


async def test_next_page_is_the_first_and_totals_are_left_out(world: World, caller: Caller) -> None:
    busy = max(world.projects, key=lambda one: len(one.labels)).id
    path = f"projects/{busy}/labels?per_page=1"
    await arm(caller, path="labels", kind="next_is_first")
    looped = await caller.get(f"{path}&page=2")
    assert 'labels?per_page=1>; rel="next"' in looped.headers["link"]
    await arm(caller, path="labels", kind="no_total")
    assert "x-total" not in (await caller.get(path)).headers
    assert "x-total" in (await caller.get(path)).headers


@pytest.mark.parametrize("kind", ["drip", "endless"])
async def test_body_without_an_end_comes_until_the_caller_leaves(world: World, kind: str) -> None:
    options = Options(faults=(Fault(path="version", kind=kind),))  # type: ignore[arg-type]
    async with running(world, options) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /api/v4/version HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        first = await reader.readuntil(b"\r\n")
        writer.close()
    assert b"transfer-encoding: chunked" in head
    assert int(first, 16) == (1 if kind == "drip" else 65_536)


async def test_retry_after_is_sent_as_it_is_written(caller: Caller) -> None:
    await arm(caller, path="user", kind="500", retry_after="soon")
    assert (await caller.get("user")).headers["retry-after"] == "soon"


async def test_reset_drops_the_connection_half_way(caller: Caller) -> None:
    await arm(caller, path="groups", kind="reset")
    with pytest.raises(asyncio.IncompleteReadError):
        await caller.get("groups")


async def test_delay_holds_the_right_answer_back(caller: Caller) -> None:
    await arm(caller, path="user", kind="delay", retry_after_seconds=0.05)
    before = time.monotonic()
    answer = await caller.get("user")
    assert (answer.status, time.monotonic() - before >= 0.05) == (200, True)


async def test_skip_every_and_times_pick_requests(caller: Caller) -> None:
    await arm(caller, path="user", kind="500", skip=1, every=2, times=2)
    statuses = [(await caller.get("user")).status for _ in range(7)]
    assert statuses == [200, 200, 500, 200, 500, 200, 200]


async def test_faults_can_be_cleared(caller: Caller) -> None:
    await arm(caller, path="user", kind="500", times=0)
    assert (await caller.get("user")).status == 500
    await caller.call("DELETE", "/-/sandbox/faults")
    assert (await caller.get("user")).status == 200


@pytest.mark.parametrize(
    "fault", [{"path": "(", "kind": "500"}, {"path": "x", "kind": "fire"}, {"kind": "500"}]
)
async def test_unknown_fault_gets_400(caller: Caller, fault: dict[str, str]) -> None:
    answer = await arm(caller, **fault)
    assert (answer.status, "error" in answer.json) == (400, True)


async def test_faults_given_at_start_hold(world: World) -> None:
    options = Options(faults=(Fault(path="version", kind="503"),))
    async with (
        running(world, options) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        assert (await caller.get("version")).status == 503


async def test_health_and_counts_do_not_count_themselves(world: World, caller: Caller) -> None:
    project = world.projects[0].id
    await caller.get(f"projects/{project}/issues")
    await caller.get("projects/1")
    health = await caller.call("GET", "/-/sandbox/health")
    counts = await caller.call("GET", "/-/sandbox/requests")
    seconds = await caller.call("GET", "/-/sandbox/requests/seconds")
    assert (health.status, health.body) == (200, b"ok")
    assert sum(seconds.json.values()) == 2
    assert counts.json == {
        "total": 2,
        "by_endpoint": {"projects/:id/issues": 1, "projects/:id": 1},
        "by_project": {str(project): 1, "1": 1},
        "by_status": {"200": 1, "404": 1},
        "by_user": {world.accounts[0].username: 2},
    }
    cleared = await caller.call("DELETE", "/-/sandbox/requests")
    assert cleared.json["total"] == 0


async def test_rate_limit_counts_a_user_and_refuses_in_plain_text(world: World) -> None:
    async with running(world, Options(rate_limit_per_minute=2)) as server:
        async with Caller(server.url, world.accounts[0].token) as caller:
            answers = [await caller.get("version") for _ in range(5)]
        async with Caller(server.url, world.accounts[1].token) as other:
            spared = await other.get("version")
    # The minute may turn once while these five are asked.
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].body == b"Retry later\n"
    assert {"retry-after", "ratelimit-limit", "ratelimit-name", "ratelimit-observed",
            "ratelimit-remaining", "ratelimit-reset", "ratelimit-resettime"} <= set(
        refused[0].headers
    )  # fmt: skip
    assert spared.headers["ratelimit-limit"] == "2"
