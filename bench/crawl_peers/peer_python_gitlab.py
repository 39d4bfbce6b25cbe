"""python-gitlab as its manual shows it: objects, iterators, and with --threads a pool of threads."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import gitlab
from lists import LISTS, PROJECTS, Listing, Rows, wanted

MANAGERS = {
    "merge_requests": "mergerequests",
    "issue_discussions": "discussions",
    "merge_request_discussions": "discussions",
}
PAGE = 100

asked = wanted()
rows = Rows(asked)


def read(name: str, parent: Any) -> list[tuple[str, Any]]:
    """Read a list to its end; return the lists of its rows."""
    manager = getattr(parent, MANAGERS.get(name, name))
    found = []
    below = asked.below(name)
    # As `query_parameters`, since python-gitlab has a meaning of its own for `all`.
    query = {**LISTS[name].params(), "per_page": PAGE}
    for item in manager.list(iterator=True, query_parameters=query):
        rows.write(name, [item.attributes])
        found += [(child, item) for child in below]
    return found


def main() -> None:
    with gitlab.Gitlab(asked.url, private_token=asked.token) as server:
        projects = server.projects.list(
            iterator=True, query_parameters={**Listing("", PROJECTS).params(), "per_page": PAGE}
        )
        lists = [(name, project) for project in projects for name in asked.flat]
        if asked.threads == 1:
            while lists:
                lists += read(*lists.pop())
        else:
            in_threads(lists)
    rows.close()


def in_threads(lists: list[tuple[str, Any]]) -> None:
    with ThreadPoolExecutor(asked.threads) as pool:
        open_reads: deque[Future[list[tuple[str, Any]]]] = deque(
            pool.submit(read, *one) for one in lists
        )
        while open_reads:
            for one in open_reads.popleft().result():
                open_reads.append(pool.submit(read, *one))


main()
