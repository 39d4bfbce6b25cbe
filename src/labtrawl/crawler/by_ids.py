"""Whether a list is as its last visit left it, by the ids that GitLab's GraphQL tells of it.

A whole reading finds what is gone, and of most lists there is nothing: the same ids, none of which
changed since, prove that for one request of many lists (`gitlab.graphql_ids`). Anything else is
read whole: nothing counts as gone, or as known, by its id alone.

A project that was renamed or moved shows in each of its rows, so its lists are read whole. What else
changes without a new date of change (a renamed label, an emoji) does not show here: after
`WHOLE_SECONDS` a list is read whole whatever its ids say.
"""

import hashlib
from collections.abc import Set
from dataclasses import replace as with_other
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from labtrawl import logs
from labtrawl.crawler.cursor import Cursor, Tag
from labtrawl.crawler.reader import FAILING_ATTEMPT, Batch, Reader, rows_a_page
from labtrawl.crawler.visit import OVERLAP_MS
from labtrawl.domain.area import AreaKind
from labtrawl.errors import GitLabError, RateLimited, Unauthorized
from labtrawl.gitlab.graphql import NotInSchema
from labtrawl.gitlab.graphql_ids import Told, Wanted
from labtrawl.gitlab.graphql_pace import Learnt
from labtrawl.gitlab.graphql_plans import IDS, IDS_NAME

log = logs.get("crawler.gitlab")

# A little less than a week: where lists are looked through once a week, each look reads them whole.
WHOLE_SECONDS: Final = 6.5 * 86_400


async def unchanged(reader: Reader, cursor: Cursor) -> Cursor | None:
    """Return the end of a list that is as its last visit left it; None where it is to be read.

    Raises RateLimited and Unauthorized; whatever else goes wrong is a list to be read.
    """
    learnt, last, mark = reader.learnt, cursor.last, _mark(reader, cursor)
    if learnt is None or last is None or mark is None or not _is_to_be_asked(reader, cursor, mark):
        return None
    since = datetime.fromtimestamp(((last.started_at or 0) - OVERLAP_MS) / 1000, UTC)
    try:
        found = await _ids(reader, learnt, since, mark.request)
    except (RateLimited, Unauthorized):
        raise
    except NotInSchema:
        learnt.refused.add(IDS_NAME)
        return None
    except GitLabError as error:
        log.info("ids_not_told", resource=reader.resource.name, reason=str(error))
        return None
    if found is None or found != await reader.known():
        return None
    count = len(found)
    return Cursor(items=count, expected=count, expected_by="ids", ended=True, tag=mark)


def marked(reader: Reader, began: Cursor, batch: Batch) -> Batch:
    """Return a batch that ends a list with the mark that lets the next visit ask by ids.

    The mark says when the list was read whole: a visit for changes carries it on. Where ids are
    not told a list keeps the mark that GitLab gave it (`Reader.tag`).
    """
    if not batch.cursor.ended or not _has_ids(reader):
        return batch
    whole = Tag(str(_now_ms(reader)), _place(reader.full_path), reader.policy)
    tag = whole if reader.since is None else _mark(reader, began)
    return with_other(batch, cursor=replace(batch.cursor, tag=tag))


def _has_ids(reader: Reader) -> bool:
    """Say whether this GitLab tells the ids of a list, as far as is known."""
    is_refused = reader.learnt is None or reader.learnt.is_refused(IDS_NAME)
    is_listed = reader.resource.area_kind == AreaKind.PROJECT and reader.resource.name in IDS
    return is_listed and not is_refused


def _mark(reader: Reader, cursor: Cursor) -> Tag | None:
    """Return the mark that the last visit left under the same policy; None without one."""
    tag = cursor.last.tag if cursor.last is not None else None
    is_ours = tag is not None and tag.request.startswith(f"{IDS_NAME}/")
    return tag if tag is not None and is_ours and tag.policy == reader.policy else None


def _place(path: str) -> str:
    """Return what a mark says of a project's path, which each row shows: a hash, for it names people."""
    return f"{IDS_NAME}/{hashlib.blake2b(path.encode(), digest_size=8).hexdigest()}"


def _now_ms(reader: Reader) -> int:
    return round(reader.gitlab.clock.now().timestamp() * 1000)


def _is_to_be_asked(reader: Reader, cursor: Cursor, mark: Tag) -> bool:
    """Say whether to ask by ids: of a whole reading that begins, and where that did not fail twice."""
    # A clock that was set back leaves marks of the future.
    is_due = not 0 <= _now_ms(reader) - int(mark.etag) < WHOLE_SECONDS * 1000
    is_failing = reader.per_page <= rows_a_page(FAILING_ATTEMPT)
    is_begun = reader.since is None and not cursor.passes
    return is_begun and not is_due and not is_failing and _has_ids(reader)


async def _ids(
    reader: Reader, learnt: Learnt, since: datetime, place: str
) -> Set[int | str] | None:
    """Return the ids of the list; None where something of it, or the project's path, changed.

    Raises GitLabError.
    """
    found: set[int | str] = set()
    seen: set[str | None] = set()
    wanted = Wanted(reader.gitlab_id, IDS[reader.resource.name])
    while wanted.after not in seen:
        seen.add(wanted.after)
        told = await learnt.ids.page(reader.gitlab, wanted)
        _hear(reader, told)
        is_newer = any(_is_after(since, changed_at) for changed_at in told.changed_at.values())
        if is_newer or _place(told.path) != place:
            return None
        found.update(told.changed_at)
        if told.after is None:
            return found
        wanted = wanted._replace(after=told.after)
    raise GitLabError("GitLab's pages go in a circle: a page was named before")


def _hear(reader: Reader, told: Told) -> None:
    """Note an answer that was given to all who waited, whoever asked."""
    reader.gitlab.tally.served(told.served_at, _now_ms(reader))


def _is_after(since: datetime, changed_at: str | None) -> bool:
    """Say whether a change may not have been read by a visit that saw all before an instant."""
    try:
        return changed_at is None or datetime.fromisoformat(changed_at) >= since
    except (ValueError, TypeError):
        return True
