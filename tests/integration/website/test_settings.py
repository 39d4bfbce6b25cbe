"""The page of settings: what it shows, what it changes in the file, what it refuses."""

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from labtrawl.config import SETTINGS
from labtrawl.store import audit
from labtrawl.store.audit import Entry
from labtrawl.store.sessions import Role
from labtrawl.website.given.sheet import SettingsDesk
from tests.integration.website import world
from tests.integration.website.conftest import Client, Reply
from tests.integration.website.paper import TEXT, TOKEN, Paper, no_file


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "labtrawl.toml")


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> SettingsDesk:
    if "paper" not in request.fixturenames:
        return no_file()
    paper: Paper = request.getfixturevalue("paper")
    return paper.desk()


async def save(client: Client, name: str, value: str, seen: str, why: str, to: str = "") -> Reply:
    fields = {"value": value, "seen": seen, "because": why, **({"to": to} if to else {})}
    return await client.post(f"/settings/{name}", urlencode(fields))


async def history(client: Client) -> list[Entry]:
    actions = ("settings change", "settings apply")
    return [each.entry for each in await client.write(lambda c: audit.newest_of(c, actions, 20))]


def sentence(reply: Reply) -> str:
    found = re.search(r'id="wrong-[^"]*" role="alert">([^<]*)<', reply.text)
    return found[1].replace("&#39;", "'") if found else ""


@pytest.mark.seed("S2.105")
async def test_page_shows_every_setting_and_no_secret(admin: Client, paper: Paper) -> None:
    text = (await admin.get("/settings")).text
    shown = re.findall(r'<article class="setting" id="([^"]*)"', text)
    assert shown == [row.name for row in SETTINGS]
    assert (TOKEN in text, "LABTRAWL_RETRY_ATTEMPTS in the environment" in text) == (False, True)
    changeable = re.findall(r'<form method="post" action="/settings/([a-z_.]+\.[a-z_]+)"', text)
    assert {"retry.attempts", "logs.level", "website.crawler_token"} & set(changeable) == set()
    assert "crawler.count" in changeable


@pytest.mark.seed("S2.105")
async def test_change_is_in_the_file_with_its_comments_and_in_the_audit_log(
    admin: Client, paper: Paper
) -> None:
    reply = await save(admin, "crawler.count", "2", "1", "twice the areas")
    followed = await admin.get("/settings?saved=crawler.count")
    assert (reply.status, reply.headers["location"]) == (
        303,
        "/settings?saved=crawler.count#crawler.count",
    )
    assert paper.file.read_text() == TEXT.replace("count = 1", "count = 2")
    assert paper.file.stat().st_mode & 0o777 == 0o600
    (entry,) = await history(admin)
    assert entry == Entry(
        entry.tier,
        entry.client,
        entry.level,
        "settings change",
        "crawler.count",
        "1 -> 2",
        "twice the areas",
    )
    assert (entry.tier, entry.client.startswith("admin ")) == ("admin_session", True)
    assert "crawler.count is saved in the file" in followed.text
    assert "twice the areas" in followed.text
    assert paper.reloading.asked == 0


@pytest.mark.seed("S2.105")
async def test_apply_asks_for_a_reload_and_tells_its_answer(admin: Client, paper: Paper) -> None:
    await save(admin, "crawler.count", "2", "1", "more")
    reply = await admin.post("/settings/apply")
    assert (reply.status, paper.reloading.asked) == (200, 1)
    assert "<li>crawler-2 added</li>" in reply.text
    assert "Nothing that was saved waits" in reply.text
    assert (await history(admin))[0].outcome == "crawler-2 added"


@pytest.mark.seed("S2.105")
async def test_refused_apply_is_told_and_what_is_saved_still_waits(
    admin: Client, paper: Paper
) -> None:
    paper.reloading.refusal = "website.* cannot change while labtrawl runs"
    await save(admin, "crawler.count", "2", "1", "more")
    reply = await admin.post("/settings/apply")
    assert reply.status == 409
    assert "website.* cannot change while labtrawl runs" in reply.text
    assert "not applied from here yet" in reply.text
    assert (await history(admin))[0].outcome.startswith("refused: ")


@pytest.mark.seed("S2.105")
@pytest.mark.parametrize(
    ("name", "value", "seen", "why", "status", "said"),
    [
        (
            "crawler.count",
            "65",
            "1",
            "x",
            422,
            "crawler.count must be a whole number from 0 to 64",
        ),
        (
            "crawler.count",
            "two",
            "1",
            "x",
            422,
            "crawler.count must be a whole number from 0 to 64",
        ),
        ("crawler.count", "", "1", "x", 422, "crawler.count must be a whole number from 0 to 64"),
        ("crawler.count", "1", "1", "x", 422, "crawler.count is that already"),
        (
            "crawler.count",
            "2",
            "1",
            " ",
            422,
            "say why it is changed: whoever looks at it later will want to know",
        ),
        (
            "crawler.count",
            "2",
            "9",
            "x",
            409,
            "crawler.count was changed meanwhile: look at its value and save again",
        ),
        (
            "lease.seconds",
            "4",
            "15.0",
            "x",
            422,
            "lease.renew_seconds must be less than lease.seconds; a third is good",
        ),
    ],
)
async def test_refusal_stands_at_the_field_and_changes_nothing(
    admin: Client,
    paper: Paper,
    name: str,
    value: str,
    seen: str,
    why: str,
    status: int,
    said: str,
) -> None:
    reply = await save(admin, name, value, seen, why)
    assert (reply.status, sentence(reply)) == (status, f"Not saved: {said}.")
    assert (
        f'aria-describedby="wrong-{name} expects-{name}" aria-invalid="true" autofocus'
        in reply.text
    )
    assert (paper.file.read_text(), await history(admin)) == (TEXT, [])


@pytest.mark.seed("S2.105")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("retry.attempts", "It is given by LABTRAWL_RETRY_ATTEMPTS in the environment"),
        ("logs.level", "It is given by logs.level on the command line"),
        ("website.crawler_token", "It cannot change while labtrawl runs"),
        ("data_dir", "It cannot change while labtrawl runs"),
    ],
)
async def test_what_is_set_elsewhere_or_fixed_cannot_be_changed(
    admin: Client, paper: Paper, name: str, said: str
) -> None:
    shown = (await admin.get("/settings")).text
    reply = await save(admin, name, "5", "", "x")
    assert (reply.status, said in shown, said in reply.text) == (422, True, True)
    assert (paper.file.read_text(), await history(admin)) == (TEXT, [])


async def test_list_has_a_text_a_line_and_the_default_comes_back(
    admin: Client, paper: Paper
) -> None:
    await save(admin, "scope.include", "open/*\r\nlab/a,b\r\n", "open/*", "the lab too")
    assert 'include = ["open/*", "lab/a,b"]' in paper.file.read_text()
    await save(admin, "scope.include", "", "open/*\r\nlab/a,b", "no more", to="default")
    again = await save(admin, "scope.include", "", "", "no more", to="default")
    assert paper.file.read_text() == TEXT.replace('include = ["open/*"]\n', "")
    assert sentence(again) == "Not saved: scope.include has its default already."
    assert [entry.outcome for entry in await history(admin)] == [
        "open/*, lab/a,b -> the default, (none)",
        "open/* -> open/*, lab/a,b",
    ]


@pytest.mark.seed("S2.105")
async def test_file_that_became_unusable_is_told_and_nothing_is_offered(
    admin: Client, paper: Paper
) -> None:
    paper.file.write_text("crawler.count = 99\n")
    reply = await admin.get("/settings")
    assert f"crawler.count in {paper.file} must be a whole number from 0 to 64" in reply.text
    assert 'class="change"' not in reply.text


async def test_run_without_a_file_is_shown_and_cannot_be_changed(admin: Client) -> None:
    reply = await admin.get("/settings")
    tried = await save(admin, "crawler.count", "2", "1", "x")
    assert ("not started from a file" in reply.text, 'class="change"' in reply.text) == (
        True,
        False,
    )
    assert tried.status == 422


@pytest.mark.seed("S2.105")
async def test_operators_read_it_and_only_admins_change_it(admin: Client, paper: Paper) -> None:
    link, form = 'href="/settings"', '<form method="post" action="/settings/'
    assert form in (await admin.get("/settings")).text
    person_id = await admin.write(lambda c: world.participant(c, 101))
    for role, of, seen in ((Role.OPERATOR, None, 200), (Role.PARTICIPANT, person_id, 403)):
        other = admin.by(cookie=await admin.session(role, of))
        page = await other.get("/settings")
        saved = await save(other, "crawler.count", "2", "1", "x")
        applied = await other.post("/settings/apply")
        assert (page.status, saved.status, applied.status) == (seen, 403, 403)
        assert (link in page.text, form in page.text) == (role is Role.OPERATOR, False)
        assert TOKEN not in page.text
    assert (paper.file.read_text(), paper.reloading.asked) == (TEXT, 0)


@pytest.mark.seed("S2.105")
async def test_page_of_another_site_cannot_change_a_setting(admin: Client, paper: Paper) -> None:
    fields = urlencode({"value": "2", "seen": "1", "because": "x"})
    reply = await admin.post("/settings/crawler.count", fields, Sec_Fetch_Site="cross-site")
    assert (reply.status, paper.file.read_text()) == (403, TEXT)


async def test_unknown_setting_is_not_found(admin: Client, paper: Paper) -> None:
    assert (await save(admin, "crawler.legs", "2", "", "x")).status == 404


def test_no_file_has_no_rows_to_wait_for() -> None:
    assert no_file().read().waiting == []


async def test_apply_does_not_change_where_settings_come_from(admin: Client, paper: Paper) -> None:
    before = [(row.name, row.source) for row in admin.around.settings.read().rows]
    await admin.post("/settings/apply")
    after = [(row.name, row.source) for row in admin.around.settings.read().rows]
    assert after == before
    assert dict(after)["runtime_dir"] == "default"


def test_port_that_moved_is_no_change_that_waits(paper: Paper) -> None:
    """The default port may be taken at the start: what runs is what counts, and the file names none."""
    assert [row.name for row in paper.desk(moved_to=3001).read().waiting] == []


def test_form_of_logs_that_programs_write_is_no_change_that_waits(paper: Paper) -> None:
    """What a person sees follows the setting; website and crawlers write JSON lines always."""
    assert [row.name for row in paper.desk(logs_format="json").read().waiting] == []


async def test_programs_read_change_and_apply_as_people_do(admin: Client, paper: Paper) -> None:
    """The twin of the page: the same rights, the same checks, the same row of the audit log."""
    status, told = await admin.json("GET", "/api/v1/settings")
    by_name = {each["name"]: each for each in told["settings"]}
    assert (status, list(by_name)) == (200, [row.name for row in SETTINGS])
    assert by_name["crawler.count"]["restarts"] == []
    assert by_name["website.trusted_proxies"]["restarts"] == []
    assert by_name["retry.base_seconds"]["restarts"] == ["website", "crawlers"]
    change = {"value": "2", "because": "twice the areas"}
    assert await admin.json("POST", "/api/v1/settings/crawler.count", change) == (
        200,
        {"name": "crawler.count", "old": "1", "now": "2"},
    )
    late = change | {"value": "3", "seen": "1"}
    wrong = [
        await admin.json("POST", "/api/v1/settings/crawler.count", body)
        for body in (late, change | {"value": "65"}, change | {"because": " "}, {"value": "3"})
    ]
    assert [status for status, _ in wrong] == [409, 422, 422, 422]
    back = await admin.json(
        "POST", "/api/v1/settings/crawler.count", {"value": None, "because": "as it was"}
    )
    assert back[1]["now"] == "the default, 1"
    assert await admin.json("POST", "/api/v1/settings/apply", {}) == (
        200,
        {"done": ["crawler-2 added"]},
    )
    paper.reloading.refusal = "it cannot change while labtrawl runs"
    assert (await admin.json("POST", "/api/v1/settings/apply", {}))[0] == 409
    _, told = await admin.json("GET", "/api/v1/settings")
    assert [
        (each["setting"], each["old"], each["now"], each["because"]) for each in told["history"]
    ] == [
        ("", "", "refused: it cannot change while labtrawl runs", ""),
        ("", "", "crawler-2 added", ""),
        ("crawler.count", "2", "the default, 1", "as it was"),
        ("crawler.count", "1", "2", "twice the areas"),
    ]
    assert TOKEN not in str(told)
