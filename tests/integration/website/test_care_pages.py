"""The pages of health, backups, notices, and the public one: read, act, refuse, and stay quiet."""

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from labtrawl.store import backup, ledger, notices, seen
from labtrawl.store.engine import Connection
from labtrawl.store.notices import Notice
from labtrawl.store.sessions import Role
from labtrawl.website.given.care import AboutCrawl, BackupPlan, Care
from tests.integration.website import world
from tests.integration.website.conftest import Client
from tests.integration.website.world import HOSTILE

ASKED = urlencode({"contact": "root@gitlab.example", "words": "It is slow. Please stop."})


@pytest.fixture
def care(tmp_path: Path) -> Care:
    """Of a site with a place for backups and one channel."""
    about = AboutCrawl("lab@example.org", "consent", "labtrawl/1 (+x)", 600, 0.3)
    plan = BackupPlan(tmp_path / "b", 24.0, 7, 48.0)
    return Care(backup=plan, channels=("webhook",), about=about)


async def test_health_is_the_same_as_a_page_and_for_programs(admin: Client) -> None:
    _, told = await admin.json("GET", "/api/v1/health")
    page = (await admin.get("/health")).text
    _, whole = await admin.json("GET", "/api/admin/health")
    assert [each["name"] for each in told["checks"]] == [each["name"] for each in whole["checks"]]
    assert {each["name"] for each in whole["checks"] if not each["ok"]} <= {"programs"}
    for each in told["checks"]:
        assert f'id="check-{each["name"]}"' in page
        assert set(each) == {"name", "title", "state", "says", "means", "advice"}
    key = admin.around.data_dir / "config" / "labtrawl.key"
    key.chmod(0o444)
    _, told = await admin.json("GET", "/api/v1/health")
    assert told["state"] == "bad"
    said = (await admin.get("/health")).text
    assert "What to do:</span> <bdi>put the key file back" in said
    assert "from where <code>labtrawl backup --keys</code> wrote it" in said
    assert re.search(r'id="check-backup".*?<bdi>There is none</bdi>', said, re.DOTALL)


async def shares(admin: Client, collected: int, expected: int = 1000) -> tuple[str, str]:
    """What the check of shares says after a list was read to its end with so much."""

    def note(connection: Connection) -> None:
        entry = ledger.Entry(expected, "x-total")
        ((area_id, resource),) = connection.exec_driver_sql(
            f"UPDATE ledger SET collected = {collected} RETURNING area_id, resource"
        ).all()
        ledger.close_row(connection, area_id, resource, entry)
        connection.exec_driver_sql("UPDATE job SET state = 'completed', finished_at = 1")
        seen.mark_shares(connection)

    await admin.write(note)
    _, told = await admin.json("GET", "/api/v1/health")
    (check,) = (each for each in told["checks"] if each["name"] == "shares")
    return check["state"], check["says"]


async def test_area_whose_collected_share_fell_is_told_until_it_is_there_again(
    admin: Client,
) -> None:
    await admin.write(world.one_job)
    fine, less = ("ok", "no area has less than it had"), "kelp/labs: 100.0 % became 64.0 %"
    found = [await shares(admin, each) for each in (400, 1000, 995, 640, 640, 1000)]
    assert found == [fine, fine, fine, ("warn", less), ("warn", less), fine]
    # More was announced, and no more came.
    assert await shares(admin, 1000, 2000) == ("warn", "kelp/labs: 100.0 % became 50.0 %")


async def test_backups_are_listed_and_one_can_be_wished(admin: Client, care: Care) -> None:
    number = await admin.write(lambda c: backup.begin(c, HOSTILE))
    await admin.write(lambda c: backup.fail(c, number, "<b>full</b>"))
    text = (await admin.get("/backups")).text
    assert "&lt;b&gt;full&lt;/b&gt;" in text
    assert "<script>alert" not in text
    assert "too old" in text
    reply = await admin.post("/backups/make")
    assert (reply.status, reply.headers["location"]) == (303, "/backups?wanted=true")
    assert care.backup_wanted.is_set()
    _, told = await admin.json("GET", "/api/v1/backups")
    assert (told["path"], told["every_hours"], len(told["rows"])) == (str(care.backup.path), 24, 1)
    operator = admin.by(cookie=await admin.session(Role.OPERATOR))
    assert (await operator.post("/backups/make")).status == 403
    assert (await operator.get("/backups")).status == 200


async def test_test_of_notices_is_raised_and_waits_for_its_channel(
    admin: Client, care: Care
) -> None:
    reply = await admin.post("/notices/test")
    assert (reply.status, reply.headers["location"]) == (303, "/notices?tested=true")
    assert care.notice_wanted.is_set()
    status, told = await admin.json("POST", "/api/v1/notices/test", {})
    assert (status, told["notice"]) == (202, 2)
    assert len(await admin.store.read(notices.due)) == 2
    _, page = await admin.json("GET", "/api/v1/notices")
    assert [(row["kind"], row["deliveries"][0]["state"]) for row in page["rows"]] == [
        ("test", "queued"),
        ("test", "queued"),
    ]
    assert "webhook: waits" in (await admin.get("/notices")).text


async def test_notices_have_pages_and_hostile_texts_stay_texts(admin: Client) -> None:
    for number in range(52):
        made = Notice("gaps", f"{number}", "gaps", f"{HOSTILE} {number}", HOSTILE)
        await admin.write(lambda c, n=made: notices.raise_notice(c, n, ()))  # type: ignore[misc]
    first = await admin.get("/notices")
    assert "<script>alert" not in first.text
    _, told = await admin.json("GET", "/api/v1/notices")
    assert (len(told["rows"]), told["next"]) == (50, 3)
    _, rest = await admin.json("GET", "/api/v1/notices?before=3")
    assert ([row["id"] for row in rest["rows"]], rest["next"]) == ([2, 1], None)
    assert 'href="/notices?before=3"' in first.text


@pytest.mark.parametrize("care", [Care()], ids=["nothing set"])
async def test_without_a_channel_or_a_place_nothing_can_be_wished(admin: Client) -> None:
    for path in ("/notices/test", "/backups/make"):
        assert (await admin.post(path)).status == 409
    assert 'id="make"' not in (await admin.get("/backups")).text
    assert 'id="test"' not in (await admin.get("/notices")).text


async def test_anybody_sees_who_crawls_and_can_ask_to_stop(stranger: Client, care: Care) -> None:
    page = await stranger.get("/about")
    for told in ("lab@example.org", "consent", "labtrawl/1 (+x)", "600", "30 %"):
        assert told in page.text
    assert 'href="/jobs"' not in page.text
    reply = await stranger.post("/about/stop", ASKED)
    assert (reply.status, reply.headers["location"]) == (303, "/about?asked=true")
    assert care.notice_wanted.is_set()
    (delivery,) = await stranger.store.read(notices.due)
    assert (delivery.notice.kind, "Please stop." in delivery.notice.body) == ("stop_requests", True)
    await stranger.sign_in()
    _, told = await stranger.json("GET", "/api/v1/notices")
    assert [each["words"] for each in told["stop_requests"]] == ["It is slow. Please stop."]
    _, health = await stranger.json("GET", "/api/v1/health")
    assert {each["name"]: each["state"] for each in health["checks"]}["stop_requests"] == "bad"
    assert (await stranger.post("/notices/stop-requests/1")).status == 303
    assert (await stranger.post("/notices/stop-requests/1")).status == 404
    _, told = await stranger.json("GET", "/api/v1/notices")
    assert told["stop_requests"][0]["answered_by"].startswith("admin")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"contact": "a@b.c"},
        {"contact": " ", "words": "stop"},
        {"contact": "a" * 201, "words": "stop"},
        {"contact": "a@b.c", "words": "x" * 2001},
    ],
)
async def test_request_that_says_too_little_or_too_much_is_kept_in_its_form(
    stranger: Client, fields: dict[str, str]
) -> None:
    reply = await stranger.post("/about/stop", urlencode(fields))
    assert (reply.status, "Not sent: say" in reply.text) == (422, True)
    assert list(await stranger.store.read(notices.stop_requests)) == []


async def test_flood_of_requests_to_stop_fills_nothing(stranger: Client) -> None:
    for _ in range(10):
        assert (await stranger.post("/about/stop", ASKED)).status == 303
    reply = await stranger.post("/about/stop", ASKED)
    assert (reply.status, "please write to the contact" in reply.text) == (429, True)
    assert len(await stranger.store.read(notices.stop_requests)) == 10
    assert len(await stranger.store.read(lambda c: notices.newest(c, 99))) == 10


async def test_second_request_of_a_day_is_sent_too(stranger: Client) -> None:
    for words in ("First.", "Second."):
        await stranger.post("/about/stop", urlencode({"contact": "root@a.org", "words": words}))
    found = [each.notice for each in await stranger.store.read(notices.due)]
    assert [(each.cause, each.body.split()[-1]) for each in found] == [
        ("stop_request:1", "First."),
        ("stop_request:2", "Second."),
    ]


@pytest.mark.parametrize(
    "care", [Care(channels=("webhook",), kinds=frozenset({"disk"}))], ids=["disk"]
)
async def test_request_to_stop_is_sent_only_where_it_is_wanted(stranger: Client) -> None:
    assert (await stranger.post("/about/stop", ASKED)).status == 303
    assert len(await stranger.store.read(notices.stop_requests)) == 1
    assert await stranger.store.read(notices.due) == []


async def test_request_to_stop_from_another_site_is_refused(stranger: Client) -> None:
    reply = await stranger.post("/about/stop", ASKED, Sec_Fetch_Site="cross-site")
    assert reply.status == 403
    assert list(await stranger.store.read(notices.stop_requests)) == []
