"""A GitLab that was upgraded: fields that came and went are found in what was collected since."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from labtrawl import config
from labtrawl.cli.caretaker import Caretaker
from labtrawl.clock import system_clock
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.policy import FetchedRecord, apply
from labtrawl.store import manifest
from labtrawl.store.engine import Store
from labtrawl.website.care.checks import judge
from labtrawl.website.care.noticing import of_changes
from labtrawl.website.care.sights import Around, gather
from tests.integration.dataset.samples import fetched, written
from tests.integration.store.table import account, area, job, store

ENOUGH = 25


async def collected(
    opened: Store,
    data_dir: Path,
    number: int,
    version: str,
    *fields: str,
    by: str = "/api/v4",
    resource: str = "issues",
) -> None:
    """Commit a segment whose records have these fields, and look at it."""
    records = [
        apply("as_is", resource, _record(each, version, fields, by)) for each in range(ENOUGH)
    ]
    row = written(dataset_root(data_dir), records, number=number)
    closed = manifest.ClosedSegment(row.name, row.length, row.sha256, row.records)
    await opened.write(lambda c: manifest.commit(c, 1, 1, [closed]))
    await Caretaker(config.defaults(data_dir), opened, system_clock()).note()


def _record(number: int, version: str, fields: Sequence[str], by: str) -> FetchedRecord:
    body: dict[str, Any] = {"id": number, "author": {"id": 1}}
    for each in fields:
        place, _, name = each.rpartition(".")
        (body[place] if place else body)[name] = 1
    made = fetched(number, body=msgspec.json.encode(body))
    return msgspec.structs.replace(made, gitlab_version=version, request=f"{by}/issues")


async def test_upgrade_shows_fields_that_came_and_went(tmp_path: Path) -> None:
    async with store(tmp_path) as opened:
        await opened.write(lambda c: job(c, area(c, 7, {account(c, 1): 30})))
        await collected(opened, tmp_path, 1, "18.0.0", "title", "weight", "author.bio")
        await collected(opened, tmp_path, 2, "18.0.0", "t", by="/api/graphql#items")
        facts = await gather(opened.read, tmp_path, Around(), 0)
        assert of_changes(facts) == []
        await collected(opened, tmp_path, 3, "18.1.0", "title", "health_status", "author.bot")
        facts = await gather(opened.read, tmp_path, Around(), 0)
        check = next(each for each in judge(facts) if each.name == "fields")
        says = "issues of main 18.1.0: new author.bot, health_status; gone author.bio, weight"
        assert (check.state, check.says) == ("warn", says)
        (notice,) = of_changes(facts)
        assert (notice.cause, notice.period, notice.body) == (
            "fields:main:issues",
            "18.1.0",
            says,
        )
        assert of_changes(replace(facts, fields=facts.fields[:1])) == []


async def test_languages_of_a_project_are_no_fields(tmp_path: Path) -> None:
    """Their names are keys: a language that somebody begins to use is no new version."""
    async with store(tmp_path) as opened:
        await opened.write(lambda c: job(c, area(c, 7, {account(c, 1): 30}), resource="languages"))
        for number, (version, name) in enumerate((("18.0.0", "Python"), ("18.1.0", "Rust")), 1):
            await collected(opened, tmp_path, number, version, name, resource="languages")
        assert (await gather(opened.read, tmp_path, Around(), 0)).fields == []
