"""Addresses of pages: a filter and a place in, the query that a link carries out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlencode

from labtrawl.domain.failure import ANYTHING
from labtrawl.domain.job import JobState
from labtrawl.store.pages.areas import AreaFilter, AreaKey, AreaRow
from labtrawl.store.pages.jobs import PAGE, JobFilter, Key, Order
from labtrawl.store.pages.keyset import Page, Place
from labtrawl.store.pages.saying import whole
from labtrawl.website.access import VERSION
from labtrawl.website.parts.asking import LONGEST_MESSAGE

T = TypeVar("T")


def _address(path: str, query: dict[str, object]) -> str:
    given = {key: value for key, value in query.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given, safe=',:/')}" if given else path


def _filter(wanted: JobFilter) -> dict[str, object]:
    return {
        "state": wanted.state.value if wanted.state else None,
        "resource": wanted.resource,
        "kind": wanted.kind.value if wanted.kind else None,
        "area": wanted.area,
        "account": wanted.account,
        "hold": wanted.hold.value if wanted.hold else None,
        "error": wanted.error,
        "message": wanted.message,
        "sort": None if wanted.order is Order.NEWEST else wanted.order.value,
    }


def _size(size: int) -> dict[str, object]:
    return {"size": None if size == PAGE else size}


def given(wanted: JobFilter) -> dict[str, object]:
    """Return what a filter asks for, as fields of a form."""
    return {key: value for key, value in _filter(wanted).items() if value not in {None, ""}}


def jobs_address(
    wanted: JobFilter,
    place: Place[Key] = Place(),  # noqa: B008 - frozen
    size: int = PAGE,
    picked: Sequence[int] = (),
) -> str:
    """Return the address of a page of the list of jobs; `picked` are ticked on other pages."""
    query = {
        **_filter(wanted),
        **_size(size),
        "picked": ",".join(map(str, picked)),
        "after": _key(wanted, place.after),
        "before": _key(wanted, place.before),
    }
    return _address("/jobs", query)


def _key(wanted: JobFilter, key: Key | None) -> str | None:
    if key is None:
        return None
    return str(key[1]) if wanted.order is Order.NEWEST else f"{key[0]}.{key[1]}"


def address_with_state(wanted: JobFilter, state: str, size: int) -> str:
    """Return the address of the first page of the same filter with another state, "" for any."""
    return jobs_address(replace(wanted, state=JobState(state) if state else None), size=size)


def address_of_cause(reason: str, words: str) -> str:
    """Return the address of the failed jobs with this reason that say this and nothing else."""
    most = LONGEST_MESSAGE - len(whole(ANYTHING))
    shown = words if len(words) <= most else words[:most] + ANYTHING
    return jobs_address(JobFilter(JobState.FAILED, error=reason, message=whole(shown)))


def live_jobs_address(
    wanted: JobFilter, ids: list[int], is_first: bool, since: int, size: int = PAGE
) -> str:
    """Return the address of the stream of a page of the list of jobs."""
    query = {
        "view": "jobs",
        "since": since,
        "first": "1" if is_first else None,
        **_filter(wanted),
        **_size(size),
        "ids": ",".join(str(each) for each in ids),
    }
    return _address("/live", query)


def live_job_address(job_id: int, place: Place[int], since: int) -> str:
    """Return the address of the stream of a job's page."""
    return _address(
        "/live",
        {
            "view": "job",
            "since": since,
            "job": job_id,
            "after": place.after,
            "before": place.before,
        },
    )


def areas_address(path: str, wanted: AreaFilter, place: Place[AreaKey]) -> str:
    """Return the address of a page of the tree, or of the coverage (both list areas)."""
    kind = wanted.kind.value if wanted.kind else None
    query: dict[str, object] = {"kind": kind, "path": wanted.path}
    for name, key in (("after", place.after), ("before", place.before)):
        if key is not None:
            query[name] = f"{key.id}:{key.full_path}"
    return _address(path, query)


def live_overview_address(since: int) -> str:
    """Return the address of the stream of the overview."""
    return _address("/live", {"view": "overview", "since": since})


def live_page_address(commits: int) -> str:
    """Return the address of the stream of a page that asks for itself again."""
    return _address("/live", {"view": "page", "since": commits})


@dataclass(frozen=True, slots=True)
class Pager:
    """The addresses around a page of areas; None where there is no more."""

    first: str
    previous: str | None
    next: str | None

    def for_programs(self) -> "Pager":
        """Return the addresses of the twins of these pages."""
        return Pager(
            VERSION + self.first,
            VERSION + self.previous if self.previous else None,
            VERSION + self.next if self.next else None,
        )


def around(path: str, wanted: AreaFilter, page: Page[T], rows: Sequence[AreaRow]) -> Pager:
    """Return the addresses of the pages before and after one that shows `rows`."""
    keys = [AreaKey(row.full_path, row.id) for row in rows]
    previous = Place(before=keys[0]) if keys and page.has_previous else None
    following = Place(after=keys[-1]) if keys and page.has_next else None
    return Pager(
        first=areas_address(path, wanted, Place()),
        previous=areas_address(path, wanted, previous) if previous else None,
        next=areas_address(path, wanted, following) if following else None,
    )
