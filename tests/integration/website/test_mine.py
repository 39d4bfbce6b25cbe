"""A participant's pages: all of their own, and nothing of anybody else's."""

import itertools
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.store import areas, jobs, leases
from tests.integration.website import own
from tests.integration.website.own import Own, plant
from tests.integration.website.running import running_site


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with running_site(tmp_path_factory.mktemp("mine") / "labtrawl.db") as site:
        yield plant(site)


def ids(told: dict[str, list[dict[str, dict[str, int]]]]) -> list[int]:
    return [row["record"]["id"] for row in told["rows"]]


def test_first_page_shows_the_own_areas_as_a_tree(mine: Own) -> None:
    closed = mine.told("A", "/me")
    opened = mine.told("A", f"/me?opened={mine.areas['group']}")
    shown = [(row["full_path"], row["depth"], row["below"]) for row in closed["rows"]]
    assert shown == [("kelp", 0, 2)]
    shown = [(row["full_path"], row["depth"], row["below"]) for row in opened["rows"]]
    assert shown == [("kelp", 0, 2), ("kelp/labs", 1, 0), ("kelp/labs-of-a", 1, 0)]
    assert closed["rows"][0]["whole"] == {
        "lists": 4,
        "ended": 4,
        "records": 146,
        "open": 0,
        "running": 0,
        "held": 0,
        "last_at": closed["rows"][0]["whole"]["last_at"],
        "gaps": {"forbidden": 1},
    }
    assert closed["stored"] | {"bytes": 0} == {"areas": 3, "lists": 3, "records": 146, "bytes": 0}


def test_first_page_says_what_is_collected_before_all_else(mine: Own) -> None:
    page = mine.page("A", "/me")
    assert page.index("What is collected in your name") < page.index("My areas, as a tree")
    assert re.search(r"last progress <time [^>]*>\d+ s ago</time>", page)
    assert "GitLab does not let your account read it" in page
    assert "user101" in page
    assert "user102" not in page


def test_page_without_an_account_says_so_and_has_no_error(mine: Own) -> None:
    for path in ("/me", "/me/records", "/me/download"):
        assert mine.status("N", "GET", path) == 200
    assert "Nothing is collected in your name" in mine.page("N", "/me")
    assert mine.status("N", "POST", "/me/download") == 404


def see_user(connection: Connection, account: int) -> int:
    """Let A's account see its own user; return the area."""
    query = "SELECT instance_id FROM account WHERE id = ?"
    instance = connection.exec_driver_sql(query, (account,)).scalar_one()
    found = areas.record(connection, instance, FoundArea(AreaKind.USER, 101, "@user101", "me"))
    areas.grant(connection, found, account, 0)
    return found


def forget_user(connection: Connection, area_id: int) -> None:
    done = "UPDATE job SET state = 'completed', error_reason = NULL WHERE area_id = ?"
    for each in (done, "DELETE FROM area_access WHERE area_id = ?"):
        connection.exec_driver_sql(each, (area_id,))


def test_page_of_the_own_user_says_what_it_is_for(mine: Own) -> None:
    number = mine.site.write(lambda c: see_user(c, mine.accounts["A"]))
    page = mine.page("A", f"/me/areas/{number}")
    assert "Nothing is collected of you here." in page
    assert ("Your role" in page, "Look at its records" in page) == (False, False)
    mine.site.write(lambda c: forget_user(c, number))


def test_own_discovery_that_failed_is_told_in_plain_words_with_what_to_do(mine: Own) -> None:
    def fail(connection: Connection) -> int:
        found = see_user(connection, mine.accounts["A"])
        assert jobs.enqueue(connection, jobs.PlannedJob(found, "discovery")) is not None
        (claimed,) = leases.claim(connection, "c", "c", 1, 60, "discovery")
        jobs.fail(connection, claimed.job_id, "forbidden", "403 of lab/secret")
        return found

    number = mine.site.write(fail)
    try:
        told, theirs = mine.told("A", "/me"), mine.told("B", "/me")
        one = mine.told("A", f"/me/areas/{number}")
        pages = mine.page("A", "/me") + mine.page("A", f"/me/areas/{number}")
    finally:
        mine.site.write(lambda c: forget_user(c, number))
    advice = (
        "Looking up which groups and projects your account sees did not come to its end, so some of"
        " yours may be missing here. Those who run this see it too; if it stays, ask them to look"
        " again."
    )
    title = "Not all of your areas are known"
    lost = {"reason": "discovery", "title": title, "advice": advice, "lists": 1}
    assert (told["troubles"][0], theirs["troubles"]) == (lost, [])
    rows = {row["full_path"]: row["whole"]["gaps"] for row in told["rows"]}
    assert rows == {"@user101": {"discovery": 1}, "kelp": {"forbidden": 1}}
    lists = [(each["state"], each["why"], each["advice"]) for each in one["lists"]]
    assert lists == [("Did not come to its end", title, advice)]
    assert ("Your groups and projects</th>" in pages, "secret" in pages) == (True, False)


def test_own_list_that_is_unexplained_is_not_told_to_be_whole(mine: Own) -> None:
    area, change = mine.areas["theirs"], "UPDATE ledger SET expected = ? WHERE area_id = ?"
    mine.site.write(lambda c: c.exec_driver_sql(change, (5, area)))
    try:
        told, one = mine.told("B", "/me"), mine.told("B", f"/me/areas/{area}")
    finally:
        mine.site.write(lambda c: c.exec_driver_sql(change, (2, area)))
    why = (
        "Unexplained",
        "What is there is not as much as GitLab announced, and nobody knows why. Those who run this"
        " see it too; you need not do anything.",
    )
    lost = {"reason": "unexplained", "title": why[0], "advice": why[1], "lists": 1}
    assert told["troubles"] == [lost]
    assert [(each["why"], each["advice"]) for each in one["lists"]] == [why]


def test_records_are_named_in_words_with_their_list(mine: Own) -> None:
    page = mine.page("A", f"/me/records?area={mine.areas['own']}&resource=issues")
    assert re.findall(r">(Issue <bdi>20\d</bdi>)</a>", page) == [
        f"Issue <bdi>{number}</bdi>" for number in (201, 202, 203)
    ]
    assert page.count('data-name="Area"') == page.count('data-name="List">Issues<') == 3
    own = mine.areas["own"]
    operators = mine.page("O", f"/areas/{own}/records?resource=issues")
    assert (operators.count('data-name="Area"'), operators.count('data-name="List"')) == (0, 3)


def test_area_page_tells_list_by_list(mine: Own) -> None:
    page = mine.page("A", f"/me/areas/{mine.areas['own']}")
    assert "Not for your account" in page
    assert f'href="/me/records?area={mine.areas["own"]}&amp;resource=issues"' in page
    told = mine.told("A", f"/me/areas/{mine.areas['own']}")
    lists = [(each["line"]["resource"], each["state"], each["why"]) for each in told["lists"]]
    assert lists == [
        ("issues", "Read to its end", ""),
        ("pipelines", "Nothing to read", "Not for your account"),
    ]


def test_foreign_area_is_as_missing_as_none(mine: Own) -> None:
    paths = (
        "/me/areas/{}",
        "/me/records?area={}",
        "/api/v1/me/areas/{}",
        "/api/v1/me/records?area={}",
    )
    for (who, theirs), path in itertools.product((("A", "theirs"), ("B", "own")), paths):
        numbers = (mine.areas[theirs], 987654)
        foreign, none = (mine.ask(who, "GET", path.format(each)) for each in numbers)
        assert (foreign[0], none[0]) == (404, 404)
        told = [
            each[2].replace(f"area {number}".encode(), b"area N")
            for each, number in zip((foreign, none), numbers, strict=True)
        ]
        assert told[0] == told[1]
        choice = f"/me/areas/{mine.areas[theirs]}/choice"
        assert mine.status(who, "POST", choice, "wanted=no") == 404


def test_records_are_those_of_the_own_areas(mine: Own) -> None:
    assert ids(mine.told("A", f"/me/records?area={mine.areas['own']}")) == [201, 202, 203]
    assert ids(mine.told("B", "/me/records")) == [7, 301, 302]


def test_records_that_somebody_with_more_rights_read_are_not_shown(mine: Own) -> None:
    shared = mine.areas["shared"]
    assert mine.told("B", f"/me/records?area={shared}")["rows"] == []
    line = mine.told("B", f"/me/areas/{shared}")["lists"][0]["line"]
    assert (line["collected"], line["is_mine"]) == (142, False)
    assert "read with more rights" in mine.page("B", f"/me/areas/{shared}")


def walk(mine: Own, who: str, path: str, way: str) -> list[list[int]]:
    pages = []
    query = path
    while True:
        told = mine.told(who, query)
        pages.append(ids(told))
        if told[way] is None:
            return pages
        name = "since" if way == "next" else "until"
        query = f"{path}{'&' if '?' in path else '?'}{name}={told[way]}"


def test_pages_of_records_hold_each_once_and_lead_back(mine: Own) -> None:
    pages = walk(mine, "A", "/me/records", "next")
    expected = [7, *range(1, 141), 3, 5, 201, 202, 203]
    assert [each for page in pages for each in page] == expected
    last = mine.told("A", "/me/records")
    for _ in pages[1:]:
        last = mine.told("A", f"/me/records?since={last['next']}")
    back = [ids(last)]
    while last["previous"]:
        last = mine.told("A", f"/me/records?until={last['previous']}")
        back.append(ids(last))
    assert back[::-1] == pages


def test_records_are_found_by_what_they_hold(mine: Own) -> None:
    area = f"/me/records?area={mine.areas['shared']}&resource=issues"
    assert ids(mine.told("A", "/me/records?text=TITLE%2014")) == [14, 140]
    assert ids(mine.told("A", "/me/records?kind=label")) == [7]
    assert ids(mine.told("A", "/me/records?state=gone")) == [5]
    assert ids(mine.told("A", f"{area}&text=title%203&state=present")) == [3, *range(30, 40), 3]
    assert ids(mine.told("A", f"{area}&text=title%203&versions=newest")) == [*range(30, 40), 3]
    older = [row["record"]["id"] for row in mine.told("A", area)["rows"] if row["is_older"]]
    assert older == [3, 5]
    stored = mine.told("A", "/me/records")["stored"]
    assert stored == [
        {"resource": "issues", "lists": 2, "lines": 145},
        {"resource": "labels", "lists": 1, "lines": 1},
    ]


def test_record_is_shown_as_it_is_stored(mine: Own) -> None:
    row = mine.told("A", "/me/records?kind=label")["rows"][0]
    told = mine.told("A", f"/me/records/{row['place']}")
    page = mine.page("A", f"/me/records/{row['place']}")
    assert told["line"]["body"] == {"id": 7, "name": own.HOSTILE}
    assert told["line"]["policy"] == "as_is"
    assert "&#34;name&#34;: &#34;&lt;script&gt;alert(1)&lt;/script&gt; \\u202egnp.exe" in page


@pytest.mark.parametrize("path", ["/me/records", "/me/records?kind=label", "/me/records/{label}"])
def test_hostile_text_stays_text(mine: Own, path: str) -> None:
    label = mine.told("A", "/me/records?kind=label")["rows"][0]["place"]
    page = mine.page("A", path.format(label=label))
    assert "<script>alert" not in page
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", page)


def test_foreign_record_is_as_missing_as_none(mine: Own) -> None:
    for who, other in (("B", "A"), ("A", "B")):
        theirs = mine.told(other, "/me/records?text=title")["rows"][-1]["place"]
        assert mine.status(other, "GET", f"/me/records/{theirs}") == 200
        assert mine.status(who, "GET", f"/me/records/{theirs}") == 404
        since = mine.told(who, f"/me/records?since={theirs}")
        assert not {row["place"] for row in since["rows"]} & {theirs}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/me/records/1-issues-1.1.0", 422),
        ("/me/records/..%2f..%2fetc%2fpasswd", 403),
        ("/me/records/1-issues-999.1.0.0", 404),
        ("/me/records?since=../../etc", 422),
        ("/me/records?since=999999-issues-1.1.0.0", 200),
        ("/me/records?text=" + "x" * 201, 422),
        ("/me/records?state=away", 422),
        ("/me/records?text=%00%ff%ed%a0%80", 200),
        ("/me?opened=1;2", 422),
        ("/me?after=999999", 200),
        ("/me/areas/0", 422),
    ],
)
def test_bad_address_is_answered_in_plain_words(mine: Own, path: str, status: int) -> None:
    assert mine.status("A", "GET", path) == status
    assert mine.status("A", "GET", f"/api/v1{path}") == status


def test_place_inside_a_frame_is_no_record(mine: Own) -> None:
    place = mine.told("A", f"/me/records?area={mine.areas['own']}")["rows"][0]["place"]
    head, _, _ = place.rpartition(".0.")
    assert mine.status("A", "GET", f"/me/records/{head}.1.0") == 404
    assert mine.status("A", "GET", f"/me/records/{head}.0.99") == 404
    page = mine.told("A", f"/me/records?area={mine.areas['own']}&since={head}.1.0")
    assert (page["rows"], len(page["problems"])) == ([], 1)


def test_place_in_a_file_that_was_put_together_with_others_begins_it_again(mine: Own) -> None:
    area = mine.areas["own"]
    before = mine.told("A", f"/me/records?area={area}")["rows"]
    change = f"UPDATE segment SET fence = fence + 1 WHERE area_id = {area}"
    mine.site.write(lambda c: c.exec_driver_sql(change))
    assert mine.status("A", "GET", f"/me/records/{before[2]['place']}") == 404
    again = mine.told("A", f"/me/records?area={area}&since={before[2]['place']}")["rows"]
    back = mine.told("A", f"/me/records?area={area}&until={before[2]['place']}")["rows"]
    assert [row["record"] for row in again] == [row["record"] for row in before]
    assert [row["record"] for row in back] == [row["record"] for row in before]


def test_operators_browse_an_area_and_participants_do_not(mine: Own) -> None:
    area = mine.areas["theirs"]
    told = mine.told("O", f"/areas/{area}/records")
    assert ids(told) == [301, 302]
    assert mine.status("O", "GET", f"/areas/{area}/records/{told['rows'][0]['place']}") == 200
    other = f"/areas/{mine.areas['own']}/records/{told['rows'][0]['place']}"
    assert mine.status("O", "GET", other) == 404
    assert mine.status("O", "GET", "/areas/987654/records") == 404
    assert mine.status("B", "GET", f"/areas/{area}/records") == 403
    assert mine.status("O", "GET", "/me/areas/1") == 404
