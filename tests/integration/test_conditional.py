"""A crawl that looks for what is gone: GitLab sends no list of one page twice that did not change."""

import json
from pathlib import Path

from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Remove
from labtrawl.store import gaps
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import ONE, Crawl, crawl

SCHEDULE = Schedule(resources=("labels", "languages"))


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = 1")
    visiting.open_all(connection, SCHEDULE)


async def _same(one: Crawl) -> int:
    """How often GitLab said so far that nothing changed."""
    told = json.loads(await one.control("GET", "requests"))
    return int(told["by_status"].get("304", 0))


async def test_sweep_asks_whether_lists_changed_and_finds_what_is_gone(tmp_path: Path) -> None:
    label = ONE.labels[0]
    told = []
    async with crawl(tmp_path, schedule=SCHEDULE) as one:
        async with one.crawling():
            await one.site.finished(30)
            told.append(await _same(one))
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
            told.append(await _same(one))
            one.server.change(Remove(what="label", project=ONE.id, key=label.id))
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
            told.append(await _same(one))
        now, truth = await one.now(), one.truth()
        assert {k: v for k, v in now.items() if k[2] == "labels"} == {
            k: v for k, v in truth.items() if k[2] == "labels"
        }
        assert await one.site.store.read(lambda c: gaps.rows(c, gaps.Wanted(), True)) == []
    # Labels of the group, labels and languages of two projects; then all but the changed list.
    assert told == [0, 5, 9]
