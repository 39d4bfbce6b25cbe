"""Every resource with objects that change and that go: a sweep ends with what is there."""

from pathlib import Path
from typing import Any

import msgspec

from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import build_world
from labtrawl.sandbox.changes import Change
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import Crawl, Key, crawl
from tests.rig.cases import CELLS, Cell
from tests.rig.compare import expected_items

SIZES = {
    "groups": 1,
    "projects": 1,
    "issues": 20,
    "merge_requests": 14,
    "notes": 90,
    "commits": 40,
    "pipelines": 12,
    "ci_jobs": 24,
    "branches": 6,
    "releases": 6,
    "environments": 4,
    "deployments": 8,
    "events": 30,
    "timelogs": 12,
    "links": 8,
}
WORLD = build_world("small", 2, SIZES)
HOME, GROUP = WORLD.projects[0], WORLD.groups[0]
SCHEDULE = Schedule(resources=("*", "commit_discussions"))
# What goes with its place alone, and commits: they stay when no branch leads to them any more.
NEVER_GONE: set[Cell] = {
    ("group", "group"),
    ("project", "project"),
    ("project", "languages"),
    ("project", "commits"),
}
PARTS: dict[str, dict[str, Any]] = {
    "awards": {"name": "rocket"},
    "timelogs": {"time_spent": 60},
    "links": {"link_type": "blocks"},
    "versions": {"state": "overflow"},
    "label_events": {"action": "remove"},
    "state_events": {"state": "reopened"},
    "milestone_events": {"action": "remove"},
}
TOLD = {"description": "x", "languages": {"Python": 100.0}}
ITEMS = (("issues", "issue"), ("merge_requests", "merge_request"))
# The lists of a place whose rows are edited, and of what.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "labels": ("label", {"name": "other"}),
    "milestones": ("milestone", {"title": "other"}),
    "pipelines": ("pipeline", {"status": "canceled"}),
    "jobs": ("job", {"status": "canceled"}),
    "branches": ("branch", {"protected": True}),
    "releases": ("release", {"name": "other"}),
    "environments": ("environment", {"state": "stopped"}),
    "deployments": ("deployment", {"status": "canceled"}),
}


def _key(row: Any) -> Any:
    """What a change calls a row by."""
    return next(getattr(row, name) for name in ("id", "tag_name", "name") if hasattr(row, name))


def _of_items() -> list[dict[str, Any]]:
    """An item of each kind goes with all that it has; of another one each part changes."""
    found: list[dict[str, Any]] = []
    for of, what in ITEMS:
        items = getattr(HOME, of)
        found.append({"kind": "edit", "what": what, "key": 1, "fields": {"title": "other"}})
        for part, fields in PARTS.items():
            having = [one for one in items[:-1] if getattr(one, part, ())]
            for kind, item in (("edit", having[0]), ("remove", having[-1])) if having else ():
                key = getattr(item, part)[0].id
                told = {"kind": kind, "what": part[:-1], "on": what, "iid": item.iid, "key": key}
                found.append(told | ({"fields": fields} if kind == "edit" else {}))
        noted = next(one for one in items if one.notes)
        told = {"what": "note", "on": what, "iid": noted.iid, "key": noted.notes[0].id}
        found.append({"kind": "edit", **told, "fields": {"body": "other"}})
    found.append({"kind": "edit", "what": "merge_request", "key": 3, "fields": REVIEWED})
    pushed = next(one for one in HOME.merge_requests[:-1] if one.commits)
    other = next(one.sha for one in HOME.commits if one.sha not in pushed.commits)
    told = {"commits": [other, *pushed.commits]}
    found.append({"kind": "edit", "what": "merge_request", "key": pushed.iid, "fields": told})
    for kind, commit in zip(("edit", "remove"), NOTED, strict=True):
        told = {"what": "note", "on": "commit", "iid": commit.sha, "key": commit.notes[0].id}
        found.append({"kind": kind, **told} | (SAID if kind == "edit" else {}))
    built = next(one for one in HOME.merge_requests[:-1] if one.pipelines)
    told = {"what": "pipeline", "key": built.pipelines[0], "fields": {"status": "skipped"}}
    found.append({"kind": "edit", **told})
    return found


NOTED = [commit for commit in HOME.commits if commit.notes][:2]
SAID = {"fields": {"body": "other"}}
REVIEWED = {"reviewers": ["ada.lindqvist", "mei.tanaka"]}


def _of_lists() -> list[dict[str, Any]]:
    """Of each list of the project the first row is edited and the last one goes."""
    found: list[dict[str, Any]] = []
    for name, (what, fields) in ROWS.items():
        rows = getattr(HOME, name)
        found.append({"kind": "edit", "what": what, "key": _key(rows[0]), "fields": fields})
        if what != "job":
            found.append({"kind": "remove", "what": what, "key": _key(rows[-1])})
    found.append({"kind": "add", "what": "tag", "key": HOME.branches[0].name, "fields": {}})
    found.append({"kind": "remove", "what": "tag", "key": HOME.tags[-1].name})
    found.append({"kind": "add", "what": "commit"})
    return found


def _changes() -> list[Change]:
    """Everything that can happen to the lists of one project and its group."""
    gone = [
        {"kind": "remove", "what": what, "key": getattr(HOME, of)[-1].iid} for of, what in ITEMS
    ]
    told = [{**one, "project": HOME.id} for one in (*_of_items(), *_of_lists(), *gone)]
    for name in ("labels", "milestones"):
        what, fields = ROWS[name]
        rows = getattr(GROUP, name)
        told.append({"kind": "edit", "what": what, "key": rows[0].id, "fields": fields})
        told[-1]["group"] = GROUP.id
        told.append({"kind": "remove", "what": what, "key": rows[-1].id, "group": GROUP.id})
    told += [
        {"kind": "edit", "what": "project", "project": HOME.id, "fields": TOLD},
        {"kind": "edit", "what": "group", "group": GROUP.id, "fields": {"description": "x"}},
        {"kind": "grant", "what": "project", "key": HOME.id, "user": "omar.haddad", "level": 0},
        {"kind": "grant", "what": "project", "key": HOME.id, "user": "zoe.karras", "level": 40},
        {"kind": "grant", "what": "group", "key": GROUP.id, "user": "jonas.brekke", "level": 0},
        {"kind": "grant", "what": "group", "key": GROUP.id, "user": "priya.raman", "level": 40},
    ]
    return msgspec.convert(told, list[Change])


def _truth(one: Crawl) -> dict[Key, object]:
    return expected_items(one.server.truth(commit_discussions=True))


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = 1")
    visiting.open_all(connection, SCHEDULE)


def _cells(keys: set[Key]) -> set[Cell]:
    return {(kind, resource) for kind, _, resource, _ in keys}


async def test_each_resource_follows_what_changes_and_what_goes(tmp_path: Path) -> None:
    async with crawl(tmp_path, world=WORLD, schedule=SCHEDULE) as one:
        # Ids alone do not tell what moves no date: tests/integration/faults/test_facts.py.
        one.site.graphql = False
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(60)
            before = _truth(one)
            one.server.change(*_changes())
            await one.site.store.write(_sweep_all)
            await one.site.finished(60)
        after, now = _truth(one), await one.now()
    assert {key for key in after if now.get(key) != after[key]} == set()
    assert now.keys() == after.keys()
    moved = {key for key in after if before.get(key) != after[key]}
    assert CELLS - _cells(moved) == set()
    assert CELLS - _cells(before.keys() - after.keys()) == NEVER_GONE
