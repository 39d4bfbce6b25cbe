"""A person who gets another name stays one: one record, one account, one history by id (mode team)."""

from pathlib import Path
from typing import Any

from labtrawl.dataset.export import Plan, all_names, export
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.tables import tables_of
from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Edit, build_world
from labtrawl.store import manifest
from labtrawl.store.engine import Connection
from tests.integration.dataset.exported import rows_of
from tests.integration.faults.crawling import SIZES, Crawl, Key, crawl
from tests.rig.compare import expected_items

WORLD = build_world("small", 2, SIZES)
ME = WORLD.accounts[0]
FRESH = {"username": "another.name", "name": "Another Name"}
NAMES = ("project", "members", "issues", "merge_requests", "issue_discussions", "timelogs")
SCHEDULE = Schedule(resources=NAMES)
OLD = next(user for user in WORLD.users if user.id == ME.user_id)
BOTH = [(OLD.username, OLD.name), (FRESH["username"], FRESH["name"])]


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = 1")
    visiting.open_all(connection, SCHEDULE)


def _truth(one: Crawl) -> dict[Key, object]:
    return {k: b for k, b in expected_items(one.server.truth()).items() if k[2] in NAMES}


async def test_person_with_another_name_keeps_one_history_by_id(tmp_path: Path) -> None:
    async with crawl(tmp_path, world=WORLD, schedule=SCHEDULE) as one:
        # What ids alone are swept of shows a name later: tests/integration/faults/test_facts.py.
        one.site.graphql = False
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
            before = await one.now()
            one.server.change(Edit(what="user", key=ME.username, fields=FRESH))
            await one.site.plan(one.server.world)
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
        after, truth = await one.now(), _truth(one)
        assert after == truth
        assert after.keys() == before.keys()
        assert await one.site.store.read(_accounts) == [
            ("team", ME.user_id, "another.name", "@another.name")
        ]
        segments = list(await one.site.store.read(manifest.segments))
    told = _exported(tmp_path, segments)
    assert [_named(row) for row in told["users"] if row["id"] == ME.user_id] == BOTH[1:]
    assert _history(told["users_history"], ME.user_id) == BOTH
    place = f"{WORLD.groups[0].id}/{ME.user_id}"
    assert [_named(row) for row in told["members"] if row["id"] == place] == BOTH[1:]
    assert _history(told["members_history"], place) == BOTH


def _accounts(connection: Connection) -> list[tuple[Any, ...]]:
    """Each account with the path of its own area."""
    rows = connection.exec_driver_sql(
        "SELECT c.mode, c.gitlab_user_id, c.username, a.full_path FROM account AS c"
        " JOIN area AS a ON a.kind = 'user' AND a.gitlab_id = c.gitlab_user_id"
    ).all()
    return [tuple(row) for row in rows]


def _exported(data_dir: Path, segments: list[Any]) -> dict[str, list[dict[str, Any]]]:
    names = all_names(tables_of(frozenset(NAMES)), history=True)
    out = data_dir / "out"
    plan = Plan(dataset_root(data_dir), segments, names, {1: "http://gitlab"}, {})
    export(plan, "parquet", out, force=False, told=lambda _records: None)
    return {
        name: rows_of(out, name)
        for name in ("users", "users_history", "members", "members_history")
    }


def _named(row: dict[str, Any]) -> tuple[str, str]:
    return row["username"], row["name"]


def _history(rows: list[dict[str, Any]], id_: int | str) -> list[tuple[str, str]]:
    """The names under an id, the oldest first; the last one is still in force."""
    found = sorted((row for row in rows if row["id"] == id_), key=lambda row: row["valid_from"])
    assert [row["valid_to"] for row in found[:-1]] == [row["valid_from"] for row in found[1:]]
    assert found[-1]["valid_to"] is None
    return [_named(row) for row in found]
