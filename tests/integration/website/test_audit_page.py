"""The audit log as a page: plain words, filters, pages by number, the check of its seals, files."""

import csv
import io
import json
import re

import pytest

from labtrawl.store import audit
from labtrawl.store.audit import Entry
from labtrawl.store.engine import Connection
from labtrawl.store.pages import audit as listed
from labtrawl.website.door import chain
from tests.integration.website.conftest import Client

FORMULA = '=HYPERLINK("http://evil.example";"x")'


async def filled(client: Client, number: int) -> None:
    """So many rows: each tenth by another, each tenth refused."""
    keys = client.around.keys

    def write(connection: Connection) -> None:
        for each in range(number):
            who = "user ann" if each % 10 == 3 else "admin 3f2a"
            outcome = "403" if each % 10 == 7 else "303"
            action = "POST /jobs/{job_id}/retry" if each % 2 else "settings change"
            target = f"/jobs/{each}/retry" if each % 2 else "crawler.count"
            told = Entry("admin_session", who, "medium", action, target, outcome, FORMULA)
            audit.append(connection, keys, told)

    await client.write(write)


def numbers(text: str) -> list[int]:
    return [int(each) for each in re.findall(r'<tr role="row" id="row-(\d+)"', text)]


async def test_rows_are_told_in_plain_words(admin: Client) -> None:
    await filled(admin, 8)
    text = (await admin.get("/audit")).text
    assert numbers(text) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert "<b><bdi>Queued a job again</bdi></b>" in text
    assert "<bdi>refused: not allowed (403)</bdi>" in text
    assert "in a browser" in text
    assert "Intact up to row 8" in text


async def test_every_row_is_reached_page_by_page_and_back(admin: Client) -> None:
    await filled(admin, 120)
    met, path = [], "/audit"
    while path:
        text = (await admin.get(path)).text
        met.append(numbers(text))
        found = re.search(r'id="page-next"[^>]* href="([^"]*)"', text)
        path = found[1].replace("&amp;", "&") if found else ""
    assert [number for page in met for number in page] == list(range(120, 0, -1))
    assert [len(page) for page in met] == [50, 50, 20]
    back = (await admin.get("/audit?before=20")).text
    assert numbers(back) == list(range(70, 20, -1))


async def test_filters_find_their_rows_and_say_how_far_they_looked(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(admin, 40)
    found = {
        query: numbers((await admin.get(f"/audit?{query}")).text)
        for query in (
            "who=ANN",
            "action=crawler.c",
            "outcome=refused",
            "who=100%25",
            "until=2020-01-01",
        )
    }
    assert found == {
        "who=ANN": [34, 24, 14, 4],
        "action=crawler.c": list(range(39, 0, -2)),
        "outcome=refused": [38, 28, 18, 8],
        "who=100%25": [],
        "until=2020-01-01": [],
    }
    monkeypatch.setattr(listed, "SEARCHED", 15)
    _, told = await admin.json("GET", "/api/v1/audit?who=ann")
    assert [row["number"] for row in told["rows"]] == [34]
    assert told["searched_to"] == told["newest"] - 14
    _, more = await admin.json("GET", told["pages"]["next"])
    assert [row["number"] for row in more["rows"]] == [24, 14]


async def test_changed_row_is_found_and_named(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(admin, 30)
    monkeypatch.setattr(chain, "STEP", 10)
    monkeypatch.setattr(audit, "ROWS", 10)
    first = (await admin.get("/audit")).text
    assert "Intact up to row 10" in first
    await admin.write(lambda c: c.exec_driver_sql("DROP TRIGGER audit_no_update"))
    await admin.write(
        lambda c: c.exec_driver_sql("UPDATE audit SET client = 'nobody' WHERE id = 14")
    )
    second = (await admin.get("/audit")).text
    assert "The log is broken" in second
    assert "row 14 was changed, inserted or moved" in second
    assert "Up to row 13 every seal fits" in second
    status, told = await admin.json("POST", "/api/v1/audit/check")
    assert (status, told["problem"].startswith("row 14 was changed")) == (200, True)


async def test_end_that_was_cut_off_is_found_by_the_check_of_every_row(admin: Client) -> None:
    await filled(admin, 12)
    (admin.around.data_dir / "config").mkdir(exist_ok=True)
    await audit.keep(admin.store, audit.head_path(admin.around.data_dir))
    _, whole = await admin.json("POST", "/api/v1/audit/check")
    assert (whole["problem"], whole["intact_to"]) == ("", 12)
    await admin.write(lambda c: c.exec_driver_sql("DROP TRIGGER audit_no_delete"))
    await admin.write(lambda c: c.exec_driver_sql("DELETE FROM audit WHERE id > 9"))
    _, cut = await admin.json("POST", "/api/v1/audit/check")
    assert cut["problem"] == "the end was cut off: the log had 12 rows and has 9"


async def test_files_hold_every_row_and_no_cell_is_a_formula(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "BLOCK", 7)
    await filled(admin, 20)
    table = await admin.get("/audit/download?form=csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [int(row["number"]) for row in rows] == list(range(1, 21))
    assert {row["detail"] for row in rows} == {"'" + FORMULA}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "@"))]
    lines = await admin.get("/audit/download?form=json&who=ann")
    told = [json.loads(each) for each in lines.text.splitlines()]
    assert [(each["number"], each["detail"]) for each in told] == [(4, FORMULA), (14, FORMULA)]
    assert "attachment" in lines.headers["content-disposition"]
