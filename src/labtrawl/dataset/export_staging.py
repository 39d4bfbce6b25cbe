"""Staging: a table's records, typed, in a DuckDB file beside the output.

Rows go there by way of small files of JSON lines, which DuckDB reads with every type declared: no
row is built in its own memory, and none is kept in ours. `content` is the hash of the body as it
was collected, so that an unchanged reading is told from a change.
"""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import msgspec

from labtrawl.dataset.layout import SegmentPlace, parse_segment_name
from labtrawl.dataset.policy import PRESENT, Record
from labtrawl.dataset.reader import SegmentRow, read_segment
from labtrawl.dataset.tables_shape import Body, Origin, Table
from labtrawl.dataset.tables_values import Reader, decode
from labtrawl.dataset.users import named_in
from labtrawl.errors import CorruptSegment

# Megabytes for DuckDB's buffers. It works on 2,048 rows at once, with each text in its column and in
# the body, and reads a line of JSON into eight times its length: what is long is given more.
MEMORY_MB: Final = 128
_AT_ONCE: Final = 2048
# A second thread makes little faster, since the records come from one, and doubles what a writer
# holds; where the order of rows need not be kept, it holds one group of rows instead of many.
THREADS: Final = 1
_CHUNK_BYTES: Final = 4 << 20
_SMALLEST_BUFFER: Final = 1 << 20

# One place of a line for both: what was staged, and in which order and shape DuckDB reads it.
_FRAME: Final = {
    "ordinal": "BIGINT",
    "line": "BIGINT",
    "instance_id": "BIGINT",
    "area_kind": "VARCHAR",
    "area_id": "BIGINT",
    "resource": "VARCHAR",
    "kind": "VARCHAR",
    "key": "VARCHAR",
    "parent": "VARCHAR",
    "fetched_at": "TIMESTAMPTZ",
    "record_state": "VARCHAR",
    "wrong": "VARCHAR",
}
_ENCODER: Final = msgspec.json.Encoder()


def open_workshop(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file in `folder` whose spilled pages stay in that folder too.

    It takes at most `MEMORY_MB` for its buffers (more where lines are long, see `Staging`), and never
    fetches an extension.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{MEMORY_MB}MB",
        "threads": str(THREADS),
        "preserve_insertion_order": "false",
        "temp_directory": str(folder / "spilled"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    connection = duckdb.connect(":memory:", config=settings)
    # Its own bar would go to our output as soon as a query takes two seconds.
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def interrupted(error: BaseException) -> bool:
    """Say whether an error of DuckDB's only tells that somebody pressed Ctrl-C."""
    return isinstance(error, duckdb.InterruptException) or (
        type(error) is RuntimeError and str(error) == "Query interrupted"
    )


def literal(value: str | Path) -> str:
    """Write a text as SQL does."""
    return "'" + str(value).replace("'", "''") + "'"


def name_of(word: str) -> str:
    """Write a name as SQL does, whatever words SQL keeps for itself."""
    return '"' + word.replace('"', '""') + '"'


def located(root: Path, row: SegmentRow) -> Iterator[tuple[SegmentPlace, Record]]:
    """Yield a segment's records with their place. Raises CorruptSegment."""
    place = parse_segment_name(row.name)
    if place is None:
        raise CorruptSegment(f"{row.name!r} is not the name of a segment; the manifest is damaged")
    for record in read_segment(root, row):
        yield place, record


class _Room:
    """What DuckDB may take for one table, by the lengths of its lines in bytes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.longest = 0
        self._connection = connection
        self._last: deque[int] = deque(maxlen=_AT_ONCE)
        self._together = self._heaviest = 0
        self._set(MEMORY_MB)

    def add(self, length: int) -> None:
        """Take in the length of a line."""
        if len(self._last) == _AT_ONCE:
            self._together -= self._last[0]
        self._last.append(length)
        self._together += length
        self._heaviest = max(self._heaviest, self._together)
        self.longest = max(self.longest, length)

    def make(self) -> None:
        """Let DuckDB take what the lines so far need."""
        wanted = MEMORY_MB // 2 + (3 * self._heaviest + 8 * self.longest) // 1_000_000
        if wanted > self._limit:
            self._set(wanted)

    def _set(self, megabytes: int) -> None:
        self._limit = megabytes
        self._connection.execute(f"SET memory_limit = '{megabytes}MB'")


class Staging:
    """The staged rows of one table; `add` in the order of commit, then `finish` once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path, table: Table) -> None:
        self.table = table
        self._connection = connection
        self._path = folder / "chunk.jsonl"
        self._reader = Reader(table)
        self._names = ("id", *(column.name for column in table.columns))
        # GitLab's fields may be named like ours (a milestone's state is not the record's).
        self._keys = tuple(f"c{place}" for place in range(len(self._names)))
        self._chunk: list[bytes] = []
        self._size = self._ordinal = self._line = 0
        self._room = _Room(connection)
        types = (table.id_type, *(column.type for column in table.columns))
        self._columns = _FRAME | dict(zip(self._keys, types, strict=True)) | {"body": "VARCHAR"}
        staged = self._columns | {"body": "JSON", "content": "UHUGEINT"}
        declared = ", ".join(f"{name} {of}" for name, of in staged.items())
        connection.execute(f"CREATE OR REPLACE TABLE staged ({declared})")

    def shown(self, of: str) -> list[str]:
        """Return the table's own columns as a select list over the rows named `of`, id first."""
        pairs = zip(self._keys, self._names, strict=True)
        return [f"{of}.{key} AS {name_of(name)}" for key, name in pairs]

    def add(self, place: SegmentPlace, record: Record, body: Body | None = None) -> None:
        """Stage a record, or the objects that the table takes out of it.

        `body` is the record's, where the caller has decoded it already.
        """
        self._line += 1
        raw = bytes(record.body)
        body = decode(raw) if body is None else body
        if self.table.parts is None:
            self._put(place, record, record.kind, None, record.id, body, {}, raw.decode())
            return
        parent = f"{record.kind}/{record.id}"
        self._put_frame(place, record, record.kind, parent)
        for number, part in self.table.parts(Origin(record.id, place.gitlab_id), body):
            text = _ENCODER.encode(part).decode()
            self._put(place, record, self.table.name, parent, number, part, body, text)

    def _put(
        self,
        place: SegmentPlace,
        record: Record,
        kind: str,
        parent: str | None,
        number: int | str,
        body: Body,
        holder: Body,
        text: str,
    ) -> None:
        row = self._reader.row(
            number, place.gitlab_id, body if record.state == PRESENT else {}, holder
        )
        values: dict[str, Any] = dict(zip(self._keys, row.values, strict=True))
        values["body"] = text
        if row.wrong:
            values["wrong"] = ",".join(row.wrong)
        self._put_frame(place, record, kind, parent, str(number), values)

    def _put_frame(
        self,
        place: SegmentPlace,
        record: Record,
        kind: str,
        parent: str | None,
        key: str | None = None,
        values: dict[str, Any] | None = None,
    ) -> None:
        """Stage a row; one without a key says only that the parent was read in this line."""
        self._ordinal += 1
        line = _ENCODER.encode(
            {
                "ordinal": self._ordinal,
                "line": self._line,
                **_placed(place),
                "kind": kind,
                "key": key,
                "parent": parent,
                "fetched_at": record.fetched_at,
                "record_state": record.state,
                **(values or {}),
            }
        )
        self._chunk.append(line)
        self._size += len(line)
        self._room.add(len(line))
        if self._size >= _CHUNK_BYTES:
            self._take_in()

    def _take_in(self) -> None:
        """Let DuckDB read the chunk. What it does not take for JSON is kept as a text in JSON."""
        if not self._chunk:
            return
        with self._path.open("wb") as file:
            file.writelines(line + b"\n" for line in self._chunk)
        self._chunk.clear()
        self._size = 0
        self._room.make()
        columns = ", ".join(f"{name}: '{of}'" for name, of in self._columns.items())
        self._connection.execute(
            "INSERT INTO staged SELECT * REPLACE ("  # noqa: S608 - names of ours, a quoted path
            "coalesce(TRY_CAST(body AS JSON), to_json(body)) AS body,"
            " CASE WHEN body IS NOT NULL AND TRY_CAST(body AS JSON) IS NULL"
            " THEN concat_ws(',', wrong, 'body') ELSE wrong END AS wrong), md5_number(body)"
            f" FROM read_json({literal(self._path)}, format = 'newline_delimited',"
            f" columns = {{{columns}}},"
            f" maximum_object_size = {max(_SMALLEST_BUFFER, 2 * self._room.longest)})"
        )
        self._path.unlink()

    def finish(self) -> None:
        """Take in what waits, and say of derived objects when their parent held them no more."""
        self._take_in()
        if self.table.parts is not None:
            self._connection.execute(_MISSED)


_MISSED: Final = """
INSERT INTO staged BY NAME
WITH read AS (
  SELECT line, area_kind, area_id, resource, lead(line) OVER w AS next_line,
    lead(fetched_at) OVER w AS fetched_at, lead(record_state) OVER w AS record_state
  FROM staged WHERE key IS NULL
  WINDOW w AS (PARTITION BY instance_id, parent ORDER BY line)
)
SELECT (SELECT max(ordinal) FROM staged) + row_number() OVER (ORDER BY held.ordinal) AS ordinal,
  read.next_line AS line, held.instance_id, read.area_kind, read.area_id, read.resource,
  held.kind, held.key, held.parent, read.fetched_at,
  CASE read.record_state WHEN 'present' THEN 'gone' ELSE read.record_state END AS record_state,
  held.c0, '{}'::JSON AS body, md5_number('{}') AS content
FROM staged AS held JOIN read ON read.line = held.line
WHERE held.key IS NOT NULL AND read.next_line IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM staged AS kept WHERE kept.line = read.next_line AND kept.key = held.key
)
"""


def _placed(place: SegmentPlace) -> dict[str, Any]:
    return {
        "instance_id": place.instance_id,
        "area_kind": place.area_kind,
        "area_id": place.gitlab_id,
        "resource": place.resource,
    }


class _Sight(NamedTuple):
    at: datetime
    number: int
    place: SegmentPlace
    fetched_at: str


class Sightings:
    """Who was seen: of each user each pair of username and name, at its first and last sight."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int, str, str], tuple[_Sight, _Sight]] = {}
        self._count = 0

    def note(self, place: SegmentPlace, record: Record, body: Body) -> None:
        """Take in the users of a record."""
        at = datetime.fromisoformat(record.fetched_at)
        for user in named_in(body):
            self._count += 1
            sight = _Sight(at, self._count, place, record.fetched_at)
            first, last = self._seen.get((place.instance_id, *user), (sight, sight))
            if at < first.at:
                first = sight
            if at >= last.at:
                last = sight
            self._seen[place.instance_id, *user] = (first, last)

    def stage(self, staging: Staging) -> None:
        """Stage them as records of the table of users, in the order in which they were seen.

        By instants: they come from many lists, whose segments stand in no order to each other.
        """
        sights = [(sight, key) for key, held in self._seen.items() for sight in set(held)]
        for sight, (_, number, username, name) in sorted(sights, key=lambda each: each[0][:2]):
            body = {"id": number, "username": username, "name": name}
            raw = msgspec.Raw(_ENCODER.encode(body))
            seen = Record(number, "user", sight.fetched_at, "", "", "", "", raw)
            staging.add(sight.place, seen, body)
