"""Who is compared: how each side is installed, started, and how its rows are counted afterwards."""

import json
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import msgspec

from bench.crawl_runs import LABTRAWL, Served

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "crawl_peers"
LOCKS = ROOT / "requirements" / "bench"
PLACES = ROOT / ".venv" / "bench-peers"

Counts = Callable[[Path], dict[str, int]]
# Rows of a kind in the dataset, by the list that they come from.
KINDS = {
    "issue": "issues",
    "merge_request": "merge_requests",
    "label": "labels",
    "milestone": "milestones",
    "project_member": "members",
    "commit": "commits",
    "branch": "branches",
    "pipeline": "pipelines",
    "release": "releases",
    "tag": "tags",
}


def count_lines(out: Path) -> dict[str, int]:
    """One file of JSON lines for each list."""
    return {path.stem: _lines(path) for path in out.glob("*.jsonl")}


def count_dlt(out: Path) -> dict[str, int]:
    """One folder for each table; a row's own lists are tables with __ in their names."""
    return {
        folder.name: sum(map(_lines, folder.glob("*.jsonl")))
        for folder in (out / "files" / "gitlab").iterdir()
        if "__" not in folder.name and not folder.name.startswith("_")
    }


def count_singer(out: Path) -> dict[str, int]:
    """Messages of a Singer tap; each record names its stream."""
    found: Counter[str] = Counter()
    with (out / "singer.jsonl").open() as lines:
        for line in lines:
            message = json.loads(line)
            if message["type"] == "RECORD":
                found[message["stream"].removeprefix("project_")] += 1
    return found


class _Line(msgspec.Struct):
    id: int | str
    kind: str
    state: str = "present"


def count_dataset(out: Path) -> dict[str, int]:
    """What labtrawl keeps: the newest state of each object, whichever segment holds it."""
    newest: dict[tuple[str, int | str], bool] = {}
    decode = msgspec.json.Decoder(_Line).decode
    for path in sorted(out.rglob("*.jsonl.zst")):
        resource, area = path.parent.name, path.parent.parent.name
        if not area.startswith("project-"):
            continue  # what groups hold is more than the others are asked for
        for raw in _raw_lines(path):
            line = decode(raw)
            newest[KINDS.get(line.kind, resource), line.id] = line.state == "present"
    return Counter(name for (name, _), is_there in newest.items() if is_there)


def _raw_lines(path: Path) -> Iterator[bytes]:
    import zstandard

    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        rest = b""
        while chunk := reader.read(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


@dataclass(frozen=True)
class Side:
    """One of those who are compared. `lists` are all that it can read; None: everything."""

    name: str
    script: str = ""
    lock: str = ""
    flags: tuple[str, ...] = ()
    lists: frozenset[str] | None = None
    counts: Counts = count_lines
    environ: dict[str, str] = field(default_factory=dict)

    def command(self, at: Served, lists: list[str], out: Path) -> list[str]:
        asked = ["--url", at.url, "--token-file", str(at.token_file), "--out", str(out)]
        script = str(PEERS / f"{self.script}.py")
        return [str(self.python), script, *asked, "--lists", ",".join(lists), *self.flags]

    @property
    def python(self) -> Path:
        return PLACES / self.lock / "bin" / "python"

    def install(self) -> None:
        """Make its environment from its lock, once; the only thing here that asks a registry."""
        if not self.lock:
            return
        lock = LOCKS / f"{self.lock}.lock"
        stamp = PLACES / self.lock / ".installed"
        if stamp.exists() and stamp.read_text() == lock.read_text():
            return
        print(f"installing {self.name} …", flush=True)
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(PLACES / self.lock)], check=True
        )
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        said = subprocess.run(
            [*pip, "--require-hashes", "-r", str(lock)], check=False, capture_output=True, text=True
        )
        if said.returncode:
            raise SystemExit(f"{self.name} cannot be installed:\n{said.stderr[-2000:]}")
        stamp.write_text(lock.read_text())

    def reads(self, lists: list[str]) -> list[str]:
        """Which of the lists it can read at all."""
        return [name for name in lists if self.lists is None or name in self.lists]


@dataclass(frozen=True)
class Ours(Side):
    """labtrawl itself, by its command; always fully durable."""

    command_words: tuple[str, ...] = (str(LABTRAWL), "crawl")

    def command(self, at: Served, lists: list[str], out: Path) -> list[str]:
        return [
            *self.command_words,
            at.url,
            *("--token-file", str(at.token_file)),
            *("--out", str(out), "--resources", ",".join(lists), "--once", "--yes"),
            *("--summary", str(out.with_name("summary.json"))),
            *self.flags,
        ]


SINGER = frozenset({"issues", "commits", "branches", "milestones"})
# It reads notes one by one, always; they are no discussions, so W2 and W3n are never whole with it.
GRIMOIRE = frozenset({"issues", "merge_requests"})

FLOOR = Side("floor", "floor", "floor")
PEER_SIDES = (
    Side("python-gitlab", "peer_python_gitlab", "python-gitlab"),
    Side("python-gitlab 10 threads", "peer_python_gitlab", "python-gitlab", ("--threads", "10")),
    Side("gidgetlab", "peer_gidgetlab", "gidgetlab"),
    Side("dlt", "peer_dlt", "dlt", counts=count_dlt),
    Side("tap-gitlab", "peer_tap_gitlab", "tap-gitlab", lists=SINGER, counts=count_singer),
    Side("perceval", "peer_perceval", "perceval", lists=GRIMOIRE),
)


@cache
def ours(command: str = "", crawlers: int = 0) -> Side:
    """labtrawl, by another command line if asked, with so many crawlers (0: its default)."""
    name = f"labtrawl {crawlers} crawlers" if crawlers else "labtrawl"
    flags = ("--crawlers", str(crawlers)) if crawlers else ()
    words = tuple(shlex.split(command)) or (str(LABTRAWL), "crawl")
    return Ours(name, flags=flags, counts=count_dataset, command_words=words)
