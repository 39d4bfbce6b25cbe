"""A small GitLab and `labtrawl crawl` of it as a process: what to type, and waiting until it is so far."""

import json
import urllib.request
from pathlib import Path

from labtrawl.errors import StoreError
from labtrawl.sandbox import Fault, Options
from labtrawl.store import manifest
from labtrawl.store.engine import database_path, open_snapshots
from tests.e2e.typed import Running
from tests.integration.faults.crawling import ONE
from tests.rig.crawled import Key
from tests.rig.private import write_private
from tests.rig.served import Served

# The second page of nothing: whoever asks for these issues waits until it is ended.
HANGS = Options(
    faults=(
        Fault(path=rf"/projects/{ONE.id}/issues", kind="delay", times=0, retry_after_seconds=60),
    )
)
# So slow that a crawl still goes on when its first segments are there.
SLOW_MS = 150
# Four requests find out whose token it is, four what there is; the lists of areas come after.
BEGUN = 10
FEW = ("--resources", "issues,labels,members")


def few(key: Key) -> bool:
    return key[2] in ("issues", "labels", "members")


def words(folder: Path, there: Served, *flags: str) -> tuple[str, ...]:
    write_private(folder / "token", there.token + "\n")
    return ("crawl", there.url, "--token-file", "token", "--out", "out", *FEW, *flags)


def asked(there: Served, path: str = "") -> int:
    """How many requests the look-alike has answered, or is answering."""
    with urllib.request.urlopen(f"{there.url}/-/sandbox/requests") as answer:
        found = json.load(answer)
    return int(found["by_endpoint"].get(path, 0) if path else found["total"])


def until_asked(there: Served, number: int, path: str = "") -> None:
    """Wait by asking, and let it work between two answers."""
    while asked(there, path) < number:
        there.let_work()


def until_committed(out: Path, segments: int, running: Running) -> None:
    """Wait until so many segments are committed."""
    while True:
        assert running.process.poll() is None, running.said
        if database_path(out).exists() and len(committed(out)) >= segments:
            return


def committed(out: Path) -> list[str]:
    """The resources of the committed segments; none where the database is not made yet."""
    try:
        with open_snapshots(database_path(out)) as database:
            return [row.resource for row in database.read_now(manifest.segments)]
    except StoreError:
        return []
