"""The lists that a benchmark's world is read by: one table for the floor and all peers.

Paths are relative to /api/v4/projects/ID; the queries are those that labtrawl's catalog sends, so
that everybody is asked for the same rows. This file is imported in each peer's own environment: it
uses the standard library only.
"""

import argparse
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

PROJECTS = "membership=true&order_by=id&sort=asc&pagination=keyset"


class Listing(NamedTuple):
    """A list of a project, or (with `parent`) of each row of another list, found by `key`."""

    path: str
    query: str = ""
    parent: str = ""
    key: str = ""

    def params(self) -> dict[str, str]:
        return dict(pair.split("=") for pair in self.query.split("&") if pair)


LISTS = {
    "members": Listing("members"),
    "labels": Listing("labels", "include_ancestor_groups=false"),
    "milestones": Listing("milestones"),
    "issues": Listing("issues", "scope=all&order_by=created_at&sort=asc"),
    "merge_requests": Listing("merge_requests", "scope=all&order_by=created_at&sort=asc"),
    "commits": Listing("repository/commits", "all=true"),
    "branches": Listing("repository/branches"),
    "pipelines": Listing("pipelines", "order_by=id&sort=asc"),
    "releases": Listing("releases"),
    "tags": Listing("repository/tags"),
    "issue_discussions": Listing("issues/{key}/discussions", "", "issues", "iid"),
    "merge_request_discussions": Listing(
        "merge_requests/{key}/discussions", "", "merge_requests", "iid"
    ),
}


class Wanted(argparse.Namespace):
    """What a side is asked for on its command line."""

    url: str
    token_file: Path
    lists: list[str]
    out: Path
    threads: int

    @property
    def token(self) -> str:
        return self.token_file.read_text(encoding="ascii").strip()

    @property
    def flat(self) -> list[str]:
        return [name for name in self.lists if not LISTS[name].parent]

    def below(self, parent: str) -> list[str]:
        """The lists of each row of another list."""
        return [name for name in self.lists if LISTS[name].parent == parent]


def wanted() -> Wanted:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--lists", type=lambda text: text.split(","), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    found = parser.parse_args(namespace=Wanted())
    found.out.mkdir(parents=True, exist_ok=True)
    return found


def projects(asked: Wanted) -> Iterator[dict[str, Any]]:
    """The projects, for a peer that can't find them by itself."""
    query, page = PROJECTS.replace("&pagination=keyset", ""), 1
    while True:
        url = f"{asked.url}/api/v4/projects?{query}&per_page=100&page={page}"
        with urlopen(Request(url, headers={"PRIVATE-TOKEN": asked.token})) as answer:
            rows = json.load(answer)
        yield from rows
        if len(rows) < 100:
            return
        page += 1


class Rows:
    """One file of JSON lines for each list, written by any thread."""

    def __init__(self, wanted: Wanted) -> None:
        self._lock = threading.Lock()
        self._files = {
            name: (wanted.out / f"{name}.jsonl").open("w", encoding="utf-8")
            for name in wanted.lists
        }

    def write(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        with self._lock:
            self._files[name].write(text)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
