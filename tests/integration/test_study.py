"""A whole crawl of a study: nothing without consent, and no personal text anywhere afterwards.

Every text of the look-alike that may be about a person is a canary (`labtrawl.sandbox.canaries`).
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from labtrawl import logs
from labtrawl.cli import key_file
from labtrawl.cli.study import study_key_path
from labtrawl.config import Logs
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.policy_fields import SHAPES
from labtrawl.dataset.policy_rules import dropped, number, object_of
from labtrawl.dataset.pseudonyms import Pseudonyms, is_pseudonym
from labtrawl.dataset.reader import read_segment
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Remove, running
from labtrawl.sandbox.canaries import CANARY, FIELDS, plant
from labtrawl.sandbox.model import World
from labtrawl.sandbox.plan import plan_for
from labtrawl.sandbox.world import generate
from labtrawl.store import consents, manifest, visits
from labtrawl.store.engine import Connection
from labtrawl.store.secrets import create_key_file, key_path
from tests.integration.dataset.exported import labtrawl
from tests.rig import consenting
from tests.rig.crawl import Rig, rig

SIZES = {
    "groups": 3,
    "projects": 6,
    "users": 12,
    "issues": 40,
    "merge_requests": 25,
    "notes": 120,
    "commits": 200,
    "pipelines": 40,
    "ci_jobs": 120,
    "events": 80,
    "milestones": 6,
    "releases": 5,
    "branches": 12,
    "environments": 6,
    "deployments": 20,
    "timelogs": 20,
    "links": 8,
    "months": 8,
}
DAILY = Schedule(every=86_400_000, resources=("*",))
# What people choose areas by and are shown themselves by. The database alone has it.
NAMED = {
    ("account", "username"),
    ("area", "full_path"),
    ("area", "name"),
    ("area", "parent_path"),
    ("area", "web_url"),
    ("area_path", "full_path"),
}


@pytest.fixture(scope="module")
def world() -> World:
    return plant(generate(plan_for("default", 1, SIZES)))


def _in_database(connection: Connection) -> dict[tuple[str, str], str]:
    """Return where canaries are, by table and column, with one of each."""
    tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    found = {}
    for (table,) in tables.all():
        columns = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
        names = [column[1] for column in columns]
        for row in connection.exec_driver_sql(f"SELECT * FROM {table}").all():
            for name, value in zip(names, row, strict=True):
                if isinstance(value, str) and (hit := CANARY.search(value)):
                    found[table, name] = hit.group()
    return found


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file of a folder as text, unpacked where it is packed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            if path.suffix == ".zst":
                stream = zstandard.ZstdDecompressor().stream_reader(
                    io.BytesIO(raw), read_across_frames=True
                )
                raw = stream.read()
            yield path, f"{path} {raw.decode('utf-8', 'replace')}"


def _hits(folder: Path) -> dict[str, list[str]]:
    """Return the files of a folder that hold canaries."""
    found = {str(path): CANARY.findall(text) for path, text in _texts(folder)}
    assert found
    return {path: hits for path, hits in found.items() if hits}


async def _crawl(website: Rig, world: World) -> None:
    await website.store.write(consenting.begin)
    await website.plan(world)
    assert await website.store.read(consenting.jobs) == []
    await website.store.write(lambda c: consenting.agree(c, 1))
    async with website.crawler():
        await website.finished()


@pytest.mark.parametrize("graphql", [True, False])
async def test_crawl_of_a_study_keeps_no_personal_text(
    tmp_path: Path, world: World, capfd: pytest.CaptureFixture[str], *, graphql: bool
) -> None:
    data_dir, out = tmp_path / "data", tmp_path / "out"
    logs.set_up(Logs(level="debug"))
    async with (
        running(world) as server,
        rig(data_dir, server.url, study_key=consenting.KEY) as website,
    ):
        website.graphql = graphql
        await _crawl(website, world)
        rows = list(await website.store.read(manifest.segments))
        in_database = await website.store.read(_in_database)
        withheld = await website.store.read(lambda c: consents.all_withheld(c, 100))
    said = "".join(capfd.readouterr())
    assert "job_started" in said
    assert CANARY.findall(said) == []
    assert set(in_database) <= NAMED, in_database
    assert _hits(dataset_root(data_dir)) == {}
    assert withheld == []
    _assert_whole(data_dir, rows, world)
    out.mkdir()
    for form in ("csv", "jsonl") if graphql else ():
        ran = labtrawl("export", form, "--data-dir", data_dir, "--out", out / form)
        assert (ran.code, ran.err) == (0, "")
    if graphql:
        assert _hits(out) == {}
        with (out / "csv" / "labtrawl_meta.csv").open(newline="") as file:
            facts = dict(csv.reader(file))
        # The tables read what a study keeps as they read what a team does.
        assert (facts["mode"], facts["policy"], facts["wrong_types"]) == ("study", "study", "{}")


def _assert_whole(data_dir: Path, rows: list[Any], world: World) -> None:
    """What may be kept is kept: as many issues as there are, by people who have a number each."""
    read = [record for row in rows for record in read_segment(dataset_root(data_dir), row)]
    issues = [json.loads(bytes(one.body)) for one in read if one.kind == "issue"]
    assert len(issues) == len({one["id"] for one in issues}) > 0
    authors = {one["author"]["id"] for one in issues}
    members = {int(str(one.id).split("/")[1]) for one in read if one.kind.endswith("_member")}
    assert all(map(is_pseudonym, authors | members))
    assert authors & members
    assert {one.policy for one in read} == {"study"}
    hashes = {commit.sha for project in world.projects for commit in project.commits}
    told = b"".join(bytes(one.body) + str(one.id).encode() for one in read).decode()
    assert [sha for sha in hashes if sha in told] == []


async def test_crawl_of_a_team_has_a_canary_of_each_meaning(tmp_path: Path, world: World) -> None:
    """The same world, kept as it is: what the test above would not find was never there."""
    async with running(world) as server, rig(tmp_path, server.url) as website:
        await website.plan(world)
        async with website.crawler():
            await website.finished()
    found = {hit for hits in _hits(dataset_root(tmp_path)).values() for hit in hits}
    meanings = {meaning for fields in FIELDS.values() for meaning in fields.values()}
    assert {meaning for meaning in meanings if any(f"cnry{meaning}" in hit for hit in found)} == (
        meanings
    )


async def test_unknown_fields_are_withheld_and_counted(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a list does not have is what a newer GitLab would send."""
    monkeypatch.setitem(SHAPES, "label", object_of({"id": number, "name": dropped}))
    async with (
        running(world) as server,
        rig(tmp_path, server.url, study_key=consenting.KEY) as website,
    ):
        await _crawl(website, world)
        rows = list(await website.store.read(manifest.segments))
        withheld = await website.store.read(lambda c: consents.all_withheld(c, 100))
    read = [record for row in rows for record in read_segment(dataset_root(tmp_path), row)]
    labels = [json.loads(bytes(one.body)) for one in read if one.kind == "label"]
    assert all(set(one) == {"id"} for one in labels)
    counts = {one.field: one.records for one in withheld if one.resource == "labels"}
    assert {one.resource for one in withheld} == {"labels"}
    assert set(counts) > {"color", "description", "text_color"}
    assert counts["color"] == len(labels) > 0


async def _read_again(website: Rig) -> list[tuple[str, int | str, str]]:
    """Sweep every list; return what the records say that were written by it."""
    before = {row.name for row in await website.store.read(manifest.segments)}

    def sweep(connection: Connection) -> None:
        rows = connection.exec_driver_sql("SELECT area_id, resource FROM job").all()
        for area_id, resource in rows:
            visits.sweep_now(connection, area_id, resource)

    await website.store.write(sweep)
    async with website.crawler():
        await website.finished()
    new = [one for one in await website.store.read(manifest.segments) if one.name not in before]
    root = dataset_root(website.data_dir)
    return [(one.kind, one.id, one.state) for row in new for one in read_segment(root, row)]


async def test_second_reading_finds_what_changed_under_its_pseudonym(
    tmp_path: Path, world: World
) -> None:
    project = next(one for one in world.projects if len(one.branches) > 1 and one.labels)
    branch = next(one.name for one in project.branches if one.name != project.default_branch)
    pseudonyms = Pseudonyms(consenting.KEY, "1")
    gone = f"{project.id}/{pseudonyms.text('ref', branch)}"
    async with (
        running(world) as server,
        rig(tmp_path, server.url, study_key=consenting.KEY, schedule=DAILY) as website,
    ):
        await _crawl(website, world)
        assert await _read_again(website) == []
        server.change(Remove(what="branch", project=project.id, key=branch))
        assert ("branch", gone, "gone") in await _read_again(website)
        assert await _read_again(website) == []
    assert _hits(dataset_root(tmp_path)) == {}


def test_keys_that_are_kept_apart_hold_that_of_the_study(tmp_path: Path) -> None:
    data_dir, again, kept = tmp_path / "data", tmp_path / "again", tmp_path / "safe" / "keys.json"
    kept.parent.mkdir()
    for path in (key_path(data_dir), study_key_path(data_dir)):
        create_key_file(path)
    key_file.keep_keys(data_dir, kept, tmp_path / "backup")
    key_file.put_keys(key_file.read_kept(kept), again)
    paths = (key_path, study_key_path)
    assert [of(again).read_bytes() for of in paths] == [of(data_dir).read_bytes() for of in paths]
