"""A list that each issue or merge request has, read by GraphQL: many items with one request.

Items are read in blocks of consecutive iids, some blocks at once. `top` is the highest iid when the
reading began: what is newer belongs to the next visit. GitLab's own count proves the end; an item
with a high iid and an old date (moved here, imported) is found by it.

What GraphQL cannot tell is read by REST: an item whose list is null (forbidden and missing look the
same there), one that fails alone, and everything where this GitLab has no GraphQL for it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial

from msgspec.structs import replace

from labtrawl import logs
from labtrawl.crawler import nested
from labtrawl.crawler.ahead import ahead
from labtrawl.crawler.batched_items import NotByGraphQL, Part, Sheet, iid_of, read_all
from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.reader import FAILING_ATTEMPT, Batch, Reader, rows_a_page
from labtrawl.errors import GitLabError, Unavailable
from labtrawl.gitlab import graphql_plans
from labtrawl.gitlab.client import TooMuch
from labtrawl.gitlab.graphql_pace import Learnt
from labtrawl.gitlab.graphql_plans import TIMELOGS, Plan, edition_of, plan_of

log = logs.get("crawler.gitlab")

# Where the iids are this many times as many as the items, the items are listed first.
SPARSE = 4
# Items of the first block: all others wait until it says how many there are.
OPENING = 8
BLOCKS, LOOK, CHANGES = "blocks", "look", "changes"


async def batches(reader: Reader, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield what comes after `cursor`, by GraphQL where this GitLab has it, by REST where not."""
    edition = edition_of(reader.gitlab_version, reader.version)
    plan, learnt = plan_of(reader.resource.name, edition), reader.learnt
    if plan is not None and learnt is not None and _is_for_graphql(reader, plan, learnt, cursor):
        try:
            async with aclosing(_by_graphql(reader, plan, learnt, cursor)) as found:
                async for batch in found:
                    cursor = batch.cursor
                    yield batch
        except (NotByGraphQL, TooMuch) as error:
            _learn(reader, learnt, error)
        else:
            return
    if cursor.stage:
        cursor = _from_the_start(cursor)
    async with aclosing(nested.batches(reader, cursor)) as rest:
        async for batch in rest:
            yield batch


def _is_for_graphql(reader: Reader, plan: Plan, learnt: Learnt, cursor: Cursor) -> bool:
    """Say whether to ask GraphQL.

    Not for what REST began, nor for what is known to be refused, nor where it failed twice in a row.
    """
    edition = edition_of(reader.gitlab_version, reader.version)
    is_possible = reader.since is None or plan.is_of_changes(edition)
    was_begun_by_rest = not cursor.stage and (cursor.query or cursor.parent is not None)
    is_failing = reader.per_page <= rows_a_page(FAILING_ATTEMPT)
    is_usable = not (was_begun_by_rest or is_failing or learnt.is_refused(plan.name))
    return is_possible and is_usable


def _from_the_start(cursor: Cursor) -> Cursor:
    """REST has no blocks: what was read before is read again, and compared with that."""
    return Cursor(
        passes=cursor.passes or int(cursor.items > 0),
        started_at=cursor.started_at,
        written=cursor.written,
        changed=cursor.changed,
    )


def _learn(reader: Reader, learnt: Learnt, error: GitLabError) -> None:
    """Keep what holds for this whole GitLab; what a project hides is asked for again elsewhere."""
    refused = error.refused if isinstance(error, NotByGraphQL) else ""
    if refused and refused not in learnt.refused:
        learnt.refused.add(refused)
        log.info("graphql_not_used", resource=reader.resource.name, reason=str(error))


async def timelogs(reader: Reader, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield a project's time logs, which only GraphQL lists. Raises GitLabError."""
    sheet = Sheet(reader, TIMELOGS, (reader.learnt or Learnt()).pace(TIMELOGS))
    document = graphql_plans.rows(TIMELOGS, sheet.edition)
    while not cursor.ended:
        reply, page = await sheet.page(document, cursor.after)
        part = sheet.rows(reply, page.shown())
        cursor = _paged(_past(cursor, part), page.after)
        yield Batch(part.records, cursor)


async def _by_graphql(
    reader: Reader, plan: Plan, learnt: Learnt, cursor: Cursor
) -> AsyncGenerator[Batch]:
    sheet = Sheet(reader, plan, learnt.pace(plan))
    stages = (_changes,) if reader.since is not None else (_blocks, _look)
    for stage in stages:
        async with aclosing(stage(sheet, cursor)) as found:
            async for batch in found:
                cursor = batch.cursor
                yield batch


async def _blocks(sheet: Sheet, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield the items up to the highest iid, in blocks."""
    if cursor.stage == LOOK:
        return
    if cursor.top is None:
        opened = await _open(sheet, cursor)
        cursor = opened.cursor
        yield opened
    calls = _calls(sheet, cursor.block, cursor.top or 0)
    async with aclosing(ahead(calls, sheet.reader.width)) as parts:
        async for last, part in parts:
            cursor = replace(_past(cursor, part), block=last + 1)
            yield Batch(part.records, cursor)
    is_counted = sheet.plan.is_counted(sheet.edition)
    is_whole = is_counted and cursor.seen >= (cursor.parents or 0)
    cursor = replace(cursor, stage=LOOK, ended=is_whole)
    yield Batch([], cursor)


def _calls(
    sheet: Sheet, block: int, top: int
) -> Iterator[Callable[[], Awaitable[tuple[int, Part]]]]:
    """Yield the blocks, each cut when its turn comes: the pace may have changed until then."""
    most = _evenly(sheet, top + 1 - block)
    while block <= top:
        last = min(top, block + min(most, sheet.pace.size) - 1)
        yield partial(_block, sheet, block, last)
        block = last + 1


def _evenly(sheet: Sheet, count: int) -> int:
    """Return how many items a block has, so that none of those under way at once waits for the last.

    Only where they would be more than half of what may be under way, and no request is dear.
    """
    size, width = sheet.pace.size, sheet.reader.width
    if sheet.saves_requests() or 2 * count < size * width:
        return size
    rounds = -(-count // (size * width))
    return -(-count // (rounds * width))


async def _block(sheet: Sheet, block: int, last: int) -> tuple[int, Part]:
    try:
        return last, await sheet.items(list(range(block, last + 1)))
    except Unavailable:
        # It may be the block that brings GitLab down: the next try of this job asks for less.
        sheet.pace.refused(last + 1 - block)
        raise


async def _open(sheet: Sheet, cursor: Cursor) -> Batch:
    """Read the first block, and with it how many items there are."""
    size = sheet.pace.size if sheet.saves_requests() else min(OPENING, sheet.pace.size)
    iids = list(range(1, size + 1))
    try:
        project, part = await sheet.opening(iids)
        block = len(iids) + 1
    except TooMuch:
        sheet.pace.refused(len(iids))
        project, part = await sheet.newest(), Part()
        block = 1
    newest = project.newest
    if newest is None:
        raise NotByGraphQL("GitLab's GraphQL does not say how many items there are")
    count, top = newest.count, max(map(iid_of, filter(None, newest.nodes)), default=0)
    if top > SPARSE * count + sheet.plan.size:
        top = block - 1
    cursor = replace(_past(cursor, part), stage=BLOCKS, block=block, top=top, parents=count)
    return Batch(part.records, cursor)


def _past(cursor: Cursor, part: Part) -> Cursor:
    return replace(
        cursor,
        items=cursor.items + len(part.records),
        seen=cursor.seen + part.seen,
        gone=cursor.gone + part.gone,
    )


async def _look(sheet: Sheet, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield the items above the highest iid, where there were fewer below it than there are.

    What is still missing then was deleted, or hidden, while the blocks were read.
    """
    if cursor.ended:
        return
    document, size = graphql_plans.listing(sheet.plan, sheet.edition), sheet.pace.size
    while not cursor.ended:
        _, page = await sheet.page(document, cursor.after)
        iids = [iid_of(node) for node in page.shown()]
        # The first block may reach over the highest iid.
        read = max(cursor.top or 0, cursor.block - 1)
        above = sorted(iid for iid in iids if iid > read)
        calls = [partial(sheet.items, above[at : at + size]) for at in range(0, len(above), size)]
        part = await read_all(calls, sheet.reader.width)
        cursor = _paged(_past(cursor, part), page.after)
        if cursor.ended:
            missing = max(0, (cursor.parents or 0) - cursor.seen)
            cursor = replace(cursor, gone=cursor.gone + missing)
        yield Batch(part.records, cursor)


async def _changes(sheet: Sheet, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield the items that changed since the instant of the visit, each with its whole list."""
    if sheet.reader.since is None:
        raise LookupError("a visit of changes has an instant")
    since = sheet.reader.since.strftime("%Y-%m-%dT%H:%M:%SZ")
    document = graphql_plans.changes(sheet.plan, sheet.edition)
    cursor = replace(cursor, stage=CHANGES)
    while not cursor.ended:
        reply, page = await sheet.page(document, cursor.after, since=since)
        part = await sheet.part(reply, page.shown())
        cursor = _paged(_past(cursor, part), page.after)
        yield Batch(part.records, cursor)


def _paged(cursor: Cursor, after: str | None) -> Cursor:
    return replace(cursor, after=after, ended=after is None)
