"""A read that stops at any cursor and goes on gives the same rows as one that does not stop."""

import asyncio
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from labtrawl.crawler.reader import rows_a_page
from tests.unit.crawler.shelf import PROJECT, Shelf, read, reader_of, rows, steps

COUNTS = st.lists(st.integers(0, 8), max_size=7)


@settings(max_examples=60)
@given(COUNTS, st.integers(1, 4), st.booleans())
def test_list_of_lists_resumed_at_every_cursor_gives_the_rest(
    counts: list[int], size: int, is_keyset: bool
) -> None:
    lists = {f"{PROJECT}/issues": rows(*range(1, len(counts) + 1))}
    for iid, count in enumerate(counts, start=1):
        lists[f"{PROJECT}/issues/{iid}/award_emoji"] = [{"id": iid * 100 + n} for n in range(count)]
    asyncio.run(_check("issue_award_emoji", lists, size, (18, 3) if is_keyset else (16, 0)))


@settings(max_examples=60)
@given(st.integers(0, 20), st.integers(1, 5), st.sampled_from(["issues", "merge_requests"]))
def test_list_resumed_at_every_cursor_gives_the_rest(count: int, size: int, name: str) -> None:
    lists = {f"{PROJECT}/{name}": rows(*range(count))}
    asyncio.run(_check(name, lists, size, (18, 3)))


async def _check(
    name: str, lists: dict[str, list[dict[str, int]]], size: int, version: tuple[int, int]
) -> None:
    reader = reader_of(Shelf(lists, size), name, version)
    whole, end = await read(reader)
    for before, cursor in await steps(reader):
        rest, last = await read(reader, cursor)
        assert before + rest == whole
        assert last == end
    # A later try asks for pages of a quarter of the rows.
    coarse = reader_of(Shelf(lists, 4 * size), name, version)
    for before, cursor in await steps(coarse):
        later, _ = await read(replace(coarse, per_page=rows_a_page(3)), cursor)
        assert before + later == whole
