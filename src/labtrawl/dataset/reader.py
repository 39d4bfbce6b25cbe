"""Reading the dataset back, by the rows of the manifest and in bounded memory.

What was committed last is the newest, as it is for the crawlers, who compare what they read with it:
an order by their clocks would keep what one that runs ahead has read, and no visit would mend it.

An identity is (instance, kind, id), and it lives in one folder: GitLab's numbers belong to one
area, and where an id is only unique inside its area, the area is part of it. So each folder is
read on its own and what is remembered is at most 32 bytes for each identity of the largest one.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

import msgspec
import zstandard

from labtrawl.dataset.layout import folder_of, segment_path
from labtrawl.dataset.policy import PRESENT, Record, parse_line
from labtrawl.errors import CorruptSegment

_BUFFER_BYTES: Final = 1 << 20


class SegmentRow(Protocol):
    """What the manifest says of a segment; rows come in the order of their commit."""

    @property
    def name(self) -> str: ...
    @property
    def length(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def records(self) -> int: ...


def read_segment(root: Path, row: SegmentRow) -> Iterator[Record]:
    """Yield a segment's records in the order they were written.

    Length and hash are checked before the first record, the number of records at the end. Raises
    CorruptSegment, in one sentence, where the file is not what the row says.
    """
    try:
        for line in read_lines(root, row):
            yield parse_line(line)
    except msgspec.MsgspecError as error:
        raise CorruptSegment(f"{row.name} holds something else than records: {error}") from error


def read_lines(root: Path, row: SegmentRow) -> Iterator[bytes]:
    """Do as `read_segment`, with the lines as they stand there."""
    try:
        with segment_path(root, row.name).open("rb") as file:
            check_bytes(file, row)
            count = 0
            for line in _lines(file):
                count += 1
                yield line
    except FileNotFoundError as error:
        raise CorruptSegment(f"{row.name} is missing") from error
    except OSError as error:
        raise CorruptSegment(f"{row.name} cannot be read: {error.strerror}") from error
    except zstandard.ZstdError as error:
        raise CorruptSegment(f"{row.name} holds something else than records: {error}") from error
    if count != row.records:
        raise CorruptSegment(f"{row.name} holds {count} records; {row.records} were committed")


def check_bytes(file: io.BufferedReader, row: SegmentRow) -> None:
    """Compare a file's length and hash with its row, and rewind it. Raises CorruptSegment."""
    length = file.seek(0, io.SEEK_END)
    if length != row.length:
        raise CorruptSegment(f"{row.name} has {length} bytes; {row.length} were committed")
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != row.sha256:
        raise CorruptSegment(f"{row.name} has other bytes than were committed (sha256 differs)")
    file.seek(0)


def _lines(file: io.BufferedReader) -> Iterator[bytes]:
    plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return io.BufferedReader(plain, _BUFFER_BYTES)


def read(root: Path, rows: Iterable[SegmentRow]) -> Iterator[Record]:
    """Yield each version of each identity once: a re-read with an unchanged body is dropped.

    Folder by folder, in the order of commit inside a folder. A body that changes and later
    changes back is three versions. Raises CorruptSegment.
    """
    for folder in _folders(rows):
        last: dict[bytes, bytes] = {}
        for row in folder:
            for record in read_segment(root, row):
                identity, content = _identity(record), _content(record)
                if last.get(identity) != content:
                    last[identity] = content
                    yield record


def newest(root: Path, rows: Iterable[SegmentRow]) -> Iterator[Record]:
    """Yield the newest state of each identity: the one that was committed last.

    Each segment is read twice, so memory holds no body. Raises CorruptSegment.
    """
    for folder in _folders(rows):
        last = {_identity(record): ordinal for ordinal, record in _numbered(root, folder)}
        for ordinal, record in _numbered(root, folder):
            if last[_identity(record)] == ordinal:
                yield record


def present(root: Path, rows: Iterable[SegmentRow]) -> dict[int | str, bytes]:
    """Return the content (`content_of`) of each object of one folder that is present, by its id.

    The line that was committed last decides. Raises CorruptSegment.
    """
    found: dict[int | str, bytes] = {}
    for row in rows:
        for record in read_segment(root, row):
            if record.state == PRESENT:
                found[record.id] = content_of(record.body)
            else:
                found.pop(record.id, None)
    return found


def _numbered(root: Path, rows: Iterable[SegmentRow]) -> Iterator[tuple[int, Record]]:
    return enumerate(record for row in rows for record in read_segment(root, row))


def _folders(rows: Iterable[SegmentRow]) -> Iterable[list[SegmentRow]]:
    """Group rows by folder; folders in the order in which they first appear."""
    folders: dict[str, list[SegmentRow]] = {}
    for row in rows:
        folders.setdefault(folder_of(row.name), []).append(row)
    return folders.values()


def _identity(record: Record) -> bytes:
    """Hash (kind, id) to 16 bytes; the instance is the folder's."""
    spoken = f"{record.kind}\0{type(record.id).__name__}\0{record.id}".encode()
    return hashlib.blake2b(spoken, digest_size=16).digest()


def content_of(body: msgspec.Raw) -> bytes:
    """Return a hash of a body; equal for bodies that are equal byte for byte."""
    return hashlib.blake2b(bytes(body), digest_size=16).digest()


def _content(record: Record) -> bytes:
    return content_of(record.body) + record.state.encode()
