"""What a participant says of their areas, on their pages, and what follows."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection, text

from labtrawl.domain.area import AreaKind
from labtrawl.store import areas, choices, consents
from labtrawl.store.sessions import Role, create_session
from labtrawl.website.given.care import AboutCrawl, Care
from tests.integration.website import world
from tests.integration.website.own import Own, records, store
from tests.integration.website.running import RunningSite, running_site
from tests.rig.consenting import agree, begin


def _found(connection: Connection, instance_id: int, account_id: int) -> dict[str, int]:
    made = {}
    for name, kind, number, path in (
        ("group", AreaKind.GROUP, 1, "kelp"),
        ("project", AreaKind.PROJECT, 2, "kelp/labs"),
    ):
        made[name] = areas.record(connection, instance_id, world.found(kind, number, path))
        assert choices.found(connection, account_id, made[name], 40)
        areas.grant(connection, made[name], account_id, 40)
    return made


def _plant(site: RunningSite) -> Own:
    def work(connection: Connection) -> tuple[dict[str, int], dict[str, str], dict[str, int]]:
        begin(connection)
        person = world.participant(connection, 101)
        query = "SELECT id, instance_id FROM account"
        account_id, instance_id = connection.exec_driver_sql(query).one()
        agree(connection, account_id)
        made = _found(connection, instance_id, account_id)
        job = store(connection, site.around.data_dir, made["project"], "issues", [records([1, 2])])
        connection.exec_driver_sql("UPDATE job SET account_id = ? WHERE id = ?", (account_id, job))
        token = create_session(connection, Role.PARTICIPANT, person)
        cookie = f"labtrawl_{urlsplit(site.url).port}={token}"
        return {"A": account_id}, {"A": cookie}, made

    return Own(site, *site.write(work))


@pytest.fixture
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with running_site(tmp_path_factory.mktemp("choices") / "labtrawl.db") as site:
        yield _plant(site)


def is_read(mine: Own) -> dict[str, bool]:
    rows = mine.told("A", f"/me?opened={mine.areas['group']}")["rows"]
    return {row["full_path"]: row["is_read"] for row in rows if row["kind"] != "user"}


def test_excluded_area_is_read_no_more_and_what_is_stored_is_still_shown(mine: Own) -> None:
    choice = f"/me/areas/{mine.areas['group']}/choice"
    assert is_read(mine) == {"kelp": True, "kelp/labs": True}
    status, headers, _ = mine.ask("A", "POST", choice, "wanted=no")
    assert (status, headers["location"]) == (303, f"/me/areas/{mine.areas['group']}")
    assert is_read(mine) == {"kelp": False, "kelp/labs": False}
    assert "you excluded it" in mine.page("A", f"/me/areas/{mine.areas['group']}")
    assert [row["record"]["id"] for row in mine.told("A", "/me/records")["rows"]] == [1, 2]
    # Whoever reads it from now on may see more than this account does.
    other = "UPDATE job SET account_id = NULL"
    mine.site.write(lambda c: c.exec_driver_sql(other))
    assert mine.told("A", "/me/records")["rows"] == []
    back = mine.ask(
        "A", "POST", f"/api/v1{choice}", '{"wanted":"as above"}', Content_Type="application/json"
    )
    assert (back[0], back[2]) == (200, b'{"wanted":null,"stopped":0}')
    assert is_read(mine) == {"kelp": True, "kelp/labs": True}
    assert mine.status("A", "POST", choice, "wanted=perhaps") == 422


def test_page_says_first_that_nothing_is_read_after_a_withdrawal(mine: Own) -> None:
    assert "you agreed to version 1" in mine.page("A", "/me")
    mine.site.write(lambda c: consents.withdraw(c, mine.accounts["A"]))
    page = mine.page("A", "/me")
    assert "Nothing is read now" in page
    assert 'href="/me/consent"' in page
    assert [row["record"]["id"] for row in mine.told("A", "/me/records")["rows"]] == [1, 2]


def _lose(connection: Connection, account_id: int, area_id: int) -> None:
    """Let GitLab not show an area any more that was read to its end as a maintainer."""
    for table, column in (("job", "read_role"), ("ledger", "stored_role")):
        connection.exec_driver_sql(
            f"UPDATE {table} SET {column} = 40 WHERE area_id = ?", (area_id,)
        )
    areas.lose(connection, account_id, 2**60)


def shown(mine: Own) -> list[int]:
    return [row["record"]["id"] for row in mine.told("A", "/me/records")["rows"]]


def test_what_was_stored_of_a_lost_area_is_still_its_owners(mine: Own) -> None:
    area, account_id = mine.areas["project"], mine.accounts["A"]
    before = mine.told("A", "/me/download")
    mine.site.write(lambda c: _lose(c, account_id, area))
    assert (shown(mine), mine.told("A", "/me/download")) == ([1, 2], before)
    page = mine.page("A", f"/me/areas/{area}")
    assert "GitLab does not show it to you any more" in page
    assert "read with more rights" not in page
    assert mine.told("A", f"/me/areas/{area}")["lists"][0]["line"]["is_mine"] is True
    # The next visit was opened before, so nobody knows the role of the last.
    mine.site.write(lambda c: c.exec_driver_sql("UPDATE job SET read_role = NULL"))
    assert shown(mine) == [1, 2]


def _another(connection: Connection, area_id: int) -> int:
    """Somebody else who agreed, and whom GitLab shows the area."""
    world.participant(connection, 102)
    query = "SELECT id FROM account WHERE username = 'user102'"
    account_id: int = connection.exec_driver_sql(query).scalar_one()
    agree(connection, account_id)
    choices.found(connection, account_id, area_id, 30)
    return account_id


OTHERS = {
    "reads it now": "INSERT INTO area_access (area_id, account_id, role, seen_at)"
    " VALUES (:area, :other, 30, 1)",
    "read it last": "UPDATE job SET account_id = :other WHERE area_id = :area",
    "had more rights": "UPDATE ledger SET stored_role = 50 WHERE area_id = :area",
    "had perhaps more rights": "UPDATE job SET read_role = NULL WHERE area_id = :area",
}


@pytest.mark.parametrize("other", OTHERS)
def test_lost_area_that_somebody_else_may_have_read_is_not_shown(mine: Own, other: str) -> None:
    area = mine.areas["project"]

    def work(connection: Connection) -> int:
        account_id = _another(connection, area)
        _lose(connection, mine.accounts["A"], area)
        return account_id

    ids = {"area": area, "other": mine.site.write(work)}
    assert shown(mine) == [1, 2]
    mine.site.write(lambda c: c.execute(text(OTHERS[other]), ids))
    assert shown(mine) == []


def test_who_has_fewer_rights_now_is_told_wherever_records_are_missing(mine: Own) -> None:
    area, account_id = mine.areas["project"], mine.accounts["A"]

    def demote(connection: Connection) -> None:
        stored = "UPDATE ledger SET stored_role = 40 WHERE area_id = ?"
        connection.exec_driver_sql(stored, (area,))
        areas.grant(connection, area, account_id, 10)

    mine.site.write(demote)
    assert shown(mine) == []
    words = "read with more rights than you have now"
    for path in ("/me/records", "/me/download", f"/me/areas/{area}"):
        assert words in mine.page("A", path), path
    back = f"UPDATE area_access SET role = 40 WHERE area_id = {area}"
    mine.site.write(lambda c: c.exec_driver_sql(back))
    assert shown(mine) == [1, 2]
    # What is there may be less than all of it, and the page cannot tell: it says so always.
    assert words in mine.page("A", "/me/download")


def test_archive_says_whose_it_is_what_is_left_out_and_why_it_is_collected(mine: Own) -> None:
    def readme() -> list[str]:
        _, _, body = mine.ask("A", "POST", "/me/download")
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            return packed.read("README.txt").decode().split("\n\n")[0].splitlines()

    without = readme()
    about = AboutCrawl(basis="To learn how {reviews} work")
    mine.site.around.care = Care(about=about)
    mine.site.restart(lambda _connection: None)
    assert without[0].startswith("Everything that is collected in the name of user101, at ")
    assert "more rights than this account has now" in without[1]
    assert readme() == [*without, "Why it is collected: To learn how {reviews} work"]


ACCOUNTS = {
    "state = 'refused'": "GitLab refuses your sign-in",
    "state = 'refused', token = ''": "Your account is disconnected",
    "state = 'refused', disabled_at = 1": "Those who run this switched your account off",
    "expires_at = 1": "Your sign-in has ended",
    "expires_at = verified_at + 86400000 * 3 + 600000": "Your sign-in ends in 3 days.",
    "expires_at = verified_at + 86400000 + 600000": "Your sign-in ends in 1 day.",
    "expires_at = verified_at + 600000": "Your sign-in ends in less than a day.",
    "expires_at = 1, refresh_token = 'x'": "is renewed by itself",
}
NO_SIGN_IN = {"Those who run this switched your account off", "is renewed by itself"}


def change(mine: Own, words: str) -> None:
    mine.site.write(lambda c: c.exec_driver_sql(f"UPDATE account SET {words}"))


def test_page_says_what_to_do_about_the_account(mine: Own) -> None:
    for sql, words in ACCOUNTS.items():
        assert words not in mine.page("A", "/me")
        change(mine, sql)
        page = mine.page("A", "/me")
        change(
            mine,
            "state = 'active', expires_at = NULL, refresh_token = '', token = 't',"
            " disabled_at = NULL",
        )
        assert words in page
        assert ("GitLab refuses" in page) is (words == "GitLab refuses your sign-in")
        assert ('id="to-account"' in page) is (words not in NO_SIGN_IN)


def test_study_without_a_text_asks_for_patience_and_for_no_sign_in(tmp_path: Path) -> None:
    def work(connection: Connection) -> str:
        begin(connection, None)
        return create_session(connection, Role.PARTICIPANT, world.participant(connection, 101))

    with running_site(tmp_path / "labtrawl.db") as site:
        cookie = f"labtrawl_{urlsplit(site.url).port}={site.write(work)}"
        page = Own(site, {}, {"A": cookie}, {}).page("A", "/me")
    assert "has not published its text yet" in page
    assert ("GitLab refuses" in page, 'id="to-account"' in page) == (False, False)
