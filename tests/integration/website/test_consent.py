"""Consent over HTTP: the text, the answer, the withdrawal, and who may publish another."""

import html
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from labtrawl.dispatch import planner
from labtrawl.store import accounts, choices, consents
from labtrawl.store.engine import Connection
from labtrawl.store.people import Identified, record
from labtrawl.store.sessions import Role
from tests.integration.store import table
from tests.integration.website.conftest import Client
from tests.integration.website.entering import entered, people
from tests.rig import consenting
from tests.rig.consenting import TEXT

DAY = "2031-03-31"
AGREED = {"version": "1", "areas": "all", "until": DAY, "agreed": "yes"}
URL = "http://gitlab.example"


def _participant(connection: Connection, user: int) -> int:
    """Let somebody sign in whose account GitLab accepts; return the person."""
    verified = accounts.VerifiedAccount("lab", URL, "19", user, f"u{user}", (), "token")
    planner.plan_account(connection, verified)
    return record(connection, Identified("lab", URL, user, f"u{user}", "Somebody"))


async def _people(stranger: Client) -> tuple[Client, Client]:
    """Two participants of a study that has a text."""
    await stranger.write(consenting.begin)
    found = []
    for user in (7, 8):
        person = await stranger.write(lambda c, u=user: _participant(c, u))  # type: ignore[misc]
        found.append(stranger.by(cookie=await stranger.session(Role.PARTICIPANT, person)))
    return found[0], found[1]


async def _agree(client: Client, **changed: str) -> int:
    return (await client.post("/me/consent/agree", urlencode(AGREED | changed))).status


async def _told(client: Client, path: str) -> Any:
    status, told = await client.json("GET", f"/api/v1{path}")
    assert status == 200, told
    return told


async def test_everybody_may_read_the_text_as_plain_words(stranger: Client) -> None:
    await stranger.write(consenting.begin)
    page = await stranger.get("/consent-text")
    assert page.status == 200
    assert html.escape(TEXT.body) in page.text
    assert TEXT.body not in page.text
    assert (await stranger.get("/consent-text?version=2")).status == 404


async def test_who_agrees_is_read_and_who_withdraws_is_not(stranger: Client) -> None:
    one, other = await _people(stranger)
    assert (await _told(one, "/me/consent"))["consent"] is None
    assert await _agree(one) == 303
    told = await _told(one, "/me/consent")
    given = {"version": 1, "areas": "all", "until": 1_932_767_999_999}
    assert {name: told["consent"][name] for name in given} == given
    jobs = await stranger.store.read(consenting.jobs)
    assert jobs == [("discovery", "queued", None)]
    held = await stranger.write(lambda c: table.claim(c, "crawler-1"))
    assert (await one.post("/me/consent/withdraw", "sure=yes")).status == 303
    assert stranger.around.commands == [("cancel", "crawler-1", held[0].job_id)]
    assert await stranger.store.read(consenting.jobs) == [("discovery", "held", "unseen")]
    told = await _told(one, "/me/consent")
    assert (told["consent"], [past["ended_why"] for past in told["history"]]) == (
        None,
        ["withdrawn"],
    )
    assert (await _told(other, "/me/consent"))["history"] == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"version": "2"}, 409),
        ({"until": "2001-01-01"}, 409),
        ({"until": "9999-12-31"}, 409),
        ({"until": "31.3.2031"}, 422),
        ({"areas": "none"}, 422),
        ({"agreed": ""}, 422),
        ({"version": "one"}, 422),
        ({"account": "2"}, 422),
    ],
)
async def test_agreement_that_is_none_changes_nothing(
    stranger: Client, changed: dict[str, str], status: int
) -> None:
    one, _ = await _people(stranger)
    assert await _agree(one, **changed) == status
    assert await stranger.store.read(lambda c: consents.history(c, 1)) == []
    assert await stranger.store.read(consenting.jobs) == []


async def test_new_version_asks_everybody_again(stranger: Client) -> None:
    one, _ = await _people(stranger)
    assert await _agree(one) == 303
    admin = stranger.by(cookie=await stranger.session())
    wanted = {
        "title": "Only issues",
        "body": "Less\r\nthan before.",
        "until": DAY,
        "sure": "yes",
        "resources": ["issues", "labels"],
    }
    reply = await admin.post("/consents", urlencode(wanted, doseq=True))
    assert reply.status == 303
    told = await _told(admin, "/consents")
    assert told["asked"] == {"accounts": 2, "consented": 0}
    assert [text["version"] for text in told["texts"]] == [2, 1]
    assert told["texts"][0]["body"] == "Less\nthan before."
    assert told["texts"][0]["resources"] == ["changed_issues", "issues", "labels"]
    assert "The text has changed" in (await one.get("/me/consent")).text
    assert await _agree(one) == 409
    assert await _agree(one, version="2") == 303


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"resources": []}, "at least one kind"),
        ({"resources": ["passwords"]}, "no kind of data called passwords"),
        ({"until": "2001-01-01"}, "in the future"),
        ({"body": " "}, "needs a title and words"),
        ({"title": "x" * 201}, "200 characters of title"),
    ],
)
async def test_text_that_cannot_be_published_is_refused_in_words(
    stranger: Client, changed: dict[str, Any], says: str
) -> None:
    await stranger.write(lambda c: consenting.begin(c, None))
    admin = stranger.by(cookie=await stranger.session())
    wanted = {"title": "T", "body": "B", "until": DAY, "sure": "yes", "resources": ["issues"]}
    reply = await admin.post("/consents", urlencode(wanted | changed, doseq=True))
    assert reply.status == 422
    assert says in html.unescape(reply.text)
    assert await stranger.store.read(consents.texts) == []


async def test_participants_do_not_publish(stranger: Client) -> None:
    one, _ = await _people(stranger)
    assert (await one.get("/consents")).status == 403
    assert (await one.post("/consents", "title=x")).status == 403
    operator = stranger.by(cookie=await stranger.session(Role.OPERATOR))
    assert (await operator.get("/consents")).status == 200
    assert (await operator.post("/consents", "title=x")).status == 403


async def test_withheld_fields_are_told_to_operators(stranger: Client) -> None:
    await _people(stranger)

    def withheld(connection: Connection) -> None:
        area_id = table.area(connection, 7, {})
        consents.withhold(connection, area_id, "issues", {"new_field": 3, "author.plan": 1})
        consents.withhold(connection, area_id, "issues", {"new_field": 2})

    await stranger.write(withheld)
    admin = stranger.by(cookie=await stranger.session())
    told = await _told(admin, "/consents")
    assert [(one["field"], one["records"]) for one in told["withheld"]] == [
        ("author.plan", 1),
        ("new_field", 5),
    ]
    assert "new_field" in (await admin.get("/consents")).text


@pytest.mark.parametrize(("mode", "links"), [("study", 1), ("team", 0)])
async def test_operators_are_led_to_the_consent_texts_of_a_study_alone(
    tmp_path: Path, mode: str, links: int
) -> None:
    async with entered(tmp_path, people(), mode) as site:
        operator = site.client.by(cookie=await site.client.session(Role.OPERATOR))
        page = (await operator.get("/jobs")).text
        assert page.count('href="/consents"') == links


async def test_team_asks_nobody(stranger: Client) -> None:
    assert "Nothing is asked of anybody" in (await stranger.get("/consent-text")).text
    person = await stranger.write(lambda c: _participant(c, 7))
    one = stranger.by(cookie=await stranger.session(Role.PARTICIPANT, person))
    assert await _agree(one) == 409
    assert json.loads((await one.get("/api/v1/me/consent")).text)["text"] is None
    assert await stranger.store.read(lambda c: choices.mine(c, 1)) == []
