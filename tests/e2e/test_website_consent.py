"""Consent as people meet it: every state of its pages, and the whole way without JavaScript."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from labtrawl.domain.area import AreaKind
from labtrawl.domain.consent import Areas, Wording
from labtrawl.store import areas, consents
from labtrawl.store.engine import Connection
from labtrawl.store.sessions import Role, create_session
from tests.e2e.test_website_pages import look
from tests.integration.website import world
from tests.integration.website.running import RunningSite, running_site
from tests.rig import consenting

BODY = (
    """Who we are, and what for.

We read <your> issues and merge requests: numbers, times and states. Names become pseudonyms.
\u202eA hostile line\x07 of """
    + "averylongword" * 30
)
WORDS = Wording(
    "How teams <b>review</b>", BODY, ("issues", "labels", "merge_requests"), consenting.LATER
)
# One never answered, one agrees, one withdrew.
NEW, AGREES, LEFT = 201, 202, 203
PAGES = {
    "text": (0, "/consent-text"),
    "not answered": (NEW, "/me/consent"),
    "agreed": (AGREES, "/me/consent"),
    "withdrawn": (LEFT, "/me/consent"),
    "for admins": (-1, "/consents"),
}


def _answers(connection: Connection) -> dict[int, int]:
    """Return the person of each participant."""
    consenting.begin(connection, WORDS)
    people = {user: world.participant(connection, user) for user in (NEW, AGREES, LEFT)}
    for user in (AGREES, LEFT):
        consenting.agree(connection, _account(connection, user), Areas.CHOSEN)
    consents.withdraw(connection, _account(connection, LEFT))
    area_id = areas.record(connection, 1, world.found(AreaKind.PROJECT, 5, "lab/p"))
    consents.withhold(connection, area_id, "issues", {"author.new_field": 12})
    return people


def _account(connection: Connection, user: int) -> int:
    row = connection.exec_driver_sql("SELECT id FROM account WHERE gitlab_user_id = ?", (user,))
    number: int = row.scalar_one()
    return number


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("study") / "labtrawl.db") as served:
        yield served


@pytest.fixture(scope="module")
def people(site: RunningSite) -> dict[int, int]:
    return site.write(_answers)


@pytest.fixture(scope="module")
def base_url(site: RunningSite) -> str:
    return site.url


def _be(context: BrowserContext, site: RunningSite, people: dict[int, int], user: int) -> None:
    if user == 0:
        return
    role = Role.ADMIN if user < 0 else Role.PARTICIPANT
    token = site.write(lambda c: create_session(c, role, people.get(user)))
    name = f"labtrawl_{site.url.rpartition(':')[2]}"
    context.add_cookies([{"name": name, "value": token, "url": site.url}])


@pytest.mark.parametrize(
    ("scheme", "states"), [("light", tuple(PAGES)), ("dark", ("agreed", "for admins"))]
)
def test_page_of_consent_in_any_state_is_accessible_and_fits(
    new_context: Any,
    site: RunningSite,
    people: dict[int, int],
    clean_page: list[str],
    scheme: str,
    states: tuple[str, ...],
) -> None:
    context: BrowserContext = new_context(color_scheme=scheme)
    wrong = {}
    for which in states:
        user, path = PAGES[which]
        context.clear_cookies()
        _be(context, site, people, user)
        wrong[which] = look(context, site.url + path, clean_page)
    assert wrong == {which: [] for which in states}


def test_whole_way_of_a_participant_without_javascript(
    new_context: Any, site: RunningSite, people: dict[int, int], clean_page: list[str]
) -> None:
    context: BrowserContext = new_context(java_script_enabled=False)
    _be(context, site, people, NEW)
    page = context.new_page()
    page.goto(f"{site.url}/me/consent")
    expect(page.locator(".written")).to_contain_text("We read <your> issues")
    page.locator("#agree").click()
    assert page.url.endswith("/me/consent")  # the browser asks for the box to be ticked
    page.locator("#agreed").check()
    page.locator("#areas-chosen").check()
    page.locator("#until").fill("2030-12-31")
    page.locator("#agree").click()
    expect(page.locator("#state-title")).to_contain_text("You agreed")
    expect(page.locator(".facts").first).to_contain_text("the areas that you chose")
    page.locator("#open-withdraw").click()
    page.locator("#sure").check()
    page.locator("#withdraw").click()
    expect(page.locator("#state-title")).to_contain_text("Nothing is read")
    assert clean_page == []
    past = site.write(lambda c: consents.history(c, _account(c, NEW)))
    assert [one.ended_why for one in past] == ["withdrawn"]
