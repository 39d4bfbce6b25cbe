"""Rows of a page are let go once they are written, whoever still holds the page."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from labtrawl.crawler import lists, run
from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.reader import Batch, Reader
from labtrawl.dataset.disk import LocalDisk
from tests.prove.sim import sim

ROWS, PAGE = 12, 3


async def test_rows_of_a_page_are_let_go_when_the_next_one_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[int] = []
    left: list[int] = []
    read = lists.batches

    async def watched(reader: Reader, cursor: Cursor) -> AsyncGenerator[Batch]:
        async for batch in read(reader, cursor):
            brought.append(len(batch.records))
            yield batch
            left.append(len(batch.records))

    monkeypatch.setattr(run, "batches", watched)
    async with sim(tmp_path, ROWS, PAGE) as world:
        claimed = await world.claim("crawler-1")
        await world.run(claimed, LocalDisk()).run()
        assert len(await world.collected()) == ROWS
    assert (sum(brought), max(brought), sum(left)) == (ROWS, PAGE, 0)
