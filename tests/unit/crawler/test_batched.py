"""Lists of items by GraphQL: blocks, what they cost, what is cut short, what is hidden, what moves."""

import json
from dataclasses import replace as replace_reader
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl.crawler.batched import batches
from labtrawl.crawler.cursor import Cursor, decode_cursor
from labtrawl.crawler.ledger import report_of
from labtrawl.crawler.reader import Reader
from labtrawl.domain.failure import GapReason
from labtrawl.errors import Unavailable, UnexpectedReply
from labtrawl.gitlab.catalog import find
from labtrawl.gitlab.graphql_pace import EVERYTHING, Learnt
from labtrawl.http import Answer
from tests.unit.crawler.desk import JSON, Desk, Threads, broken, said
from tests.unit.crawler.shelf import gitlab_of

pytestmark = pytest.mark.long

Step = tuple[list[Any], Cursor]


def reader_of(
    desk: Desk,
    name: str = "issue_discussions",
    since: datetime | None = None,
    width: int = 4,
    learnt: Learnt | None = None,
) -> Reader:
    resource = find("project", name)
    assert resource is not None
    learnt = learnt or Learnt(is_limited=True)
    return Reader(gitlab_of(desk), resource, 7, "18.5.0", (18, 5), since, width, learnt)


async def read(reader: Reader, cursor: Cursor | None = None) -> list[Step]:
    """Return each batch's ids with the cursor behind it, which passed through its text."""
    steps = []
    async for batch in batches(reader, cursor or Cursor()):
        ids = [record.id for record in batch.records]
        steps.append((ids, decode_cursor(batch.cursor.encode())))
    return steps


def all_ids(steps: list[Step]) -> list[Any]:
    return sorted(id_ for ids, _ in steps for id_ in ids)


def ids_of(items: dict[int, Threads]) -> list[str]:
    return sorted(f"{iid}x{at}" for iid, threads in items.items() for at in range(len(threads)))


def some(count: int, threads: int = 1) -> dict[int, Threads]:
    return {iid: [["said"]] * threads for iid in range(1, count + 1)}


async def test_thousand_issues_with_five_notes_take_a_block_a_request() -> None:
    desk = Desk(some(1000, 5))
    steps = await read(reader_of(desk))
    assert all_ids(steps) == ids_of(desk.items)
    assert (len(desk.asked), desk.rest) == (20, [])
    end = steps[-1][1]
    assert (end.items, end.seen, end.parents, end.gone, end.ended) == (5000, 1000, 1000, 0, True)


async def test_small_project_takes_one_request_and_an_empty_one_too() -> None:
    for items in (some(50), {}):
        desk = Desk(items)
        steps = await read(reader_of(desk))
        assert (all_ids(steps), len(desk.asked)) == (ids_of(items), 1)
        assert steps[-1][1].ended


def sizes_of(desk: Desk) -> list[int]:
    return [len(asked["iids"]) for asked in desk.asked if "iids" in asked]


async def test_gitlab_that_limits_nothing_is_asked_for_even_blocks_behind_a_short_first_one() -> (
    None
):
    """All that may be under way at once is, and nothing waits long for how many items there are."""
    for count, blocks in ((8, [8]), (50, [8, 42]), (1000, [8] + [31] * 32)):
        desk = Desk(some(count))
        steps = await read(reader_of(desk, width=16, learnt=Learnt()))
        assert all_ids(steps) == ids_of(desk.items)
        assert sizes_of(desk) == blocks


async def test_limit_that_an_answer_tells_makes_the_next_blocks_whole() -> None:
    def before(desk: Desk, asked: dict[str, Any]) -> Answer | None:
        told = said({"queryComplexity": None, "projects": {"nodes": [desk.project(asked)]}})
        return Answer(told.status, {**told.headers, "ratelimit-limit": "2000"}, told.body, told.url)

    learnt = Learnt()
    for blocks in ([8] + [50] * 19 + [42], [50] * 20):
        desk = Desk(some(1000), before=before)
        steps = await read(reader_of(desk, width=16, learnt=learnt))
        assert (all_ids(steps), sizes_of(desk)) == (ids_of(desk.items), blocks)


async def test_record_says_which_way_it_came() -> None:
    async for batch in batches(reader_of(Desk(some(1))), Cursor()):
        for record in batch.records:
            assert record.request == "/api/graphql#issue_discussions"
            assert (record.kind, record.id) == ("discussion", "1x0")


async def test_reading_in_even_blocks_goes_on_where_it_was_with_others_as_even() -> None:
    desk = Desk(some(400) | {450: [["late"]]}, order=[450, *range(1, 401)])
    steps = await read(reader_of(desk, learnt=Learnt()))
    for at, (_, cursor) in enumerate(steps):
        rest = await read(reader_of(desk, learnt=Learnt()), cursor=cursor)
        assert sorted([*all_ids(steps[: at + 1]), *all_ids(rest)]) == ids_of(desk.items)


async def test_reading_goes_on_at_the_first_block_that_was_not_committed() -> None:
    desk = Desk(some(400) | {450: [["late"]]}, order=[450, *range(1, 401)])
    steps = await read(reader_of(desk))
    assert all_ids(steps) == ids_of(desk.items)
    assert len(steps) > 8
    for at, (_, cursor) in enumerate(steps[:-1]):
        rest = await read(reader_of(desk), cursor=cursor)
        assert [ids for ids, _ in rest if ids] == [ids for ids, _ in steps[at + 1 :] if ids]
        assert rest[-1][1] == steps[-1][1]


@pytest.mark.parametrize(
    "told",
    [
        broken("Query has complexity of 300, which exceeds max complexity of 250"),
        broken("Timeout on Issue.discussions", {"projects": {"nodes": [{"items": None}]}}),
        broken("Request timed out. Please try a less complex query", status=503),
        broken("Query too large", status=422),
        Answer(504, {"content-type": "text/html"}, b"<h1>Gateway Timeout</h1>", "/"),
    ],
)
async def test_block_that_is_too_much_is_halved_and_asked_again(told: Answer) -> None:
    def before(_desk: Desk, asked: dict[str, Any]) -> Answer | None:
        return told if len(asked.get("iids", ())) > 13 else None

    desk = Desk(some(200), before=before)
    steps = await read(reader_of(desk, width=1))
    assert all_ids(steps) == ids_of(desk.items)
    sizes = [len(asked["iids"]) for asked in desk.asked if "iids" in asked]
    assert sizes[:3] == [50, 25, 12]
    # Nothing is refused any more: it grows again, a little at a time, until it is too much again.
    assert sizes.count(15) >= 1
    assert desk.rest == []


async def test_item_that_fails_alone_is_read_by_rest() -> None:
    def before(_desk: Desk, asked: dict[str, Any]) -> Answer | None:
        return broken("Timeout on X") if "17" in asked.get("iids", ()) else None

    desk = Desk(some(30, 2), before=before)
    steps = await read(reader_of(desk))
    assert all_ids(steps) == ids_of(desk.items)
    assert desk.rest == ["/api/v4/projects/7/issues/17/discussions?per_page=100"]
    assert steps[-1][1].seen == 30


async def test_many_discussions_of_one_item_are_finished_by_the_cursor() -> None:
    desk = Desk({1: [["a"]], 2: [["b"]] * 350, 3: [["c"]] * 20, 4: [["d"]] * 21})
    steps = await read(reader_of(desk))
    assert all_ids(steps) == ids_of(desk.items)
    assert (len(desk.asked), desk.rest) == (1 + 9 + 1, [])
    assert steps[-1][1].seen == 4


async def test_discussion_with_more_notes_than_came_is_read_whole_by_rest() -> None:
    desk = Desk({1: [["a"] * 50, ["b"] * 51], 2: [["c"]]})
    steps = await read(reader_of(desk))
    assert all_ids(steps) == ["1x0", "1x1", "2x0"]
    assert desk.rest == ["/api/v4/projects/7/issues/1/discussions/1x1"]


async def test_list_that_is_null_is_not_empty_and_goes_to_rest() -> None:
    desk = Desk(some(3), hidden={2})
    steps = await read(reader_of(desk))
    assert all_ids(steps) == ids_of(desk.items)
    assert desk.rest == ["/api/v4/projects/7/issues/2/discussions?per_page=100"]


async def test_item_that_is_hidden_and_then_gone_is_counted() -> None:
    def before(desk: Desk, asked: dict[str, Any]) -> Answer | None:
        told = said({"projects": {"nodes": [desk.project(asked)]}})
        desk.items.pop(2, None)
        return told

    steps = await read(reader_of(Desk(some(3), hidden={2}, before=before)))
    assert (all_ids(steps), steps[-1][1].gone, steps[-1][1].seen) == (["1x0", "3x0"], 1, 3)


async def test_gitlab_that_gives_fewer_at_once_loses_nothing() -> None:
    desk = Desk(some(60), cap=20)
    steps = await read(reader_of(desk))
    assert (all_ids(steps), steps[-1][1].gone) == (ids_of(desk.items), 0)


async def test_page_that_goes_on_without_a_cursor_is_no_end() -> None:
    def before(_desk: Desk, _asked: dict[str, Any]) -> Answer | None:
        info = {"endCursor": None, "hasNextPage": True}
        return said({"projects": {"nodes": [{"items": {"pageInfo": info, "nodes": []}}]}})

    desk = Desk({}, before=before)
    with pytest.raises(UnexpectedReply, match="without a cursor"):
        await read(reader_of(desk, since=datetime(2026, 1, 1, tzinfo=UTC)))


async def test_items_that_vanish_meanwhile_are_counted() -> None:
    def before(desk: Desk, asked: dict[str, Any]) -> Answer | None:
        if len(desk.asked) == 2:
            del desk.items[90], desk.items[91]
        return None

    reader = reader_of(Desk(some(100), before=before))
    steps = await read(reader)
    end = steps[-1][1]
    assert (end.seen, end.gone, end.ended) == (98, 2, True)
    assert report_of(reader.resource, end).reason == GapReason.DELETED


async def test_item_that_vanishes_before_its_rest_is_read_is_counted() -> None:
    desk = Desk(some(2) | {3: [["x"]] * 30})

    def before(desk: Desk, asked: dict[str, Any]) -> Answer | None:
        if asked.get("from"):
            desk.items.pop(3, None)
        return None

    desk.before = before
    steps = await read(reader_of(desk))
    assert (len(all_ids(steps)), steps[-1][1].gone) == (22, 1)


async def test_item_with_a_high_iid_and_an_old_date_is_found_by_the_count() -> None:
    """Moving an item keeps its date of creation and gives it a new iid."""
    desk = Desk(some(60) | {75: [["moved"]], 80: [["moved"]]}, order=[75, 80, *range(1, 61)])
    steps = await read(reader_of(desk))
    assert all_ids(steps) == ids_of(desk.items)
    assert (steps[-1][1].seen, steps[-1][1].gone) == (62, 0)


async def test_few_items_with_high_iids_are_listed_before_they_are_read() -> None:
    desk = Desk({iid: [["x"]] for iid in (3, 70_000, 90_000)})
    steps = await read(reader_of(desk))
    assert (all_ids(steps), len(desk.asked)) == (ids_of(desk.items), 3)


async def test_visit_of_changes_reads_what_changed_by_pages() -> None:
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    desk = Desk(some(300), changed=list(range(10, 130)))
    steps = await read(reader_of(desk, since=since))
    assert all_ids(steps) == ids_of({iid: [["x"]] for iid in range(10, 130)})
    assert [asked["since"] for asked in desk.asked] == ["2026-01-02T03:04:05Z"] * 3
    cursor = steps[0][1]
    rest = await read(reader_of(desk, since=since), cursor=cursor)
    assert rest == steps[1:]


async def test_visit_of_changes_asks_for_less_where_a_page_is_too_much() -> None:
    desk = Desk(some(60), changed=list(range(1, 61)), most=12)
    since = datetime(2026, 1, 2, tzinfo=UTC)
    steps = await read(reader_of(desk, since=since))
    assert all_ids(steps) == ids_of(desk.items)
    assert [asked["first"] for asked in desk.asked] == [50, 25, 12, 12, 12, 12, 12]


async def test_emoji_are_read_by_rest_of_the_items_that_have_any() -> None:
    desk = Desk({1: [], 2: [["x"]], 3: []})
    steps = await read(reader_of(desk, "issue_award_emoji"))
    assert all_ids(steps) == [2]
    assert desk.rest == ["/api/v4/projects/7/issues/2/award_emoji?per_page=100"]
    assert (steps[-1][1].seen, len(desk.asked)) == (3, 1)


@pytest.mark.parametrize("version", [(16, 2), (18, 5)])
async def test_work_items_of_other_kinds_do_not_hide_an_issue(version: tuple[int, int]) -> None:
    """Five objectives among the blocks; an issue that was moved here lies above them all."""
    desk = Desk(
        {iid: [] for iid in range(1, 61)} | {175: [["moved"]]},
        order=[175, *range(1, 61)],
        objectives={1, 2, 3, 4, 5},
    )
    reader = replace_reader(reader_of(desk, "issue_award_emoji"), version=version)
    assert all_ids(await read(reader)) == [175]


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        (broken("Field 'discussions' doesn't exist on type 'Issue'"), {"issue_discussions"}),
        (broken("Cannot query field 'a' on type 'B'.", status=400), {"issue_discussions"}),
        (Answer(404, JSON, b"{}", "/"), {EVERYTHING}),
        (Answer(403, JSON, b"{}", "/"), {EVERYTHING}),
        (broken("Something that nobody has seen"), set()),
        (said({"projects": {"nodes": []}}), set()),
        (said({"projects": None}), set()),
        (said({"projects": {"nodes": [{"items": None}]}}), set()),
    ],
)
async def test_gitlab_without_graphql_for_it_is_read_by_rest(
    told: Answer, refused: set[str]
) -> None:
    desk, learnt = Desk(some(3), before=lambda _desk, _asked: told), Learnt()
    steps = await read(reader_of(desk, learnt=learnt))
    assert (all_ids(steps), steps[-1][1].ended) == (ids_of(desk.items), True)
    assert (learnt.refused, len(desk.asked)) == (refused, 1)
    await read(reader_of(desk, learnt=learnt))
    # What holds for this GitLab is not asked for twice.
    assert len(desk.asked) == (1 if refused else 2)


async def test_reading_that_rest_began_goes_on_by_rest() -> None:
    desk = Desk(some(3))
    await read(reader_of(desk), cursor=Cursor(query="per_page=100", parent=1))
    assert desk.asked == []


async def test_block_that_brings_gitlab_down_is_smaller_at_the_next_try() -> None:
    def before(_desk: Desk, asked: dict[str, Any]) -> Answer | None:
        is_large = len(asked["iids"]) > 30 and "51" in asked["iids"]
        return Answer(502, JSON, b"{}", "/") if is_large else None

    desk, learnt = Desk(some(150), before=before), Learnt(is_limited=True)
    with pytest.raises(Unavailable):
        await read(reader_of(desk, learnt=learnt))
    assert all_ids(await read(reader_of(desk, learnt=learnt))) == ids_of(desk.items)


def _spoilt(tree: Any) -> list[Any]:
    """Every copy of a tree with one of its values replaced by something else.

    A null in a list is not among them: so GitLab leaves out what the account may not see.
    """
    if isinstance(tree, dict):
        whole: list[Any] = [3, None, "x", []]
        return [{**tree, key: bad} for key, value in tree.items() for bad in _spoilt(value)] + whole
    if isinstance(tree, list):
        copies = [(at, bad) for at, value in enumerate(tree) for bad in _spoilt(value) if bad]
        return [[*tree[:at], bad, *tree[at + 1 :]] for at, bad in copies]
    return [None, {}, "x", -1, []]


def _always(told: Answer, _desk: Desk, _asked: dict[str, Any]) -> Answer:
    return told


async def test_answer_of_another_shape_is_a_failure_or_read_by_rest_and_never_less() -> None:
    desk = Desk(some(1))
    whole = await read(reader_of(desk))
    answers: list[Answer] = []

    class Kept(Desk):
        async def request(self, *asked: Any) -> Answer:
            answers.append(await Desk.request(self, *asked))
            return answers[-1]

    await read(reader_of(Kept(some(1))))
    tree = json.loads(answers[0].body)
    outcomes = set()
    for bad in _spoilt(tree):
        told = Answer(200, JSON, json.dumps(bad).encode(), "/")
        desk = Desk(some(1), before=partial(_always, told))
        try:
            found = all_ids(await read(reader_of(desk)))
        except UnexpectedReply:
            outcomes.add("failed")
            continue
        outcomes.add("rest" if desk.rest else "graphql")
        assert len(found) == len(all_ids(whole)), bad
    assert outcomes == {"failed", "rest", "graphql"}


async def test_cursor_of_a_fallback_keeps_what_belongs_to_the_visit() -> None:
    desk = Desk(some(3), before=lambda _desk, _asked: broken("Field 'a' doesn't exist on type 'B'"))
    begun = Cursor(stage="blocks", block=51, top=100, seen=50, items=50, written=9, passes=1)
    steps = await read(reader_of(desk), cursor=replace(begun, started_at=5))
    end = steps[-1][1]
    assert (end.items, end.written, end.passes, end.started_at, end.stage) == (3, 9, 1, 5, "")


@pytest.mark.parametrize(("refused", "passes"), [("60", 1), ("1", 0)])
async def test_fallback_behind_what_was_read_begins_a_reading_that_is_compared_with_it(
    refused: str, passes: int
) -> None:
    """Told by GraphQL already and counted again, the same rows would be twice as many."""

    def before(_desk: Desk, asked: dict[str, Any]) -> Answer | None:
        return broken("no") if refused in asked.get("iids", ()) else None

    end = (await read(reader_of(Desk(some(100), before=before), width=1)))[-1][1]
    assert (end.items, end.passes, end.ended) == (100, passes, True)
