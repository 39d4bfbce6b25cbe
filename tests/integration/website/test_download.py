"""A participant's download: whole or no archive, all of their own, and nothing of anybody else's."""

import contextlib
import io
import json
import os
import re
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from labtrawl.domain.area import AreaKind
from labtrawl.store import areas
from labtrawl.store.sessions import Role, create_session
from tests.integration.website import own, world
from tests.integration.website.own import Own, plant
from tests.integration.website.running import running_site

ASK = "please tell those who run this; the page About says how"
LEFT_OUT = f"Some of your records are stored and cannot be read now, so they are left out: {ASK}."
NOT_NOW = f"This record is stored and cannot be read now: {ASK}."


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with running_site(tmp_path_factory.mktemp("mine") / "labtrawl.db") as site:
        yield plant(site)


def archive(mine: Own, who: str) -> zipfile.ZipFile:
    status, headers, body = mine.ask(who, "POST", "/me/download", Accept_Encoding="gzip")
    assert (status, headers["content-type"]) == (200, "application/zip")
    assert re.fullmatch(
        r'attachment; filename="labtrawl-\d{4}-\d\d-\d\d\.zip"', headers["content-disposition"]
    )
    assert "content-encoding" not in headers
    return zipfile.ZipFile(io.BytesIO(body))


def test_download_holds_what_is_shown_and_nothing_else(mine: Own) -> None:
    for who, pages in (("A", 146), ("B", 3)):
        packed = archive(mine, who)
        manifest = json.loads(packed.read("manifest.json"))
        lines = [
            json.loads(line)
            for each in manifest["files"]
            for line in packed.read(each["name"]).splitlines()
        ]
        shown = [row["record"] for page in pages_of(mine, who) for row in page]
        assert lines == shown
        assert (len(lines), manifest["records"], manifest["is_complete"]) == (pages, pages, True)
        assert f"user10{1 if who == 'A' else 2}" in packed.read("README.txt").decode()


def pages_of(mine: Own, who: str) -> Iterator[list[dict[str, object]]]:
    told = mine.told(who, "/me/records")
    yield told["rows"]
    while told["next"]:
        told = mine.told(who, f"/me/records?since={told['next']}")
        yield told["rows"]


def test_download_is_asked_for_from_here_and_written_down(mine: Own) -> None:
    foreign = mine.ask("A", "POST", "/me/download", Sec_Fetch_Site="cross-site")
    assert foreign[0] == 403
    archive(mine, "A")
    query = "SELECT action, detail FROM audit ORDER BY id DESC LIMIT 1"
    row = mine.site.write(lambda c: c.exec_driver_sql(query).one())
    assert tuple(row) == ("POST /me/download", f"archive of account {mine.accounts['A']}")


def test_damaged_file_is_told_on_the_page_and_in_the_archive(mine: Own) -> None:
    query = "SELECT name FROM segment WHERE area_id = ?"
    area = mine.areas["theirs"]
    name = mine.site.write(lambda c: c.exec_driver_sql(query, (area,)).scalar_one())
    path: Path = mine.site.around.data_dir / "dataset" / name
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    query = f"records?area={area}&resource=issues"
    try:
        with capture_logs() as written:
            told = mine.told("B", f"/me/{query}")
            page = mine.page("B", f"/me/{query}")
        operators = mine.told("O", f"/areas/{area}/records?resource=issues")
        manifest = json.loads(archive(mine, "B").read("manifest.json"))
    finally:
        path.write_bytes(content)
    why = f"{name} has {len(content) - 3} bytes; {len(content)} were committed"
    assert (told["rows"], told["problems"]) == ([], [LEFT_OUT])
    assert (page.count(LEFT_OUT), name in page) == (1, False)
    assert operators["problems"] == [why]
    logged = {"event": "records_unreadable", "log_level": "error", "files": 1, "first": why}
    shown = [each for each in written if each["event"] == "records_unreadable"]
    assert shown == [logged | {"account": mine.accounts["B"]}] * 2
    assert (manifest["is_complete"], [name in each for each in manifest["problems"]]) == (
        False,
        [True],
    )


def test_record_in_a_damaged_file_is_told_without_what_is_inside(mine: Own) -> None:
    query = "SELECT name FROM segment WHERE area_id = ?"
    area = mine.areas["theirs"]
    name = mine.site.write(lambda c: c.exec_driver_sql(query, (area,)).scalar_one())
    place = mine.told("B", f"/me/records?area={area}")["rows"][0]["place"]
    path: Path = mine.site.around.data_dir / "dataset" / name
    content = path.read_bytes()
    path.unlink()
    try:
        with capture_logs() as written:
            status, _, body = mine.ask("B", "GET", f"/api/v1/me/records/{place}")
            page = mine.ask("B", "GET", f"/me/records/{place}")[2].decode()
        operators = mine.ask("O", "GET", f"/api/v1/areas/{area}/records/{place}")[2]
    finally:
        path.write_bytes(content)
    assert (status, json.loads(body)) == (404, {"error": {"code": "not_found", "message": NOT_NOW}})
    assert (page.count(NOT_NOW), name in page) == (1, False)
    words = f"This record cannot be read: {name} is missing."
    assert json.loads(operators)["error"]["message"] == words
    shown = [each["first"] for each in written if each["event"] == "records_unreadable"]
    assert shown == [f"{name} is missing"] * 2


def test_manifest_that_names_no_segment_breaks_no_download_off(mine: Own) -> None:
    area, folder = mine.areas["shared"], f"i1/project-{own.SHARED}/issues"
    name = f"{folder}/j2-f1-000001.jsonl.zst"
    rename = "UPDATE segment SET name = ? WHERE area_id = ? AND name = ?"
    mine.site.write(lambda c: c.exec_driver_sql(rename, ("../theirs", area, name)))
    try:
        with capture_logs() as written:
            packed = archive(mine, "A")
    finally:
        mine.site.write(lambda c: c.exec_driver_sql(rename, (name, area, "../theirs")))
    manifest = json.loads(packed.read("manifest.json"))
    assert manifest["problems"] == [f"a stored file of {folder} has a name that is not its own"]
    assert {each["name"]: each["records"] for each in manifest["files"]} == {
        f"i1/group-{own.GROUP}/labels.jsonl": 1,
        f"{folder}.jsonl": 42,
        f"i1/project-{own.OWN}/issues.jsonl": 3,
    }
    assert [each for each in written if each["event"] == "archive_incomplete"] == [
        {
            "event": "archive_incomplete",
            "log_level": "error",
            "account": mine.accounts["A"],
            "files": 1,
            "first": f"'../theirs' is no segment of {folder}",
        }
    ]


def much(mine: Own) -> None:
    """Let a third participant have one record that does not fit into the buffers of a connection."""

    def work(connection: Connection) -> str:
        person = world.participant(connection, 104)
        query = "SELECT id, instance_id FROM account WHERE gitlab_user_id = 104"
        account_id, instance_id = connection.exec_driver_sql(query).one()
        found = world.found(AreaKind.PROJECT, 5, "much")
        area_id = areas.record(connection, instance_id, found)
        areas.grant(connection, area_id, account_id, 40)
        body = {"id": 1, "title": os.urandom(6 << 20).hex()}
        data_dir = mine.site.around.data_dir
        own.store(connection, data_dir, area_id, "issues", [[own.record(body)]])
        own.store(connection, data_dir, area_id, "labels", [own.records([2], kind="label")])
        return create_session(connection, Role.PARTICIPANT, person)

    token = mine.site.write(work)
    mine.cookies["C"] = f"labtrawl_{urlsplit(mine.site.url).port}={token}"


def begun(mine: Own) -> socket.socket:
    """Begin a download that is too much for the buffers of the connection, and do not read on."""
    parts = urlsplit(mine.site.url)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect((parts.hostname, parts.port))
    lines = (
        "POST /me/download HTTP/1.1",
        f"Host: {parts.netloc}",
        "Sec-Fetch-Site: same-origin",
        f"Cookie: {mine.cookies['C']}",
        "Content-Length: 0",
    )
    slow.sendall("\r\n".join([*lines, "", ""]).encode())
    assert slow.recv(12) == b"HTTP/1.1 200"
    return slow


def test_one_download_at_a_time_and_a_new_one_after_a_broken_one(mine: Own) -> None:
    much(mine)
    with begun(mine):
        status, _, page = mine.ask("C", "POST", "/me/download")
        assert (status, b"still going on" in page) == (409, True)
        assert mine.status("A", "POST", "/me/download") == 200
    while (status := mine.status("C", "POST", "/me/download")) == 409:
        pass
    assert status == 200
    # A site that stops lets go of it, and what was sent is no whole archive.
    with begun(mine) as slow:
        mine.site.restart(lambda _connection: None)
        rest = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := slow.recv(1 << 16):
                rest += chunk
    assert b"manifest.json" not in rest
    assert not rest.endswith(b"0\r\n\r\n")


def test_list_that_is_lost_during_a_download_is_not_in_it(mine: Own) -> None:
    much(mine)
    lose = "DELETE FROM area_access WHERE area_id = (SELECT id FROM area WHERE gitlab_id = 5)"
    with begun(mine) as slow:
        sent = b""
        while b"project-5/issues.jsonl" not in sent:
            sent += slow.recv(1 << 10)
        mine.site.write(lambda c: c.exec_driver_sql(lose))
        while not sent.endswith(b"0\r\n\r\n"):
            sent += slow.recv(1 << 16)
    assert (b"manifest.json" in sent, b"project-5/labels.jsonl" in sent) == (True, False)
