"""Everything of somebody as one zip archive, written as a stream: nothing is kept but a list of files.

For the website. Each list of an area is a file of its lines as they stand. `manifest.json` comes at
the end with the hash of each; what ends before has no directory either, so nobody can take a part
for the whole. A zip is what every computer opens without further software.
"""

import hashlib
import io
import zipfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from labtrawl.dataset.layout import folder_of, parse_segment_name
from labtrawl.dataset.reader import SegmentRow, read_lines
from labtrawl.errors import CorruptSegment

FORMAT: Final = "labtrawl archive 1"
MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
README: Final = "README.txt"
# Bytes of lines that are packed at once.
CHUNK: Final = 1 << 18
# JSON packs to a tenth even at the fastest level, and the higher ones take five times as long.
LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the archive: of which area and resource, how many lines, its bytes and its hash."""

    name: str
    area: str
    resource: str
    records: int
    bytes: int
    sha256: str


class _Pipe:
    """What a zip writes into; it cannot be wound back, as a connection cannot.

    It is never closed: a zip that nobody finished writes its end when it is forgotten.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def taken(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class Archive:
    """One archive; the chunks that its methods yield are its bytes, in this order.

    `begin` once, `add` for each list, `finish` once.
    """

    def __init__(self, root: Path, made_at: str, about: str) -> None:
        """Make one of the dataset at `root`; `about` says for people whose it is and why."""
        self._root = root
        self._made_at = made_at
        self._about = about
        self._pipe = _Pipe()
        self._zip = zipfile.ZipFile(self._pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        self._listed: list[Listed] = []
        self._sums: list[tuple[str, str]] = []
        self._problems: list[str] = []
        self.faults: list[str] = []
        """What is wrong with each stored file that is left out, with names and paths: for operators."""

    def begin(self) -> Generator[bytes]:
        """Yield the first bytes; they are there at once."""
        yield from self._small(README, _README.format(about=self._about, made_at=self._made_at))

    def add(self, area: str, folder: str, rows: Sequence[SegmentRow]) -> Generator[bytes]:
        """Yield the bytes of a list, of which these are the segments; they lie in this folder.

        A segment that is damaged or another list's is left out, and the manifest says so.
        """
        name, resource = f"{folder}.jsonl", folder.rpartition("/")[2]
        digest, size, count = hashlib.sha256(), 0, 0
        with self._zip.open(name, "w", force_zip64=True) as file:
            for chunk, records in self._chunks(folder, rows):
                digest.update(chunk)
                file.write(chunk)
                size, count = size + len(chunk), count + records
                yield self._pipe.taken()
        self._listed.append(Listed(name, area, resource, count, size, digest.hexdigest()))
        self._sums.append((name, digest.hexdigest()))
        yield self._pipe.taken()

    def finish(self) -> Generator[bytes]:
        """Yield the manifest, the sums and the directory, without which it is no whole archive."""
        told = {
            "format": FORMAT,
            "made_at": self._made_at,
            "is_complete": not self._problems,
            "problems": self._problems,
            "records": sum(each.records for each in self._listed),
            "files": self._listed,
        }
        manifest = msgspec.json.format(msgspec.json.encode(told), indent=1).decode()
        yield from self._small(MANIFEST, manifest + "\n")
        sums = "".join(f"{digest}  {name}\n" for name, digest in self._sums)
        yield from self._small(SUMS, sums)
        self._zip.close()
        yield self._pipe.taken()

    def _small(self, name: str, text: str) -> Generator[bytes]:
        content = text.encode()
        self._zip.writestr(name, content)
        self._sums.append((name, hashlib.sha256(content).hexdigest()))
        yield self._pipe.taken()

    def _chunks(self, folder: str, rows: Iterable[SegmentRow]) -> Iterator[tuple[bytes, int]]:
        for row in rows:
            if _lies_in(folder, row):
                yield from self._read(row)
            else:
                told = f"a stored file of {folder} has a name that is not its own"
                self._leave_out(told, f"{row.name!r} is no segment of {folder}")

    def _read(self, row: SegmentRow) -> Iterator[tuple[bytes, int]]:
        waiting, count = io.BytesIO(), 0
        try:
            for line in read_lines(self._root, row):
                waiting.write(line)
                count += 1
                if waiting.tell() >= CHUNK:
                    yield waiting.getvalue(), count
                    waiting, count = io.BytesIO(), 0
        except CorruptSegment as error:
            self._leave_out(f"{row.name} is damaged or missing", str(error))
        if count:
            yield waiting.getvalue(), count

    def _leave_out(self, told: str, fault: str) -> None:
        self._problems.append(told)
        self.faults.append(fault)


def _lies_in(folder: str, row: SegmentRow) -> bool:
    """Say whether a row names a segment of that folder: another's lines are nothing for this list."""
    return folder_of(row.name) == folder and parse_segment_name(row.name) is not None


_README: Final = """\
{about}

Made by labtrawl at {made_at}.

What is in here
  iN/KIND-ID/RESOURCE.jsonl  the records of one list: of the GitLab number N (as labtrawl counts
                             them), of the group, project or user with that id on GitLab. One JSON
                             object a line, exactly as it is stored and as researchers see it. An
                             object that changed has one line for each version, the newest last.
  manifest.json              each file with the path of its area, its number of lines, its length
                             and its SHA-256. "problems" names stored files that were damaged and
                             are left out; "is_complete" is false then.
  SHA256SUMS                 the same hashes for: sha256sum -c SHA256SUMS

Is it whole?
  manifest.json and the directory of the archive come last. If your computer says that the archive
  is damaged, or manifest.json is missing, the download broke off: start it again.

What a line says
  id, kind, fetched_at, request, page_sha256, gitlab_version, policy and body. "state" is there only
  for an object that was collected before and is gone, forbidden or unknown since.
"""
