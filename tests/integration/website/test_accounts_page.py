"""The page of accounts: their state, limits and end; checked, switched, removed; never a secret."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from labtrawl.dispatch import planner
from labtrawl.errors import Conflict, Missing, StoreError, Unauthorized, Unavailable
from labtrawl.store import accounts, audit
from labtrawl.store.engine import Connection, database_path, open_engine
from labtrawl.store.migrate import migrate
from labtrawl.store.sessions import Role
from labtrawl.website.given.keeping import BudgetTold
from tests.integration.website import world
from tests.integration.website.conftest import Client

CANARY = "enc:v2:canary-of-a-token"
DAY_MS = 86_400_000


def verified(
    user_id: int, username: str, source: str = "", token: str = CANARY
) -> accounts.VerifiedAccount:
    return accounts.VerifiedAccount(
        "example",
        "https://gitlab.example",
        "19.3.0",
        user_id,
        username,
        ("read_api",),
        token,
        source,
    )


def change(connection: Connection, username: str, **columns: object) -> None:
    assigned = ", ".join(f"{name} = ?" for name in columns)
    connection.exec_driver_sql(
        f"UPDATE account SET {assigned} WHERE username = ?", (*columns.values(), username)
    )


def several(connection: Connection) -> None:
    """One account for each way to be."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    for number, name in enumerate(("works", "ends", "renews", "off", "gone", "waits", "bad"), 11):
        accounts.record(connection, verified(number, name))
    change(connection, "ends", expires_at=now + 6 * DAY_MS + 1000)
    change(connection, "works", expires_at=now + 40 * DAY_MS)
    change(connection, "renews", refresh_token=CANARY, expires_at=now + 1000)
    change(connection, "gone", token="", state="refused")
    change(connection, "waits", mode="study", state="refused")
    change(connection, "bad", state="refused")
    accounts.switch(connection, 4, is_on=False)


async def told(client: Client) -> dict[str, Any]:
    status, page = await client.json("GET", "/api/v1/accounts")
    assert status == 200
    return {each["username"]: each for each in page["accounts"]}


async def post(client: Client, account_id: int, action: str, **fields: str) -> int:
    return (await client.post(f"/accounts/{account_id}/{action}", urlencode(fields))).status


async def test_each_way_to_be_is_shown_and_no_token(admin: Client) -> None:
    await admin.write(several)
    budget = BudgetTold(
        endpoints="rest", limit_per_minute=2000, allowed_per_minute=1600, used_last_minute=812
    )
    single = BudgetTold(
        endpoints="group_single", limit_per_minute=None, allowed_per_minute=9, used_last_minute=3
    )
    admin.around.accounts.told = {1: (budget, single)}
    page = await admin.get("/accounts")
    found = await told(admin)
    assert {name: (each["state"], each["warns"]) for name, each in found.items()} == {
        "works": ("works", False),
        "ends": ("works", True),
        "renews": ("works", False),
        "off": ("off", False),
        "gone": ("removed", False),
        "waits": ("consent", False),
        "bad": ("refused", False),
    }
    assert found["ends"]["days_left"] == 6
    assert [
        (each["endpoints"], each["used_last_minute"]) for each in found["works"]["budgets"]
    ] == [
        ("rest", 812),
        ("group_single", 3),
    ]
    # People read words; the name in code is a title, for who reads the JSON too.
    assert '<li><span title="group_single">One group</span>' in page.text
    assert 'aria-label="Used of: One group"' in page.text
    for words in ("812 of 1,600 a minute", "6 days left", "renews itself", "Waits for consent"):
        assert words in page.text
    assert CANARY not in page.text + str(found)


async def test_account_that_is_off_gets_no_job_until_it_is_on_again(admin: Client) -> None:
    """What is in hand is taken at once; it goes on from its checkpoint, by whoever may."""
    job_id = await admin.write(world.one_job)
    assert await admin.write(world.start) == [job_id]
    assert await post(admin, 1, "switch", to="off", because="her holidays") == 303
    assert admin.around.commands == [("cancel", "crawler-1", job_id)]
    state = "SELECT state, hold_reason, lease_holder FROM job"
    rows = await admin.write(lambda c: c.exec_driver_sql(state).all())
    assert [tuple(row) for row in rows] == [("held", "credential", None)]
    # GitLab accepts it all the same, as it would at each start.
    await admin.write(lambda c: planner.plan_account(c, verified(7, "ada.marin")))
    assert await admin.write(lambda c: world.start(c, 9)) == []
    assert (await told(admin))["ada.marin"]["state"] == "off"

    async def accepted(account_id: int) -> str:
        await admin.write(lambda c: planner.plan_account(c, verified(7, "ada.marin")))
        return "accepted"

    admin.around.accounts.verify = accepted  # type: ignore[method-assign]
    assert await post(admin, 1, "switch", to="on", because="she is back") == 303
    assert (await told(admin))["ada.marin"]["state"] == "works"
    assert job_id in await admin.write(lambda c: world.start(c, 9))
    rows_of_log = await admin.write(lambda c: audit.newest(c, 20))
    details = [row.entry.detail for row in rows_of_log if "switch" in row.entry.action]
    assert details == ["on: she is back", "off: her holidays"]


async def test_account_that_its_gitlab_does_not_accept_stays_off(admin: Client) -> None:
    await admin.write(world.one_job)
    assert await post(admin, 1, "switch", to="off", because="her holidays") == 303
    body = urlencode({"to": "on", "because": "she is back"})
    for failure in (Unauthorized("GitLab refuses the token"), Unavailable("no answer")):
        admin.around.accounts.failure = failure
        done = await admin.post("/accounts/1/switch", body)
        page = (await admin.get(done.headers["location"])).text
        assert ("stays switched off" in page, "its GitLab accepts it" in page) == (True, False)
        assert (await told(admin))["ada.marin"]["state"] == "off"
        assert await admin.write(world.start) == []
        rows = await admin.write(lambda c: audit.newest(c, 9))
        details = [row.entry.detail for row in rows if "switch" in row.entry.action]
        assert details[0] == f"on, but it stays off: {failure}; because: she is back"
    wanted = {"to": "on", "because": "she is back"}
    path = "/api/v1/accounts/1/switch"
    refused = {"outcome": "no answer", "accepted": False}
    assert await admin.json("POST", path, wanted) == (200, refused)
    admin.around.accounts.failure = None
    accepted = {"outcome": admin.around.accounts.answer, "accepted": True}
    assert await admin.json("POST", path, wanted) == (200, accepted)
    assert (await told(admin))["ada.marin"]["state"] == "works"
    assert len(await admin.write(world.start)) == 1


async def test_programs_are_told_whether_its_gitlab_accepted(admin: Client) -> None:
    await admin.write(world.first_account)
    path = "/api/v1/accounts/1/verify"
    accepted = {"outcome": admin.around.accounts.answer, "accepted": True}
    assert await admin.json("POST", path) == (200, accepted)
    admin.around.accounts.failure = Conflict("it has no credential here")
    refused = {"outcome": "it has no credential here", "accepted": False}
    assert await admin.json("POST", path) == (200, refused)
    status, off = await admin.json(
        "POST", "/api/v1/accounts/1/switch", {"to": "off", "because": "x"}
    )
    assert (status, off["accepted"]) == (200, None)


async def test_failure_of_our_own_is_no_word_of_its_gitlab(admin: Client) -> None:
    await admin.write(world.first_account)
    statuses = []
    for failure in (Missing("there is no account 1"), StoreError("the database is away")):
        admin.around.accounts.failure = failure
        statuses.append((await admin.post("/accounts/1/verify")).status)
    assert (statuses[0], statuses[1] >= 500) == (404, True)


async def test_verify_tells_what_its_gitlab_said(admin: Client) -> None:
    await admin.write(world.first_account)
    done = await admin.post("/accounts/1/verify")
    assert "accepted by its GitLab" in (await admin.get(done.headers["location"])).text
    admin.around.accounts.failure = Unauthorized("GitLab refuses the token")
    refused = await admin.post("/accounts/1/verify")
    page = (await admin.get(refused.headers["location"])).text
    assert "was not accepted; the audit log has the reason" in page
    rows = await admin.write(lambda c: audit.newest(c, 2))
    assert [row.entry.detail for row in rows] == [
        "GitLab refuses the token",
        admin.around.accounts.answer,
    ]
    assert (await admin.post("/accounts/9/verify")).status == 404


async def test_removal_takes_the_name_and_a_reason(admin: Client) -> None:
    await admin.write(world.first_account)
    wrong = [
        await post(admin, 1, "remove", username="ada", because="x"),
        await post(admin, 1, "remove", username="ada.marin", because=" "),
        await post(admin, 9, "remove", username="ada.marin", because="x"),
    ]
    assert (wrong, (await told(admin))["ada.marin"]["state"]) == ([422, 422, 404], "works")
    assert await post(admin, 1, "remove", username="@ada.marin", because="she left") == 303
    assert (await told(admin))["ada.marin"]["state"] == "removed"
    kept = "SELECT token, refresh_token FROM account"
    assert await admin.write(lambda c: c.exec_driver_sql(kept).all()) == [("", "")]
    assert admin.around.accounts.erased == [1]


async def test_entry_that_stays_in_the_file_of_settings_is_told(admin: Client) -> None:
    await admin.write(world.first_account)
    admin.around.accounts.left = "its entry in the file of settings is still there: it is a link"
    body = urlencode({"username": "ada.marin", "because": "she left"})
    reply = await admin.post("/accounts/1/remove", body)
    page = (await admin.get(reply.headers["location"])).text
    assert "is not used any more, but its token could not be erased everywhere" in page
    (row,) = await admin.write(
        lambda c: audit.newest_of(c, ["POST /accounts/{account_id}/remove"], 5)
    )
    assert row.entry.detail == f"she left but {admin.around.accounts.left}"
    again = {"username": "ada.marin", "because": "once more"}
    _, told = await admin.json("POST", "/api/v1/accounts/1/remove", again)
    assert told["outcome"].endswith(f"; {admin.around.accounts.left}")


async def test_removal_takes_the_running_jobs_from_the_crawlers(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    assert await admin.write(world.start) == [job_id]
    assert await post(admin, 1, "remove", username="ada.marin", because="she left") == 303
    assert admin.around.commands == [("cancel", "crawler-1", job_id)]
    state = "SELECT state, hold_reason, lease_holder FROM job"
    rows = await admin.write(lambda c: c.exec_driver_sql(state).all())
    assert [tuple(row) for row in rows] == [("held", "credential", None)]


def test_what_was_removed_comes_back_only_by_another_credential(tmp_path: Path) -> None:
    """The file of settings still has it, and is read at each start."""
    path = database_path(tmp_path)
    path.parent.mkdir()
    migrate(path)
    engine = open_engine(path, read_only=False)
    with engine.connect() as connection, connection.begin():
        accounts.record(connection, verified(7, "ada", "first"))
        change(connection, "ada", token="", state="refused")
        accounts.record(connection, verified(7, "ada", "first"))
        query = "SELECT state, token FROM account"
        again = tuple(connection.exec_driver_sql(query).one())
        is_removed = accounts.is_removed(connection, "first")
        accounts.record(connection, verified(7, "ada", "second", "enc:v2:other"))
        other = tuple(connection.exec_driver_sql(query).one())
        assert accounts.is_removed(connection, "second") is False
    engine.dispose()
    assert (again, is_removed, other) == (("refused", ""), True, ("active", "enc:v2:other"))


async def test_operator_reads_and_changes_nothing(admin: Client) -> None:
    await admin.write(world.first_account)
    operator = admin.by(cookie=await admin.session(Role.OPERATOR))
    page = await operator.get("/accounts")
    tried = [
        await post(operator, 1, action, to="off", username="ada.marin", because="x")
        for action in ("verify", "switch", "remove")
    ]
    assert (page.status, re.findall(r'action="/accounts/', page.text), tried) == (
        200,
        [],
        [403, 403, 403],
    )


async def test_switch_that_makes_no_sense_is_refused(admin: Client) -> None:
    await admin.write(world.first_account)
    wrong: tuple[dict[str, str], ...] = ({"to": "maybe", "because": "x"}, {"to": "off"}, {})
    assert [await post(admin, 1, "switch", **fields) for fields in wrong] == [422, 422, 422]
    assert (await told(admin))["ada.marin"]["state"] == "works"
